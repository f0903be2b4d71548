"""The pages of rollback reports: the list, the form beside the facts, paper, the deployment's page and the overview."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments import rollback_reports
from deployments.models import RollbackReport
from tests.pages import stories
from tests.pages.test_live_page import words

TEXTS = {"what_failed": "Errors in signals", "why_rollback": "Orders failed", "prevention": "A test for it"}


@pytest.fixture
def report(production, versions) -> RollbackReport:
    _, back = stories.rolled_back(production, versions["v1.2.4"], versions["v1.2.5"])
    return RollbackReport.objects.create(rollback=back)


@pytest.fixture
def address(report) -> str:
    return f"/rollback-reports/{report.pk}/"


def test_the_form_is_prefilled_from_the_measurements_until_somebody_writes(browser, operator, report, address):
    page = browser(operator)
    text = words(page.get(address))
    assert "Rollback report: v1.2.5 taken back in production" in text and "Nobody has written it yet" in text
    assert "Proposed from what was measured" in text and "5.1 % of 412 requests failed, limit 1 %" in text
    assert (
        "v1.2.4 has all requests again" in text and "Detection" in text and "The next deployment to production" in text
    )
    done = page.post(address, {"revision": 0, "do": "save", **TEXTS})
    assert done.status_code == 302 and RollbackReport.objects.get().what_failed == "Errors in signals"
    text = words(page.get(address))
    assert "Draft of Otto Operator" in text and "Proposed" not in text and "Errors in signals" in text


def test_completing_says_which_answers_are_missing_and_keeps_the_others(browser, operator, address):
    page = browser(operator)
    refused = page.post(address, {"revision": 0, "do": "complete", **TEXTS, "prevention": " "})
    text = words(refused)
    assert refused.status_code == 400 and "Nothing was kept yet." in text and "Errors in signals" in text
    assert "Answer the question “How will it be prevented?”." in text
    assert page.post(address, {"revision": 0, "do": "complete", **TEXTS}).status_code == 302
    text = words(page.get(address))
    assert "Completed by Otto Operator" in text and "frozen" in text and "Reopen" not in text
    assert "<textarea" not in page.get(address).content.decode()


def test_what_somebody_else_wrote_meanwhile_is_not_lost_and_neither_is_yours(
    browser, operator, admin, actor_of, report, address
):
    rollback_reports.save(actor_of(admin), report, {"what_failed": "Ada's words"}, 0)
    page = browser(operator)
    refused = page.post(address, {"revision": 0, "do": "save", "what_failed": "Otto's words"})
    text = words(refused)
    assert refused.status_code == 409 and "Ada Admin changed the report meanwhile" in text
    assert "Otto&#x27;s words" in text or "Otto's words" in text
    assert "Kept meanwhile, by Ada Admin" in text and RollbackReport.objects.get().what_failed == "Ada's words"
    assert b'name="revision" value="1"' in refused.content
    rollback_reports.complete(actor_of(admin), report, TEXTS, 1)
    late = page.post(address, {"revision": 1, "do": "save", "what_failed": "Otto's words"})
    assert late.status_code == 409 and "You wrote, not kept" in words(late)
    assert page.post(address, {"revision": "x", "what_failed": "?"}).status_code == 400


def test_an_admin_reopens_with_a_reason(browser, admin, actor_of, report, address):
    rollback_reports.complete(actor_of(admin), report, TEXTS, 0)
    page = browser(admin)
    assert "confirm-reopen" in page.get(address).content.decode()
    refused = page.post(f"{address}reopen/", {"reason": " "})
    assert refused.status_code == 400 and "Say why" in words(refused)
    assert page.post(f"{address}reopen/", {"reason": "Another cause"}).status_code == 302
    assert page.get(f"{address}reopen/").status_code == 302
    assert RollbackReport.objects.get().completed_at is None
    assert page.post(f"{address}reopen/", {"reason": "Again"}).status_code == 409


def test_who_may_only_look_sees_no_form(browser, developer, address):
    shown = browser(developer).get(address)
    assert b"<textarea" not in shown.content and "It takes: Admin or Operator" in words(shown)
    assert browser(developer).post(address, {"revision": 0, **TEXTS}).status_code == 403


def test_paper_leaves_room_for_what_is_not_written(browser, operator, actor_of, report, address):
    shown = browser(operator).get(f"{address}?print=1")
    assert '<nav class="nav' not in shown.content.decode() and 'class="qr"' in shown.content.decode()
    assert "http://testserver" + address in words(shown) and "owed" in words(shown)
    assert "5.1 % of 412 requests failed" in words(shown) and "Proposed" not in words(shown)
    rollback_reports.complete(actor_of(operator), report, TEXTS, 0)
    assert "Errors in signals" in words(browser(operator).get(f"{address}?print=1"))


def test_deployment_pages_and_the_overview_lead_to_what_is_owed(browser, operator, actor_of, report, address):
    page = browser(operator)
    for number in (report.rollback_id, report.rollback.reverts_id):
        shown = page.get(f"/deployments/{number}/")
        assert f'href="{address}"' in shown.content.decode() and "Write the rollback report" in words(shown)
    overview = page.get("/")
    assert "Rollback report to write" in words(overview) and f'href="{address}"' in overview.content.decode()
    rollback_reports.complete(actor_of(operator), report, TEXTS, 0)
    assert "Rollback report to write" not in words(page.get("/"))
    assert "The rollback report is complete." in words(page.get(f"/deployments/{report.rollback_id}/"))


def test_the_list_filters_and_takes_no_query_for_a_row(browser, operator, production, versions, person, report):
    page = browser(operator)
    assert "No rollback yet" in words(browser(person("eve", None)).get("/rollback-reports/"))
    page.get("/rollback-reports/")
    with CaptureQueriesContext(connection) as few:
        page.get("/rollback-reports/")
    for _ in range(3):
        _, back = stories.rolled_back(production, versions["v1.2.4"], versions["v1.3.0"])
        RollbackReport.objects.create(rollback=back)
    with CaptureQueriesContext(connection) as many:
        text = words(page.get("/rollback-reports/"))
    assert len(many) == len(few) and text.count("nobody yet") == 4
    assert words(page.get("/rollback-reports/?version=1.3")).count("nobody yet") == 3
    assert "No report matches" in words(page.get("/rollback-reports/?state=complete"))
    assert "There is no state “odd”." in words(page.get("/rollback-reports/?state=odd&environment=%00"))


def test_the_overview_takes_one_query_for_all_that_is_owed(browser, operator, production, versions, report):
    page = browser(operator)
    page.get("/")
    with CaptureQueriesContext(connection) as one:
        page.get("/")
    _, back = stories.rolled_back(production, versions["v1.2.4"], versions["v1.3.0"])
    RollbackReport.objects.create(rollback=back)
    with CaptureQueriesContext(connection) as two:
        assert words(page.get("/")).count("was taken back in production") == 2
    assert len(two) == len(one)
