"""Every address × method × object × caller against ``matrix.yaml``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.db import transaction
from django.urls import URLResolver, get_resolver

from tests.api.matrix_world import BY_KEY, KEYS, PEOPLE, World, build

pytestmark = pytest.mark.django_db
MATRIX = yaml.safe_load((Path(__file__).parent / "matrix.yaml").read_text())
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CASES = [
    pytest.param(
        *(route, method, thing, answers),
        id=f"{method} /{route} {thing}",
        marks=pytest.mark.xdist_group(f"matrix of {'the API' if route.startswith(BY_KEY) else 'pages'}"),
    )
    for route, methods in MATRIX["routes"].items()
    for method, things in methods.items()
    for thing, answers in things.items()
]


def routes(patterns=None, prefix: str = "") -> Iterator[str]:
    """Every address of the console, parameters as ``<name>``."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route.replace("^", "").replace("$", ""))
            yield re.sub(r"<\w+:(\w+)>", r"<\1>", plain)


def expected(row: dict[str, int], route: str, method: str, thing: str) -> dict[str, int]:
    """The answers of a class at an address; for callers that it does not state, what ``matrix.yaml`` says on top."""
    is_api, is_open = route.startswith(BY_KEY), row["anonymous"] == row["admin"]
    bounded = row["admin"] if method == "GET" or is_open or row["admin"] >= 400 else 403
    found = {
        **({"second": row["admin"]} if thing in ("own", "others") else {}),
        "weak": row["admin"] if is_open else 403 if is_api else 302,
        "scopeless": bounded,
        "elsewhere": row["nobody"] if thing == "production" else row["admin"],
        "outside": row["expired"],
        **row,
    }
    return found if is_api else {caller: status for caller, status in found.items() if caller not in KEYS}


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker, outside, tmp_path_factory) -> Iterator[World]:
    """Made once, in a transaction that is never committed; each question is asked inside of a savepoint."""
    logging.disable(logging.WARNING)  # each refusal warns with a traceback
    with django_db_blocker.unblock(), transaction.atomic():
        yield build(tmp_path_factory.mktemp("matrix"), outside)
        transaction.set_rollback(True)
    logging.disable(logging.NOTSET)


def test_every_address_is_listed():
    assert sorted(set(routes())) == sorted(MATRIX["routes"])


def test_every_class_is_used_and_names_known_callers():
    used = {
        answers for methods in MATRIX["routes"].values() for things in methods.values() for answers in things.values()
    }
    assert used == set(MATRIX["answers"])
    callers = {"anonymous", *PEOPLE, *KEYS}
    assert {caller for row in MATRIX["answers"].values() for caller in row} <= callers


@pytest.mark.parametrize(("route", "method", "thing", "answers"), CASES)
def test_answers(route, method, thing, answers, world):
    wanted = expected(MATRIX["answers"][answers], route, method, thing)
    with world.case(method, route, thing) as ask:
        found = {caller: ask(caller) for caller in wanted}
    wrong = {caller: f"{found[caller]}, not {wanted[caller]}" for caller in wanted if found[caller] != wanted[caller]}
    assert not wrong


@pytest.mark.parametrize("route", MATRIX["routes"])
def test_other_methods_are_refused(route, world):
    for method in METHODS:
        if method not in MATRIX["routes"][route]:
            with world.case(method, route, "any") as ask:
                assert ask("admin") in (403, 405), method
