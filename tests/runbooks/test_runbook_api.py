"""Runbooks over the API: the library, and a run from its start to its end."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from alerts.actions import raise_alert
from runbooks.models import RunbookRun
from tests.accounts.factors import make_key
from tests.runbooks.books import make_run, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def call(settings, tmp_path, operator):
    """Ask as the Operator: ``call("runbooks/")``, with a body it is a POST; status and answer."""
    settings.OPSC_RUNBOOKS = [tmp_path]
    (tmp_path / "lamp.md").write_text(text())
    (tmp_path / "bad.md").write_text(text("bad", "Nothing."))
    client = Client(headers={"Authorization": f"Bearer {make_key(operator)}"})

    def ask(path, body=None, key=None):
        address, headers = f"/api/v1/{path}", {"Idempotency-Key": key} if key else {}
        if body is None:
            answer = client.get(address)
        else:
            answer = client.post(address, json.dumps(body), content_type="application/json", headers=headers)
        return answer.status_code, answer.json()

    return ask


def test_the_library_is_listed_with_what_is_wrong_in_it(call):
    status, answer = call("runbooks/?page_size=200")
    found = {one["slug"]: one for one in answer["results"]}
    assert (
        status == 200 and found["lamp"]["is_usable"] and found["lamp"]["alerts"] == [{"kind": "mismatch", "key": "*"}]
    )
    assert not found["bad"]["is_usable"] and found["bad"]["title"] is None
    assert "line 1: There is no step" in found["bad"]["problems"][0]
    status, book = call("runbooks/lamp/")
    assert status == 200 and [one["number"] for one in book["steps"]] == [1, 2, 3]
    assert book["steps"][0]["checks"] == ["alerts.open", "command:say", "command:slow", "command:gone"]
    assert book["steps"][0]["if_failed"] == {"step": 3, "words": "it is broken"}
    assert call("runbooks/bad/")[0] == 404 and call("runbooks/none/")[0] == 404


def test_a_run_from_its_start_to_its_end(call, production):
    alert = raise_alert("mismatch", "production", severity="critical", title="Differs", environment=production)
    body = {"runbook": "lamp", "environment": "production", "alert": alert.pk}
    status, run = call("runbook-runs/", body, "once")
    assert status == 201 and run["step"] == 1 and run["steps"] == 3 and run["may_act"] and run["revision"] == 0
    assert call("runbook-runs/", body, "once")[1]["id"] == run["id"] and RunbookRun.objects.count() == 1
    assert run["current"]["title"] == "Look at the lamp in production"
    at = f"runbook-runs/{run['id']}/"
    status, output = call(f"{at}diagnose/", {"name": "command:say", "revision": 0})
    assert (status, output["state"], output["output"]) == (200, "pass", "lamp of production")
    assert call(f"{at}note/", {"text": "It hums.", "was": run["notes_token"]})[1]["notes"] == "It hums."
    assert call(f"{at}note/", {"text": "x", "was": run["notes_token"]})[1]["code"] == "run_changed"
    status, moved = call(f"{at}failed/", {"reason": "It is dark.", "revision": 0})
    assert status == 200 and (moved["step"], moved["revision"]) == (3, 1)
    status, problem = call(f"{at}done/", {"revision": 0})
    assert (status, problem["code"]) == (409, "run_changed") and "step 3 is current" in problem["detail"]
    assert call(f"{at}skip/", {"reason": "Once more", "to": 2})[1]["step"] == 2
    assert call(f"{at}done/", {})[1]["step"] == 3
    status, ended = call(f"{at}finish/", {"resolved": True, "summary": "A new bulb."})
    assert status == 200 and (ended["status"], ended["summary"]) == ("resolved", "A new bulb.")
    assert [one["outcome"] for one in ended["visits"]] == ["failed", "skipped", "done", "skipped"]
    assert ended["visits"][0]["outputs"][0]["name"] == "command:say" and ended["current"] is None
    assert call(f"{at}done/", {})[1]["code"] == "run_closed"
    listed = call(f"runbook-runs/?status=resolved&runbook=lamp&environment=production&alert={alert.pk}")[1]
    assert [one["id"] for one in listed["results"]] == [run["id"]]
    assert call("runbook-runs/?status=running")[1]["count"] == 0


def test_control_is_taken_before_anything_is_done(call, production, admin):
    run = make_run(production, admin)
    at = f"runbook-runs/{run.pk}/"
    status, problem = call(f"{at}done/", {})
    assert (status, problem["code"]) == (409, "not_in_control") and "Ada Admin" in problem["detail"]
    status, taken = call(f"{at}take-over/", {"revision": 0})
    assert status == 200 and taken["operator"] == "Otto Operator" and taken["may_act"]
    assert call(f"{at}abandon/", {"reason": "A false alarm"})[1]["status"] == "abandoned"


def test_a_remedy_says_who_can_and_where_it_is_done(call, production, operator):
    run = make_run(production, operator)
    at = f"runbook-runs/{run.pk}/"
    stop = next(one for one in call(at)[1]["remedies"] if one["name"] == "trading.emergency_stop")
    assert stop["is_permitted"] and stop["page"].startswith("/")
    status, problem = call(f"{at}remedy/", {"name": "trading.emergency_stop", "reason": "x"})
    assert (status, problem["code"]) == (400, "invalid_request") and stop["page"] in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runbook-runs/", {"runbook": "lamp"}),
        ("runbook-runs/", {"runbook": "lamp", "environment": "nowhere"}),
        ("runbook-runs/", {"runbook": "lamp", "environment": "production", "alert": 10**12}),
        ("runbook-runs/", {"runbook": "lamp", "environment": "production", "alert": 5}),
        ("runbook-runs/", {"runbook": "lamp", "environment": "production", "deployment": 5}),
        ("runbook-runs/", {"runbook": "bad", "environment": "production"}),
        ("runbook-runs/", {"runbook": "lamp", "environment": "production", "step": 2}),
        ("runbook-runs/{run}/done/", {"revision": -1}),
        ("runbook-runs/{run}/done/", {"revisoin": 1}),
        ("runbook-runs/{run}/failed/", {"reason": "x" * 2_001}),
        ("runbook-runs/{run}/failed/", {"reason": "a\x00b"}),
        ("runbook-runs/{run}/skip/", {"reason": "x", "to": 9}),
        ("runbook-runs/{run}/note/", {"text": "x" * 20_001}),
        ("runbook-runs/{run}/finish/", {"resolved": "perhaps", "summary": "x"}),
        ("runbook-runs/{run}/diagnose/", {"name": "x" * 81}),
        ("runbook-runs/?status=odd", None),
        ("runbook-runs/?alert=x", None),
    ],
)
def test_what_is_wrong_is_named(call, production, operator, path, body):
    run = make_run(production, operator)
    status, problem = call(path.format(run=run.pk), body)
    assert status == 400 and problem["errors"]
    assert RunbookRun.objects.count() == 1 and RunbookRun.objects.get().revision == 0
