"""Reports of the build system, freezes and overrides over the API: kept once, refused by name, and what they allow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Record
from deployments.models import Deployment
from deployments.test_reports import TestReport as Report  # the other name is for pytest
from environments.models import Environment, Service

URL, FREEZES = "/api/v1/test-reports/", "/api/v1/environments/production/freezes/"
DIGEST = "sha256:" + "a" * 64
TESTS = {"digest": DIGEST, "kind": "tests", "passed": True, "summary": "412 passed", "data": {"passed": 412}}
START = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "Fix"}


def post(client, url, body, **headers):
    return client.post(url, body, content_type="application/json", headers=headers)


def test_a_build_reports_before_its_release_is_registered(api, developer, operator, system):
    answer = post(api(developer), URL, {**TESTS, "url": "https://ci.example.com/7"})
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert (body["service"], body["digest"], body["kind"], body["passed"]) == ("paper-trader", DIGEST, "tests", True)
    assert (body["data"], body["reported_by"]) == ({"passed": 412}, "Dora Developer (API key)")
    record = Record.objects.get(action="release.reported")
    assert (record.actor, record.after["summary"]) == (developer, "412 passed")
    assert post(api(operator), URL, TESTS).status_code == 403 and Report.objects.count() == 1


def test_a_key_for_reporting_alone_does_nothing_else(key_of, admin, release, client):
    release("v1.2.5")
    ci = {"Authorization": f"Bearer {key_of(admin, scopes=['report_tests'])}"}
    assert post(client, URL, {**TESTS, "release": "v1.2.5"}, **ci).status_code == 400
    given = {name: value for name, value in TESTS.items() if name != "digest"}
    made = post(client, URL, {**given, "release": "v1.2.5"}, **ci)
    assert made.status_code == 201 and made.json()["digest"] == system_digest()
    assert post(client, "/api/v1/deployments/", START, **ci).status_code == 403
    assert post(client, FREEZES, {"ends_at": "2999-01-01T00:00:00Z", "reason": "R"}, **ci).status_code == 403


def system_digest() -> str:
    from deployments.models import Release

    return Release.objects.get().digest


def test_sent_twice_it_is_kept_once(api, admin, system):
    client = api(admin)
    first, again = (post(client, URL, TESTS, **{"Idempotency-Key": "ci-7"}) for _ in range(2))
    assert first.json() == again.json() and Report.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "hope"}, "kind"),
        ({"digest": "sha256:ab"}, "digest"),
        ({"release": "v1.2.5"}, "digest"),
        ({"summary": " "}, "summary"),
        ({"summary": "x" * 301}, "summary"),
        ({"summary": "a\x00b"}, "summary"),
        ({"data": {"a": "b\x00"}}, "data"),
        ({"data": {"a": "\ud800"}}, "data"),
        ({"data": [1]}, "data"),
        ({"data": {"a": "x" * 10_001}}, "data"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "https://[", "passed": True}, "url"),
        ({"passed": "perhaps"}, "passed"),
        ({"service": "moon"}, "service"),
        ({"pased": True}, "pased"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(api, admin, system, change, field):
    answer = post(api(admin), URL, {**TESTS, **change})
    assert answer.status_code == 400 and field in answer.json()["errors"], answer.json()
    assert not Report.objects.exists()


def test_the_list_is_newest_first_and_filtered(api, admin, person, release):
    made = release("v1.2.5")
    post(api(admin), URL, TESTS)
    Report.objects.create(service=Service.objects.create(name="other"), **TESTS)
    client = api(admin)
    assert client.get(URL).json()["count"] == 4, "what belongs to a service that nobody here sees is not shown"
    for query, count in (
        ("release=v1.2.5", 3), (f"digest={DIGEST}", 1), ("kind=review", 1), (f"kind=tests&release={made.version}", 1),
        ("release=v9", 0), ("service=other", 0),
    ):  # fmt: skip
        assert client.get(f"{URL}?{query}").json()["count"] == count, query
    assert client.get(f"{URL}?kind=hope").status_code == 400 and client.get(f"{URL}?release=%00").status_code == 400
    assert api(person("nemo", None)).get(URL).json()["count"] == 0


def test_a_missing_report_blocks_until_it_comes(api, admin, ready, release):
    made = release("v1.2.5", rollback_plan="Roll back")
    Report.objects.filter(kind="review").delete()
    client = api(admin)
    answer = post(client, "/api/v1/deployments/", START)
    assert answer.status_code == 422
    (reason,) = answer.json()["reasons"]
    assert (reason["check"], reason["overridable"]) == ("review", True) and "opsctl report review" in reason["todo"]
    review = {"release": "v1.2.5", "kind": "review", "passed": True, "summary": "Read", "data": {"author": "Ann"}}
    for reviewer, status in (("Ann", 422), ("Bob", 201)):
        review["data"]["reviewers"] = [reviewer]
        assert post(client, URL, review).status_code == 201
        assert post(client, "/api/v1/deployments/", START).status_code == status
    assert Deployment.objects.get().to_release == made


def test_an_admin_overrides_and_a_developer_does_not(api, admin, developer, ready, release):
    release("v1.2.5", reported=False)
    given = {**START, "override_reason": "Ann read it by phone"}
    assert post(api(developer), "/api/v1/deployments/", given).status_code == 403
    started = post(api(admin), "/api/v1/deployments/", given)
    assert started.status_code == 201, started.json()
    body = started.json()
    assert body["override_reason"] == given["override_reason"]
    assert {one["check"] for one in body["overrides"]} == {"tests", "review", "benchmarks", "rollback_plan"}
    assert Record.objects.get(action="deployment.gate_overridden").reason == given["override_reason"]


def test_freezes(api, admin, operator, ready, release):
    release("v1.2.5")
    client, ends = api(admin), timezone.now() + timedelta(hours=1)
    made = post(client, FREEZES, {"ends_at": ends.isoformat(), "reason": "Fair"})
    assert made.status_code == 201, made.json()
    assert (made.json()["set_by"], made.json()["lifted_at"]) == ("Ada Admin", None)
    answer = post(client, "/api/v1/deployments/", START)
    assert [one["check"] for one in answer.json()["reasons"]] == ["freeze"]
    assert post(api(operator), FREEZES, {"ends_at": ends.isoformat(), "reason": "Fair"}).status_code == 403
    wrong = post(client, FREEZES, {"ends_at": "2001-01-01T00:00:00Z", "reason": "Fair"})
    assert wrong.status_code == 400 and "ends_at" in wrong.json()["errors"]
    lift = f"{FREEZES}{made.json()['id']}/lift/"
    assert post(client, lift.replace("production", "staging"), {"reason": "Over"}).status_code == 404
    assert post(client, lift, {"reason": "Over"}).json()["lifted_by"] == "Ada Admin"
    again = post(client, lift, {"reason": "Over"})
    assert (again.status_code, again.json()["code"]) == (409, "freeze_over")
    assert (
        client.get(FREEZES).json()["count"] == 1 and client.get(FREEZES.replace("production", "x")).status_code == 404
    )
    assert post(client, "/api/v1/deployments/", START).status_code == 201
    assert Environment.objects.get(name="production").freezes.count() == 1
