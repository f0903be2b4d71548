"""The databases over the API."""

from __future__ import annotations

import pytest
from django.test import Client

from environments.models import Instance
from tests.accounts.factors import enter, give_second_factor
from tests.environments.answers import STATE, answer, serve
from trading.models import DatabaseRun

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/environments/production/database-runs/"


@pytest.fixture
def place(production, tmp_path):
    production.database = {"url": "env:NOWHERE", "schema_name": "book", "folder": str(tmp_path), "keep": 20}
    production.writer_slot = production.slots.get(name="blue")
    production.save()
    return production


@pytest.fixture
def backup(place):
    fields = {"actor_name": "Ada Admin", "reason": "Daily", "path": "/x/y.dump", "size": 10, "sha256": "ab" * 32}
    return DatabaseRun.objects.create(
        environment=place, kind="backup", status="succeeded", facts={"rows": {"trades": 7}}, **fields
    )


@pytest.fixture
def halted(place):
    with serve({"GET /v1/state": answer({**STATE, "role": "HALTED"})}) as server:
        Instance.objects.filter(slot__environment=place).update(base_url=server.url)
        yield


def post(client: Client, **body):
    return client.post(RUNS, body, content_type="application/json")


def test_asking_for_a_backup(api, admin, place):
    client = api(admin)
    done = client.post(
        RUNS, {"kind": "backup", "reason": "Now"}, content_type="application/json", headers={"Idempotency-Key": "1"}
    )
    run = DatabaseRun.objects.get()
    assert done.status_code == 202 and done["Location"] == f"/api/v1/database-runs/{run.pk}/"
    found = client.get(done["Location"]).json()
    assert (found["status"], found["kind"], found["asked_by"], found["progress"]) == (
        "waiting",
        "backup",
        "Ada Admin",
        0,
    )
    assert found["url"] == f"/databases/runs/{run.pk}/"
    again = client.post(
        RUNS, {"kind": "backup", "reason": "Now"}, content_type="application/json", headers={"Idempotency-Key": "1"}
    )
    assert again.status_code == 202 and again["Idempotency-Replayed"] == "true" and DatabaseRun.objects.count() == 1
    busy = post(client, kind="verify", reason="x")
    assert busy.status_code == 409 and busy.json()["code"] == "wrong_state"


def test_the_list_and_its_filters(api, operator, place, backup, django_assert_max_num_queries):
    DatabaseRun.objects.create(environment=place, kind="verify", status="failed", actor_name="x", reason="x")
    client = api(operator)
    assert [one["kind"] for one in client.get(RUNS).json()["results"]] == ["verify", "backup"]
    found = client.get(RUNS, {"file": "true"}).json()["results"]
    assert [(one["id"], one["rows"], one["has_file"]) for one in found] == [(str(backup.pk), {"trades": 7}, True)]
    assert client.get(RUNS, {"kind": "verify"}).json()["count"] == 1
    assert client.get(RUNS, {"kind": "other"}).status_code == 400
    with django_assert_max_num_queries(12):
        client.get(RUNS)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "erase", "reason": "x"},
        {"kind": "backup"},
        {"kind": "backup", "reason": ""},
        {"kind": "backup", "reason": "x\u0000"},
        {"kind": "backup", "reason": "x" * 2001},
        {"kind": "backup", "reason": "x", "backup": "00000000-0000-4000-8000-000000000000"},
        {"kind": "restore", "reason": "x"},
        {"kind": "restore", "reason": "x", "backup": "no-uuid"},
        {"kind": "verify", "reason": "x", "backup": "00000000-0000-4000-8000-000000000000"},
        {"kind": "backup", "reason": "x", "more": 1},
        [],
    ],
)
def test_what_is_malformed(api, admin, place, body):
    done = api(admin).post(RUNS, body, content_type="application/json")
    assert done.status_code == 400 and done.json()["code"] == "invalid_request", done.content
    assert not DatabaseRun.objects.exists()


def test_a_restore_takes_a_person(api, admin, place, backup, halted):
    done = post(api(admin), kind="restore", reason="x", backup=str(backup.pk))
    assert done.status_code == 403 and done.json()["code"] == "step_up_required"
    assert not DatabaseRun.objects.filter(kind="restore").exists()


def test_a_session_restores_with_a_fresh_proof(admin, place, backup, halted):
    import pyotp

    from accounts.models import AuthenticatorApp
    from tests.accounts.factors import SEED

    give_second_factor(admin)
    client = enter(admin)
    wanted = {"action": "database.restore", "object": f"databaserun:{backup.pk}"}
    for _ in range(2):  # a code that was right when it was read may be over when it arrives
        AuthenticatorApp.objects.update(last_step=0)
        asked = client.post("/api/v1/step-up/", wanted, content_type="application/json").json()
        proof = {"challenge": asked["challenge"], "code": pyotp.TOTP(SEED).now()}
        done = post(client, kind="restore", reason="x", backup=str(backup.pk), step_up=proof)
        if done.status_code == 202:
            break
    assert done.status_code == 202, done.content
    assert done.json()["kind"] == "restore" and done.json()["backup"] == str(backup.pk)


def test_no_restore_while_it_is_not_known_to_be_halted(api, admin, place, backup):
    done = post(api(admin), kind="restore", reason="x", backup=str(backup.pk))
    assert done.status_code == 409 and "Halt trading first." in done.json()["detail"]


def test_without_a_database(api, admin, place):
    place.database = {}
    place.save()
    done = post(api(admin), kind="backup", reason="x")
    assert done.status_code == 409 and done.json()["code"] == "not_configured"
