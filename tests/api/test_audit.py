"""The audit trail over the API: who may read what, and the filters."""

from __future__ import annotations

import base64

import pytest
from django.db import transaction

from audit.actions import record
from audit.actors import system as system_actor

URL = "/api/v1/audit/"


@pytest.fixture
def trail(production, staging, actor_of, admin):
    """One act in each environment, and one in none."""
    with transaction.atomic():
        record(actor_of(admin), "traffic.shift", production, environment="production", reason="one")
        record(
            system_actor("guard"), "writer.role", staging, environment="staging", reason="two", after={"role": "ACTIVE"}
        )
        record(system_actor("engine"), "traffic.shift", None, environment="forgotten", reason="three")


def reasons(client, query=""):
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 200, answer.json()
    return [row["reason"] for row in answer.json()["results"] if row["reason"]]


def test_newest_first_and_admins_see_everything(api, admin, operator, person, trail):
    assert reasons(api(admin)) == ["three", "two", "one"]
    assert reasons(api(operator)) == ["two", "one"]
    assert reasons(api(person("nemo", None))) == []


def test_a_key_of_somebody_inactive_reads_nothing(api, admin, trail):
    client = api(admin)
    admin.is_active = False
    admin.save()
    assert client.get(URL).status_code == 401


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("action=traffic.shift", ["one"]),
        ("environment=staging", ["two"]),
        ("actor=ada", ["one"]),
        ("actor=guard", ["two"]),
        ("object=environment", ["two", "one"]),
        ("outcome=denied", []),
        ("environment=forgotten", []),
    ],
)
def test_filters(api, operator, trail, query, found):
    assert reasons(api(operator), query) == found


def test_filter_by_object(api, operator, trail, production):
    assert reasons(api(operator), f"object=environment:{production.pk}") == ["one"]


@pytest.mark.parametrize(
    "query",
    ["action=made.up", "object=A%00", "object=environment:%00", "outcome=perhaps", "actor=%00", "environment=%00"],
)
def test_a_wrong_filter_is_named(api, operator, system, query):
    answer = api(operator).get(f"{URL}?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["errors"]


def test_pages_follow_a_cursor(api, operator, trail):
    client = api(operator)
    first = client.get(f"{URL}?page_size=1").json()
    assert [row["reason"] for row in first["results"]] == ["two"] and first["previous"] is None
    assert [row["reason"] for row in client.get(first["next"]).json()["results"]] == ["one"]
    for made_up in ("nonsense", base64.b64encode(b"p=abc").decode(), base64.b64encode(b"p=" + b"9" * 30).decode()):
        assert client.get(URL, {"cursor": made_up}).status_code == 404


def test_a_record_says_everything(api, operator, trail):
    row = next(r for r in api(operator).get(URL).json()["results"] if r["reason"] == "one")
    assert row["actor"] == "Ada Admin" and row["label"] == "Traffic shift" and row["via"] == "session"
    assert row["object"]["type"] == "environment" and row["object"]["name"] == "production"
    assert row["outcome"] == "done" and row["at"].endswith("Z")
