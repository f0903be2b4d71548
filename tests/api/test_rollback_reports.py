"""Rollback reports over the API: drafts with a revision, completing, reopening, filters, and what is refused."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.models import RollbackReport
from tests.pages import stories

pytestmark = pytest.mark.django_db
URL = "/api/v1/rollback-reports/"
TEXTS = {"what_failed": "Errors", "why_rollback": "Orders failed", "prevention": "A test for it"}


@pytest.fixture
def made(production, release):
    versions = release("v1.2.4"), release("v1.2.5")

    def make() -> RollbackReport:
        _, back = stories.rolled_back(production, *versions)
        return RollbackReport.objects.create(rollback=back)

    return make


def send(client, method, report, act="", **body):
    address = f"{URL}{report.pk}/{act}"
    return getattr(client, method)(address, body, content_type="application/json")


def test_a_report_is_drafted_completed_and_reopened(api, operator, admin, made):
    report, otto, ada = made(), api(operator), api(admin)
    shown = otto.get(f"{URL}{report.pk}/").json()
    assert (shown["state"], shown["release"], shown["back_to"], shown["revision"]) == ("owed", "v1.2.5", "v1.2.4", 0)
    assert (shown["deployment"], shown["rollback"]) == (report.rollback.reverts_id, report.rollback_id)
    assert "5.1 % of 412" in shown["proposed"]["what_failed"] and shown["facts"]["rules"][0]["name"] == "Error rate"
    draft = send(otto, "patch", report, revision=0, what_failed="Errors").json()
    assert (draft["what_failed"], draft["revision"], draft["touched_by"]) == ("Errors", 1, "Otto Operator")
    stale = send(ada, "patch", report, revision=0, what_failed="Mine")
    assert (stale.status_code, stale.json()["code"], stale.json()["revision"]) == (409, "report_changed", 1)
    missing = send(otto, "post", report, "complete/", revision=1)
    assert missing.status_code == 400 and set(missing.json()["errors"]) == {"why_rollback", "prevention"}
    done = send(otto, "post", report, "complete/", revision=1, **TEXTS).json()
    assert (done["state"], done["completed_by"], done["proposed"]) == ("complete", "Otto Operator", None)
    late = send(otto, "patch", report, revision=2, what_failed="More")
    assert (late.status_code, late.json()["code"]) == (409, "wrong_state")
    assert send(otto, "post", report, "reopen/", reason="Other cause").status_code == 403
    assert send(ada, "post", report, "reopen/", reason="Other cause").json()["state"] == "owed"


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "revision"), ({"revision": -1}, "revision"), ({"revision": 2**63}, "revision"),
     ({"revision": "x"}, "revision"), ({"revision": 0, "why": "x"}, "why"),
     ({"revision": 0, "prevention": "a\x00b"}, "prevention"),
     ({"revision": 0, "prevention": "x" * 10_001}, "prevention"),
     ({"revision": 0, "what_failed": ["x"]}, "what_failed")],
)  # fmt: skip
def test_what_is_wrong_is_named(api, operator, made, body, field):
    report = made()
    for method, act in (("patch", ""), ("post", "complete/")):
        refused = send(api(operator), method, report, act, **body)
        assert refused.status_code == 400 and field in refused.json()["errors"]


def test_the_list_filters_and_takes_no_query_for_a_row(api, operator, made):
    report, client = made(), api(operator)
    client.get(URL)
    with CaptureQueriesContext(connection) as few:
        assert client.get(URL).json()["count"] == 1
    made(), made()
    with CaptureQueriesContext(connection) as many:
        assert client.get(URL).json()["count"] == 3
    assert len(many) == len(few)
    found = client.get(URL, {"deployment": report.rollback.reverts_id, "state": "owed", "environment": "production"})
    assert [one["id"] for one in found.json()["results"]] == [report.pk]
    assert client.get(URL, {"state": "odd"}).status_code == client.get(URL, {"deployment": "x"}).status_code == 400
    assert client.get(URL, {"version": "a\x00"}).status_code == 400
    assert client.get(URL, {"environment": "staging"}).json()["count"] == 0
