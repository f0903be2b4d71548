"""The review over the API: ask, list, show, approve, reject, withdraw; and what each refusal says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Record
from deployments.models import Approval, Deployment, Release

START = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "Fix of the slippage"}
URL = "/api/v1/approvals/"


def post(client, url, body=None, **headers):
    return client.post(url, body or {}, content_type="application/json", headers=headers)


@pytest.fixture
def ask(api, developer, ready, release):
    """Dora asks over the API: ``ask()``; the request as the API shows it to her."""

    def make(version: str = "v1.2.5", user=developer) -> dict:
        release(version)
        answer = post(api(user), "/api/v1/deployments/", {**START, "release": version})
        assert answer.status_code == 201, answer.json()
        return answer.json()["approval"]

    return make


def test_a_developer_asks_at_the_same_address(api, developer, ready, release):
    release("v1.2.5")
    answer = post(api(developer), "/api/v1/deployments/", START)
    body = answer.json()
    assert answer.status_code == 201 and answer["Location"].endswith(f"/api/v1/deployments/{body['id']}/")
    assert (body["status"], body["steps"], body["started_at"]) == ("awaiting_approval", [], None)
    assert body["approval"]["state"] == "waiting" and len(body["approval"]["subject_hash"]) == 64
    assert body["approval"]["decided_by"] == "" and body["approval"]["expires_at"]
    record = Record.objects.get(action="deployment.requested")
    assert (record.actor, record.via, record.request_id) == (developer, "key", answer["X-Request-ID"])
    assert api(developer).get("/api/v1/deployments/").json()["results"][0]["approval"] == body["approval"]


def test_what_starts_directly_has_no_approval(api, admin, ready, release):
    release("v1.2.5")
    assert post(api(admin), "/api/v1/deployments/", START).json()["approval"] is None


def test_a_request_shows_exactly_what_will_happen(api, admin, developer, ask):
    asked = ask()
    body = api(admin).get(f"{URL}{asked['id']}/").json()
    assert (body["environment"], body["from_release"], body["to_release"]) == ("production", None, "v1.2.5")
    assert (body["state"], body["requested_by"], body["reason"]) == ("waiting", "Dora Developer", START["reason"])
    assert body["subject_hash"] == asked["subject_hash"] and body["subject"]["release"]["version"] == "v1.2.5"
    assert [check["ok"] for check in body["checks"]] == [True] * 21 and body["blocking_deployment"] is None
    assert (body["is_own"], body["may_decide"]) == (False, True)
    own = api(developer).get(f"{URL}{asked['id']}/").json()
    assert (own["is_own"], own["may_decide"]) == (True, False)


def test_approving_starts_it(api, admin, ask):
    asked = ask()
    client = api(admin)
    answer = post(client, f"{URL}{asked['id']}/approve/", {"subject_hash": asked["subject_hash"], "reason": "Good"})
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["state"], body["decided_by"], body["decision_reason"]) == ("approved", "Ada Admin", "Good")
    assert body["deployment_status"] == "pending" and body["checks"] == []
    deployment = client.get(f"/api/v1/deployments/{body['deployment']}/").json()
    assert (deployment["status"], deployment["requested_by"]) == ("pending", "Dora Developer")
    assert deployment["approval"]["decided_by"] == "Ada Admin"
    assert [step["name"] for step in deployment["steps"]] == [step["name"] for step in body["subject"]["plan"]]
    again = post(client, f"{URL}{asked['id']}/approve/", {"subject_hash": asked["subject_hash"]})
    assert again.status_code == 409
    assert (again.json()["code"], again.json()["state"]) == ("not_waiting", "approved")
    assert "Ada Admin has approved it already." in again.json()["detail"]


def test_the_same_request_with_the_same_key_approves_once(api, admin, ask):
    asked = ask()
    body = {"subject_hash": asked["subject_hash"]}
    client = api(admin)
    first, second = (post(client, f"{URL}{asked['id']}/approve/", body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200) and second["Idempotency-Replayed"] == "true"
    assert first.json() == second.json() and Record.objects.filter(action="deployment.approved").count() == 1


def test_an_own_request_is_refused_also_with_a_key(api, admin, ask, production):
    production.refresh_from_db()
    production.policy_data["approval"]["second_person"] = True
    production.save()
    asked = ask(user=admin)
    for act, body in (("approve", {"subject_hash": asked["subject_hash"]}), ("reject", {"reason": "No"})):
        answer = post(api(admin), f"{URL}{asked['id']}/{act}/", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "own_request")
        assert answer.json()["detail"] == "You asked for this; another person must approve."
        assert (answer.json()["permission"], answer.json()["environment"]) == ("approve_deployment", "production")
    assert Record.objects.filter(action="access.denied").count() == 2


def test_a_changed_subject_says_what_changed_and_the_fall_is_kept(api, admin, ask):
    asked = ask()
    Release.objects.update(config_revision="18")
    body = {"subject_hash": asked["subject_hash"]}
    for headers in ({"Idempotency-Key": "k"}, {}):
        answer = post(api(admin), f"{URL}{asked['id']}/approve/", body, **headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "subject_changed")
        assert answer.json()["changes"] == [{"member": "release.config_revision", "from": "", "to": "18"}]
    assert Approval.objects.get().state == "fallen" and Deployment.objects.get().status == "aborted"
    assert Record.objects.filter(action="deployment.approval_fell").count() == 1
    assert api(admin).get(f"{URL}{asked['id']}/").json()["changes"][0]["to"] == "18"


def test_another_hash_than_the_one_seen_does_nothing(api, admin, ask):
    asked = ask()
    answer = post(api(admin), f"{URL}{asked['id']}/approve/", {"subject_hash": "0" * 64})
    assert (answer.status_code, answer.json()["code"], answer.json()["changes"]) == (409, "subject_changed", [])
    assert Approval.objects.get().is_waiting


def test_what_has_expired_says_so(api, admin, ask):
    asked = ask()
    Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = post(api(admin), f"{URL}{asked['id']}/approve/", {"subject_hash": asked["subject_hash"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "approval_expired")
    assert api(admin).get(f"{URL}?state=expired").json()["count"] == 1


def test_a_running_deployment_is_named_and_the_request_waits(api, admin, ask, release):
    asked = ask()
    release("v1.2.6")
    running = post(api(admin), "/api/v1/deployments/", {**START, "release": "v1.2.6"}).json()["id"]
    assert api(admin).get(f"{URL}{asked['id']}/").json()["blocking_deployment"] == running
    answer = post(api(admin), f"{URL}{asked['id']}/approve/", {"subject_hash": asked["subject_hash"]})
    assert (answer.status_code, answer.json()["blocking_deployment"]) == (409, running)
    assert Approval.objects.get().is_waiting


def test_rejecting_and_withdrawing(api, admin, developer, ask):
    first, second = ask(), ask("v1.2.6")
    rejected = post(api(admin), f"{URL}{first['id']}/reject/", {"reason": "Not now"}).json()
    assert (rejected["state"], rejected["deployment_status"], rejected["decision_reason"]) == (
        "rejected", "aborted", "Not now"
    )  # fmt: skip
    refused = post(api(admin), f"{URL}{second['id']}/withdraw/")
    assert refused.status_code == 403 and "It takes: Dora Developer" in refused.json()["detail"]
    assert post(api(developer), f"{URL}{second['id']}/withdraw/").json()["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("act", "body", "field"),
    [
        ("approve", {}, "subject_hash"),
        ("approve", {"subject_hash": "ab"}, "subject_hash"),
        ("approve", {"subject_hash": "0" * 64, "reason": "x" * 2001}, "reason"),
        ("approve", {"subject_hash": "0" * 64, "reason": "a\x00b"}, "reason"),
        ("approve", {"subject_hash": "0" * 64, "hash": "x"}, "hash"),
        ("reject", {}, "reason"),
        ("reject", {"reason": "  "}, "reason"),
        ("withdraw", {"why": "x"}, "why"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_done(api, admin, ask, act, body, field):
    asked = ask()
    answer = post(api(admin), f"{URL}{asked['id']}/{act}/", body)
    assert answer.status_code == 400 and list(answer.json()["errors"]) == [field]
    assert Approval.objects.get().is_waiting


def test_the_list_is_filtered_by_state(api, admin, ask):
    first, second = ask(), ask("v1.2.6")
    post(api(admin), f"{URL}{first['id']}/reject/", {"reason": "Not now"})
    client = api(admin)

    def ids(query: str) -> list[int]:
        return [one["id"] for one in client.get(f"{URL}{query}").json()["results"]]

    assert ids("") == [second["id"], first["id"]]
    assert ids("?state=waiting") == [second["id"]] and ids("?state=rejected,waiting") == [second["id"], first["id"]]
    answer = client.get(f"{URL}?state=hope")
    assert answer.status_code == 400 and "Known: waiting, approved" in answer.json()["errors"]["state"][0]


def test_listing_ends_what_holds_no_longer(api, admin, ask):
    ask()
    Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api(admin).get(f"{URL}?state=waiting").json()["results"] == []
    assert api(admin).get(URL).json()["results"][0]["state"] == "expired"


def test_a_list_takes_the_same_few_queries_however_long(api, admin, ask):
    client, counts = api(admin), []
    ask()
    client.get(URL)
    for version in (None, "v1.2.6", "v1.2.7"):
        if version:
            ask(version)
        with CaptureQueriesContext(connection) as captured:
            client.get(URL)
        counts.append(len(captured))
    own = [query["sql"] for query in captured if 'FROM "deployments_approval"' in query["sql"]]
    assert len(set(counts)) == 1 and len(own) == 2, "the count and the page"
