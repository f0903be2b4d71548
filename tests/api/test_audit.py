"""The audit trail over the API: who may read what, and the filters."""

from __future__ import annotations

import base64
import csv
import io
import json

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from audit.actions import record
from audit.actors import system as system_actor
from audit.models import Record, Verification
from tests.audit.records import chain_up

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


def test_pages_lead_both_ways(api, operator, trail):
    client = api(operator)
    first = client.get(f"{URL}?page_size=1").json()
    second = client.get(first["next"]).json()
    assert client.get(second["previous"]).json()["results"] == first["results"]
    assert second["next"] is None or client.get(second["next"]).json()["results"][0]["reason"] not in ("one", "two")


def test_a_person_reads_their_own_acts_everywhere(api, operator, trail, actor_of):
    with transaction.atomic():
        record(actor_of(operator), "traffic.shift", None, reason="mine")
    assert reasons(api(operator)) == ["mine", "two", "one"]


def test_a_key_for_some_environments_reads_the_records_of_these(admin, operator, trail, key_of, actor_of):
    with transaction.atomic():
        record(actor_of(admin), "traffic.shift", None, reason="mine")
    for user in (admin, operator):
        key = key_of(user, environments=["staging"])
        client = Client(headers={"Authorization": f"Bearer {key}"})
        assert reasons(client) == ["two"]
        exported = b"".join(client.get(f"{URL}export/?as=csv").streaming_content)
        assert {row["environment"] for row in csv.DictReader(io.StringIO(exported.decode()))} == {"staging"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=one", ["one"]),
        ("q=traffic%20shift", ["one"]),
        ("q=ada", ["one"]),
        ("since=1h", ["two", "one"]),
        ("until=1h", []),
        ("since=2020-01-01&until=2020-01-01", []),
        ("since=2020-01-01T00:00:00%2B02:00", ["two", "one"]),
        ("request=none", []),
    ],
)
def test_text_and_time(api, operator, trail, query, found):
    assert reasons(api(operator), query) == found


@pytest.mark.parametrize(
    "query",
    [
        *("q=ab", "q=a%00bc", "since=soon", "until=2026-13-01", "since=2026-01-02&until=2026-01-01T00:00Z"),
        *("request=%00", f"q={'x' * 101}", f"since={'9' * 41}"),
    ],
)
def test_a_wrong_text_or_time_is_named(api, operator, trail, query):
    answer = api(operator).get(f"{URL}?{query}")
    names = {part.partition("=")[0] for part in query.split("&")}
    assert answer.status_code == 400 and names & set(answer.json()["errors"]), answer.json()


def test_one_record_with_its_proof(api, operator, trail):
    kept = Record.objects.get(reason="one")
    client = api(operator)
    assert client.get(f"{URL}{kept.pk}/").json()["chain"] is None
    chain_up([kept])
    body = client.get(f"{URL}{kept.pk}/").json()
    assert body["reason"] == "one" and body["chain"]["seq"] == 1 and body["chain"]["is_whole"] is True
    assert body["chain"]["checkpoint_seq"] is None
    unseen = Record.objects.get(reason="three")
    for pk in (unseen.pk, 999_999, "9" * 18):
        assert client.get(f"{URL}{pk}/").status_code == 404


def test_how_the_chain_stands(api, operator, trail):
    client = api(operator)
    assert client.get(f"{URL}chain/").json()["status"] == "unchecked"
    chain_up([Record.objects.get(reason="one")])
    Verification.objects.create(tail_seq=1, tail_at=timezone.now())
    body = client.get(f"{URL}chain/").json()
    assert (body["status"], body["entries"], body["verified_to"]) == ("intact", 1, 1)
    assert len(body["head"]) == 64 and body["pending"] >= 2
    Verification.objects.update(wrong_seq=1, wrong_what="gone")
    assert client.get(f"{URL}chain/").json()["status"] == "broken"


def test_an_export_is_a_file_whatever_is_accepted(api, operator, trail):
    client = api(operator)
    for accept in ("text/csv", "application/x-ndjson", "*/*", "application/json"):
        answer = client.get(f"{URL}export/?as=jsonl&actor=guard", headers={"Accept": accept})
        assert answer.status_code == 200 and answer["Content-Type"] == "application/x-ndjson"
        (line,) = [json.loads(row) for row in b"".join(answer.streaming_content).splitlines()]
        assert line["type"] == "pending" and line["record"]["reason"] == "two"
    kept = Record.objects.filter(action="audit.exported").order_by("id")
    assert [one.outcome for one in kept] == ["intent", "done"] * 4 and kept[0].via == "key"
    assert kept[0].after["filter"] == {"who": "guard"} and kept[1].after["written"] == 1


def test_an_export_refuses_what_it_does_not_know(api, operator, trail):
    for query in ("as=xml", "as=csv&since=soon", "action=made.up"):
        answer = api(operator).get(f"{URL}export/?{query}")
        assert answer.status_code == 400 and answer["Content-Type"] == "application/problem+json"
    assert not Record.objects.filter(action="audit.exported").exists()


def test_lists_and_exports_take_no_query_for_a_row(api, operator, trail, actor_of, django_assert_max_num_queries):
    client = api(operator)
    client.get(URL)
    with transaction.atomic():
        for number in range(40):
            record(actor_of(operator), "traffic.shift", None, environment="staging", reason=f"number {number}")
    for query, most in (("", 5), ("?q=number", 9), ("?actor=otto&outcome=done", 9)):
        with django_assert_max_num_queries(most):
            assert len(client.get(f"{URL}{query}").json()["results"]) >= 40
    with django_assert_max_num_queries(16):
        assert b"".join(client.get(f"{URL}export/?as=csv").streaming_content).count(b"number") == 40
