"""The reference page of the API, drawn from the OpenAPI schema: no script, one source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.text import slugify
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from opsconsole.api import KINDS

Schema = dict[str, Any]
_ORDER = ("Environments", "Releases", "Deployments", "Approvals", "Audit")
_SHOWN_ELSEWHERE = {"NewRelease", "Start", "Act", "Problem"}
"""Bodies stand with their operation, problems have a section of their own."""
_SUCCESS = {"200": "Done.", "201": "Created; Location leads to it."}
_EXAMPLES = {
    "environment": "production",
    "release": "v1.2.5",
    "version": "v1.2.5",
    "strategy": "blue_green",
    "reason": "Fix of the order book slippage",
    "artifact": "/srv/artifacts/trading-v1.2.5.tar.gz",
    "digest": "sha256:9f2c…",
    "id": "42",
    "name": "production",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a body, or one parameter."""

    name: str
    kind: str
    required: bool
    words: str
    link: str = ""
    """Name of the schema that the kind leads to."""
    where: str = ""
    """``path``, ``query`` or ``header`` for a parameter."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP status with what it means."""

    status: str
    words: str
    schema: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    id: str
    method: str
    path: str
    title: str
    words: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[Answer, ...]
    curl: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole page."""

    groups: tuple[tuple[str, tuple[Operation, ...]], ...]
    schemas: tuple[tuple[str, str, tuple[Field, ...]], ...]
    """Name, description and members of each object that answers are made of."""
    problems: tuple[tuple[str, str], ...]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """``/api/docs/``."""
    host = f"{request.scheme}://{request.get_host()}"
    return render(request, "opsconsole/api_docs.html", {"reference": reference(host), "host": host})


@lru_cache(maxsize=4)  # one a host name; more than a few are not allowed anyway
def reference(host: str) -> Reference:
    """The page's content; the schema does not change while the process runs."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    components = schema["components"]["schemas"]
    groups: dict[str, list[Operation]] = {name: [] for name in _ORDER}
    for path, methods in schema["paths"].items():
        for method, found in methods.items():
            if path.startswith(("/api/v1/", "/admin/")):
                groups.setdefault(found["tags"][0], []).append(_operation(host, path, method, found, components))
    shown = [name for name in components if name not in _SHOWN_ELSEWHERE and not name.startswith("Paginated")]
    return Reference(
        groups=tuple((name, tuple(operations)) for name, operations in groups.items()),
        schemas=tuple(
            (name, components[name].get("description", ""), _members(components[name], components))
            for name in shown
            if "properties" in components[name]
        ),
        problems=tuple(KINDS.items()),
    )


def _operation(host: str, path: str, method: str, found: Schema, components: Schema) -> Operation:
    content = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = _members(_resolved(content, components), components) if content else ()
    return Operation(
        id=slugify(found["operationId"]),
        method=method.upper(),
        path=path,
        title=found.get("summary") or found["operationId"],
        words=found.get("description", ""),
        parameters=tuple(_parameter(parameter, components) for parameter in found.get("parameters", ())),
        body=body,
        answers=tuple(_answer(status, answer) for status, answer in sorted(found["responses"].items())),
        curl=_curl(host + path, method, body),
    )


def _members(schema: Schema, components: Schema) -> tuple[Field, ...]:
    required = set(schema.get("required", ()))
    return tuple(
        Field(name, kind, name in required, _words(member, components), link)
        for name, member in schema.get("properties", {}).items()
        for kind, link in [_kind(member, components)]
    )


def _parameter(parameter: Schema, components: Schema) -> Field:
    kind, link = _kind(parameter["schema"], components)
    return Field(
        parameter["name"],
        kind,
        parameter.get("required", False),
        parameter.get("description", ""),
        link,
        parameter["in"],
    )


def _words(member: Schema, components: Schema) -> str:
    words = str(member.get("description", ""))
    values = _enum(member, components)
    if values and "* `" in words:  # the generator lists the values there as well
        words = words.partition("* `")[0].strip()
    return f"{words} One of: {', '.join(map(str, values))}.".strip() if values else words


def _enum(member: Schema, components: Schema) -> list[Any]:
    parts = [member, *member.get("allOf", ()), *member.get("oneOf", ())]
    return [value for part in parts for value in _resolved(part, components).get("enum", ()) if value not in (None, "")]


def _kind(member: Schema, components: Schema) -> tuple[str, str]:
    """(type in words, name of the object schema it leads to)."""
    parts = [member, *member.get("allOf", ()), *member.get("oneOf", ())]
    name = next((part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part), "")
    nullable = " or null" if member.get("nullable") else ""
    if name:
        target = components.get(name, {})
        return (target.get("type", "object") + nullable, "" if "enum" in target else name)
    if member.get("type") == "array":
        kind, link = _kind(member.get("items", {}), components)
        return f"list of {kind}{nullable}", link
    return f"{member.get('format') or member.get('type', 'any')}{nullable}", ""


def _resolved(schema: Schema, components: Schema) -> Schema:
    reference_to = schema.get("$ref", "")
    return components[reference_to.rpartition("/")[2]] if reference_to else schema


def _answer(status: str, answer: Schema) -> Answer:
    media: list[Schema] = list(answer.get("content", {}).values())
    schema = media[0]["schema"] if media else {}
    name = (schema.get("$ref") or schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
    return Answer(
        status,
        answer.get("description") or _SUCCESS.get(status, ""),
        name.removeprefix("Paginated").removesuffix("List"),
    )


def _curl(address: str, method: str, body: tuple[Field, ...]) -> str:
    for name, example in _EXAMPLES.items():
        address = address.replace(f"{{{name}}}", example)
    lines = [f'curl -H "Authorization: Bearer $OPSC_KEY" {address}']
    if method == "post":
        lines = [f'curl -X POST -H "Authorization: Bearer $OPSC_KEY" {address}']
        lines.append('  -H "Content-Type: application/json" -H "Idempotency-Key: $(uuidgen)"')
        given = {field.name: _EXAMPLES.get(field.name, "…") for field in body if field.required}
        lines.append(f"  -d '{json.dumps(given, ensure_ascii=False)}'")
    return " \\\n".join(lines)
