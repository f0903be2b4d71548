"""Read the answer of ``GET /healthz`` (``application/health+json``) of a trading system.

Format: draft-inadarei-api-health-check-06, https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from environments.sample import Component

_STATUSES = {"pass": "pass", "ok": "pass", "up": "pass", "warn": "warn"}
_STATUSES |= dict.fromkeys(("fail", "error", "down"), "fail")
_SEVERITY = {"pass": 0, "warn": 1, "fail": 2}


class MalformedAnswer(ValueError):
    """An answer is not what the ops contract says; the text names the path and what is wrong."""


@dataclass(frozen=True, slots=True)
class Health:
    """What an instance says of its own health."""

    status: str
    """``pass``, ``warn`` or ``fail``: of the system as a whole."""
    version: str
    release_id: str
    components: tuple[Component, ...]


def json_object(path: str, body: bytes) -> dict[str, Any]:
    """The JSON object in an answer. Raises ``MalformedAnswer`` when it is something else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedAnswer(f"{path} did not answer JSON; it begins {body[:60]!r}") from None
    if not isinstance(document, dict):
        raise MalformedAnswer(f"{path} must answer a JSON object")
    return document


def parse_health(status: int, body: bytes) -> Health:
    """Read a health answer; a failing system answers 5xx with the same body.

    When the system as a whole is worse than every check that it names, a component ``health`` says so.
    Raises ``MalformedAnswer`` for other statuses than 2xx and 5xx, or for a body that is no health answer.
    """
    if not (200 <= status < 300 or status >= 500):
        raise MalformedAnswer(f"/healthz answered {status}")
    document = json_object("/healthz", body)
    checks = document.get("checks", {})
    if not isinstance(checks, dict):
        raise MalformedAnswer("/healthz: checks must be an object")
    components = tuple(_component(name, entries) for name, entries in checks.items())
    overall = _status("status", document.get("status"))
    worst = max((_SEVERITY[component.status] for component in components), default=-1)
    if _SEVERITY[overall] > worst:
        components += (Component("health", overall, str(document.get("output", ""))),)
    return Health(overall, str(document.get("version", "")), str(document.get("releaseId", "")), components)


def _component(name: str, entries: object) -> Component:
    """The worst entry of one check; a check holds one object, or a list with one for each node."""
    listed: list[dict[str, Any]] = [
        entry for entry in (entries if isinstance(entries, list) else [entries]) if isinstance(entry, dict)
    ]
    if not listed or (isinstance(entries, list) and len(listed) != len(entries)):
        raise MalformedAnswer(f"/healthz: check {name!r} must hold an object or a list of objects")
    worst = max(listed, key=lambda entry: _SEVERITY[_status(name, entry.get("status"))])
    observed = worst.get("observedValue")
    detail = "" if observed is None else f"{observed} {worst.get('observedUnit', '')}".strip()
    output = str(worst.get("output") or "")
    return Component(name, _status(name, worst.get("status")), output or detail)


def _status(name: str, value: object) -> str:
    status = _STATUSES.get(value.lower()) if isinstance(value, str) else None
    if status is None:
        raise MalformedAnswer(f"/healthz: {name} has the status {value!r}; known are pass, warn and fail")
    return status
