"""Every address × method × object × caller against ``matrix.yaml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone

from accounts.models import APIKey
from audit.actions import record

MATRIX = yaml.safe_load((Path(__file__).parent / "matrix.yaml").read_text())
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CASES = [
    pytest.param(route, method, thing, answers, id=f"{method} /{route} {thing}")
    for route, methods in MATRIX["routes"].items()
    for method, things in methods.items()
    for thing, answers in things.items()
]
STATUS_FOR = {"resume": "held", "rollback": "watching"}


def routes(patterns=None, prefix: str = "") -> Iterator[str]:
    """Every address of the console, parameters as ``<name>``."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route.replace("^", "").replace("$", ""))
            yield re.sub(r"<\w+:(\w+)>", r"<\1>", plain)


def test_every_address_is_listed():
    assert sorted(set(routes())) == sorted(MATRIX["routes"])


@pytest.fixture
def people(person, admin, operator, developer):
    return {
        "nobody": person("nemo", None),
        "admin": admin,
        "operator": operator,
        "developer": developer,
        "inactive": person("igor", "Admin"),
        "expired": person("ella", "Admin"),
    }


@pytest.fixture
def caller(people, key_of):
    """A client of a caller: with a key below ``api/``, else with a session."""

    def make(name: str, route: str) -> Client:
        if name == "anonymous":
            return Client()
        user = people[name]
        if not route.startswith("api/") and name != "expired":
            client = Client()
            client.force_login(user)
        else:
            client = Client(headers={"Authorization": f"Bearer {key_of(user)}"})
        if name == "inactive":
            type(user).objects.filter(pk=user.pk).update(is_active=False)
        if name == "expired":
            APIKey.objects.filter(owner=user).update(expires_at=timezone.now() - timedelta(seconds=1))
        return client

    return make


@pytest.fixture
def address(ready, release, deployment, production, staging, actor_of, admin):
    """The address and the body of a case."""
    environments = {"production": production, "staging": staging}

    def make(route: str, thing: str) -> tuple[str, dict[str, object]]:
        act = route.rstrip("/").rpartition("/")[2]
        values = {"name": thing, "version": "v1.2.5", "pk": 999_999, "token": "1:used:link"}
        body: dict[str, object] = {"reason": "Because"}
        if thing == "missing":
            values["version"] = "v9.9.9"
        if "<name>" in route and "<pk>" in route:
            values["name"] = act = "hold"
        if thing in environments and "deployments/<pk>" in route:
            values["pk"] = deployment(STATUS_FOR.get(act, "running"), environment=environments[thing]).pk
        elif thing in environments and "audit/<pk>" in route:
            with transaction.atomic():
                values["pk"] = record(actor_of(admin), "traffic.shift", environment=thing).pk
        elif "deployments/" in route or "releases/" in route:
            made = release("v1.2.5")
            body |= {"environment": thing, "release": "v1.2.5", "strategy": "blue_green"}
            if "releases" in route and thing == "any" and "<version>" not in route:
                made.delete()
                body = {"version": "v1.2.5", "artifact": made.artifact, "digest": made.digest}
        return "/" + re.sub(r"<(\w+)>", lambda found: str(values[found.group(1)]), route), body

    return make


def ask(client: Client, method: str, url: str, route: str, body: dict[str, object]) -> int:
    """The status of an answer; what the request changed is taken back."""
    with transaction.atomic():
        if method == "GET":
            status = client.get(url).status_code
        elif route.startswith("api/"):
            status = client.generic(method, url, json.dumps(body), content_type="application/json").status_code
        else:
            status = getattr(client, method.lower())(url, body).status_code
        transaction.set_rollback(True)
    return status


@pytest.mark.parametrize(("route", "method", "thing", "answers"), CASES)
def test_answers(route, method, thing, answers, caller, address):
    url, body = address(route, thing)
    expected = MATRIX["answers"][answers]
    found = {name: ask(caller(name, route), method, url, route, body) for name in expected}
    assert found == expected


@pytest.mark.parametrize("route", MATRIX["routes"])
def test_other_methods_are_refused(route, caller, address):
    url, body = address(route, "any")
    client = caller("admin", route)
    for method in METHODS:
        if method not in MATRIX["routes"][route]:
            assert ask(client, method, url, route, body) in (403, 405), method
