"""Deployments over the API: start, act, read; and that a refusal creates nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Record
from deployments.models import Deployment, VerdictRow

START = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "Fix of the slippage"}
URL = "/api/v1/deployments/"


def post(client, url, body, **headers):
    return client.post(url, body, content_type="application/json", headers=headers)


@pytest.fixture
def startable(ready, release):
    return release("v1.2.5")


def test_start_answers_the_new_deployment(api, admin, startable):
    answer = post(api(admin), URL, START)
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert answer["Location"].endswith(f"{URL}{body['id']}/")
    assert (body["environment"], body["from_release"], body["to_release"]) == ("production", None, "v1.2.5")
    assert (body["strategy"], body["status"], body["reverts"]) == ("blue_green", "pending", None)
    assert [step["name"] for step in body["steps"]][:3] == ["preflight", "start_slot", "wait_healthy"]
    assert {"name", "status", "started_at", "finished_at", "detail"} <= set(body["steps"][0])
    assert body["timings"] == {"shift_ms": None, "fault_to_traffic_back_ms": None, "writer_gap_ms": None}
    assert body["verdicts"] == [] and body["failure_reason"] == "" and body["finished_at"] is None
    record = Record.objects.get(action="deployment.started")
    assert (record.actor, record.via, record.role, record.reason) == (admin, "key", "Admin", START["reason"])
    assert record.request_id == answer["X-Request-ID"] and record.address == "127.0.0.1"


def test_a_second_start_is_told_what_blocks_it(api, admin, startable):
    first = post(api(admin), URL, START).json()["id"]
    answer = post(api(admin), URL, START)
    assert answer.status_code == 409
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["blocking_deployment"] == first and answer.json()["code"] == "deployment_in_progress"
    assert Deployment.objects.count() == 1


def test_preflight_lists_every_reason(api, admin, production, release):
    release("v1.2.5")
    answer = post(api(admin), URL, START)  # neither load balancer nor supervisor runs
    assert answer.status_code == 422
    assert {reason["check"] for reason in answer.json()["reasons"]} == {"router", "driver"}
    assert all(reason["reason"] and reason["todo"] for reason in answer.json()["reasons"])
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"environment": "moon"}, "environment", "Known: production, staging"),
        ({"release": "v9.9.9"}, "release", "Newest first: v1.2.5"),
        ({"strategy": "hope"}, "strategy", "hope"),
        ({"reason": "   "}, "reason", "blank"),
        ({"reason": None}, "reason", "null"),
        ({"reason": "x" * 2001}, "reason", "2000"),
        ({"release": "v1\x00"}, "release", "Null"),
        ({"enviroment": "production"}, "enviroment", "Unknown member"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_created(api, admin, startable, change, field, says):
    answer = post(api(admin), URL, {**START, **change})
    assert answer.status_code == 400 and answer["Content-Type"] == "application/problem+json"
    assert says in " ".join(answer.json()["errors"][field])
    assert not Deployment.objects.exists()
    assert not Record.objects.filter(action="deployment.started").exists()


def test_missing_fields_are_all_named(api, admin, startable):
    assert set(post(api(admin), URL, {}).json()["errors"]) == set(START)


@pytest.mark.parametrize("body", ["[]", '"text"', "{", "\xff", ""])
def test_a_body_that_is_no_object_is_a_400(api, admin, system, body):
    answer = api(admin).post(URL, body, content_type="application/json")
    assert answer.status_code == 400 and answer["Content-Type"] == "application/problem+json"


def test_another_content_type_is_a_415(api, admin, system):
    assert api(admin).post(URL, {"a": 1}).json()["code"] == "unsupported_media_type"


def test_a_denied_start_names_who_can_and_is_audited(api, operator, startable):
    answer = post(api(operator), URL, START)
    assert answer.status_code == 403 and "It takes: Admin" in answer.json()["detail"]
    denial = Record.objects.get(action="access.denied")
    assert (denial.actor, denial.environment, denial.outcome) == (operator, "production", "denied")
    assert not Deployment.objects.exists()


def test_a_developer_deploys_to_staging_and_only_asks_for_production(api, developer, startable):
    asked = post(api(developer), URL, START)
    assert (asked.status_code, asked.json()["status"]) == (201, "awaiting_approval")
    started = post(api(developer), URL, {**START, "environment": "staging"})
    assert (started.status_code, started.json()["status"]) == (201, "pending")


@pytest.mark.parametrize(
    ("status", "act", "becomes"),
    [
        ("running", "promote", "running"),
        ("running", "hold", "held"),
        ("held", "resume", "running"),
        ("running", "abort", "aborting"),
    ],
)
def test_acts(api, admin, deployment, status, act, becomes):
    made = deployment(status)
    answer = post(api(admin), f"{URL}{made.pk}/{act}/", {"reason": "Because"})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["status"] == becomes and answer.json()["id"] == made.pk
    assert Record.objects.filter(object_type="deployment", reason="Because").count() == 1


def test_rollback_answers_the_new_deployment(api, admin, deployment):
    made = deployment("watching")
    answer = post(api(admin), f"{URL}{made.pk}/rollback/", {"reason": "Slow"})
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert body["reverts"] == made.pk and body["id"] != made.pk
    assert (body["from_release"], body["to_release"], body["strategy"]) == ("v1.2.5", "v1.2.4", "rollback")
    reverted = api(admin).get(f"{URL}{made.pk}/").json()
    assert (reverted["status"], reverted["reverted_by"]) == ("failing", body["id"])


@pytest.mark.parametrize("act", ["promote", "hold", "resume", "abort", "rollback"])
def test_an_act_that_does_not_fit_does_nothing(api, admin, deployment, act):
    made = deployment("aborted")
    answer = post(api(admin), f"{URL}{made.pk}/{act}/", {"reason": "Because"})
    assert answer.status_code == 409 and answer.json()["current_status"] == "aborted"
    made.refresh_from_db()
    assert made.status == "aborted" and not Record.objects.filter(reason="Because").exists()


def test_a_stale_token_does_nothing(api, admin, deployment):
    made = deployment("running")
    answer = post(api(admin), f"{URL}{made.pk}/hold/", {"reason": "Because", "token": "held.before"})
    assert answer.status_code == 409
    made.refresh_from_db()
    assert made.status == "running"
    token = api(admin).get(f"{URL}{made.pk}/").json()["token"]
    assert post(api(admin), f"{URL}{made.pk}/hold/", {"reason": "Because", "token": token}).status_code == 200


def test_an_act_needs_a_reason_and_an_existing_deployment(api, admin, deployment):
    made = deployment("running")
    assert "reason" in post(api(admin), f"{URL}{made.pk}/abort/", {}).json()["errors"]
    for missing in ("999999", "9" * 18, "nonsense"):
        assert post(api(admin), f"{URL}{missing}/abort/", {"reason": "x"}).status_code == 404


def test_list_filters(api, operator, deployment, staging):
    ended, running = deployment("aborted"), deployment("running")
    elsewhere = deployment("running", environment=staging)

    def ids(query):
        return [row["id"] for row in api(operator).get(f"{URL}?{query}").json()["results"]]

    assert ids("") == [elsewhere.pk, running.pk, ended.pk]
    assert ids("environment=production&status=running") == [running.pk]
    assert ids("status=running,aborted&environment=production") == [running.pk, ended.pk]
    assert ids("page_size=1&page=2") == [running.pk]


@pytest.mark.parametrize(("query", "field"), [("status=done", "status"), ("environment=moon", "environment")])
def test_a_wrong_filter_is_named(api, operator, system, query, field):
    answer = api(operator).get(f"{URL}?{query}")
    assert answer.status_code == 400 and field in answer.json()["errors"]
    assert api(operator).get(f"{URL}?{field}=%00").status_code == 400


def test_the_way_back_is_timed(api, operator, deployment):
    now = timezone.now()
    made = deployment("rolled_back", fault_after=now, traffic_back_at=now + timedelta(milliseconds=870), shift_ms=4.5)
    timings = api(operator).get(f"{URL}{made.pk}/").json()["timings"]
    assert timings["fault_to_traffic_back_ms"] == pytest.approx(870) and timings["shift_ms"] == 4.5


def test_verdicts_are_the_current_ones_and_lead_to_the_advice(api, operator, deployment):
    made, now = deployment("watching"), timezone.now()
    common = {
        "deployment": made,
        "rule": "Latency p99",
        "kind": "latency",
        "action": "recommend",
        "since": now,
        "at": now,
    }
    VerdictRow.objects.create(**common, verdict="pass", is_current=False)
    VerdictRow.objects.create(**common, verdict="fail", reason="60 ms > 5 × 10 ms", value=60, baseline=10, unit="ms")
    body = api(operator).get(f"{URL}{made.pk}/").json()
    assert [(v["rule"], v["verdict"], v["value"]) for v in body["verdicts"]] == [("Latency p99", "fail", 60.0)]
    assert body["recommendation"]["verb"] == "roll_back"
