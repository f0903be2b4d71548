"""The report after a rollback: when it is owed, its facts, who writes it, and what waits for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from audit.actors import Actor
from audit.actors import system as system_actor
from deployments import actions, rollback_report_check, rollback_reports
from deployments.errors import ReportChanged, ReportIncomplete, WrongState
from deployments.models import Deployment, RollbackReport
from deployments.rollback_report_facts import Facts, proposal
from deployments.rollback_report_queries import Wanted, facts_of, listed, load
from tests.deployments.toys import fresh, trail
from tests.pages import stories

TEXTS = {"what_failed": "Errors", "why_rollback": "Orders failed", "prevention": "A test for it"}


@pytest.fixture
def versions(release):
    return [release(name) for name in ("v1.2.4", "v1.2.5")]


@pytest.fixture
def taken_back(production, versions) -> tuple[Deployment, Deployment]:
    """A deployment whose errors took it back by itself, and its finished rollback."""
    return stories.rolled_back(production, *versions)


@pytest.fixture
def report(taken_back, admin) -> RollbackReport:
    return load(admin, RollbackReport.objects.create(rollback=taken_back[1]).pk)


@pytest.fixture
def otto(operator, actor_of) -> Actor:
    return actor_of(operator)


@pytest.fixture
def ada(admin, actor_of) -> Actor:
    return actor_of(admin)


@pytest.mark.parametrize("who", ["guard", "person"])
def test_every_rollback_owes_a_report_from_the_moment_it_is_asked_for(watched, ada, who):
    by = system_actor("guard") if who == "guard" else ada
    rollback = actions.roll_back(by, watched, "Errors")
    report = RollbackReport.objects.get()
    assert report.rollback_id == rollback.pk and rollback_reports.state_of(report) == "owed"
    with pytest.raises(WrongState, match="has not ended"):
        rollback_reports.complete(ada, report, TEXTS, 0)
    assert not rollback_report_check.owed(watched.environment).ok


def test_a_rollback_that_is_refused_owes_nothing(watched, ada):
    actions.roll_back(ada, watched, "Errors")
    with pytest.raises(WrongState):
        actions.roll_back(ada, fresh(watched), "Errors again")
    assert RollbackReport.objects.count() == 1


def test_drafts_are_kept_with_their_revision_and_audited(report, otto, ada):
    saved = rollback_reports.save(otto, report, {"what_failed": " Errors\r\nagain "}, 0)
    assert (saved.what_failed, saved.why_rollback, saved.revision) == ("Errors\nagain", "", 1)
    assert rollback_reports.save(otto, report, {"what_failed": "Errors\nagain"}, 1).revision == 1, "nothing changed"
    with pytest.raises(ReportChanged, match="Otto Operator changed the report meanwhile") as refused:
        rollback_reports.save(ada, report, {"what_failed": "Mine"}, 0)
    assert refused.value.extra() == {"revision": 1}
    (kept,) = trail("deployment.report_saved")
    assert (kept.actor_name, kept.object_id) == (otto.name, str(report.rollback_id))
    assert kept.before == {"what_failed": ""} and kept.after["what_failed"] == "Errors\nagain"
    for wrong, words in (({"prevention": "x" * 10_001}, "10,001 characters"), ({"prevention": "a\x00"}, "NUL")):
        with pytest.raises(InvalidRequest, match=words):
            rollback_reports.save(otto, report, wrong, 1)


def test_completing_takes_three_answers_and_freezes_the_facts(report, otto, ada, production):
    with pytest.raises(ReportIncomplete) as missing:
        rollback_reports.complete(otto, report, {"what_failed": "Errors", "prevention": "  "}, 0)
    assert list(missing.value.errors) == ["why_rollback", "prevention"]
    assert RollbackReport.objects.get().what_failed == "", "nothing is half done"
    known = facts_of(report)
    done = rollback_reports.complete(otto, report, TEXTS, 0)
    assert done.completed_by == otto.user and rollback_report_check.owed(production).ok
    report.rollback.reverts.verdicts.all().delete()
    report.rollback.reverts.measurements.all().delete()
    again = load(ada.user, report.pk)
    assert facts_of(again) == known == Facts.from_json(again.facts) and known.rules
    for act in (rollback_reports.save, rollback_reports.complete):
        with pytest.raises(WrongState, match="Otto Operator completed it"):
            act(ada, report, TEXTS, done.revision)
    assert trail("deployment.report_completed")[0].after["prevention"] == "A test for it"


def test_only_an_admin_reopens_and_then_it_is_owed_again(report, otto, ada, production):
    with pytest.raises(WrongState, match="not complete"):
        rollback_reports.reopen(ada, report, "The cause was another one")
    done = rollback_reports.complete(otto, report, TEXTS, 0)
    with pytest.raises(Forbidden):
        rollback_reports.reopen(otto, report, "The cause was another one")
    with pytest.raises(InvalidRequest):
        rollback_reports.reopen(ada, report, " ")
    opened = rollback_reports.reopen(ada, report, "The cause was another one")
    assert (opened.completed_at, opened.facts, opened.revision) == (None, {}, done.revision + 1)
    assert opened.what_failed == "Errors" and not rollback_report_check.owed(production).ok
    (kept,) = trail("deployment.report_reopened")
    assert kept.reason == "The cause was another one" and "Otto" in kept.before["completed_by"]


def test_whoever_works_or_deploys_there_writes_it(report, developer, actor_of, staging, production):
    with pytest.raises(Forbidden, match="Admin or Operator"):
        rollback_reports.save(actor_of(developer), report, {"what_failed": "x"}, 0)
    Deployment.objects.update(environment=staging)
    moved = load(developer, report.pk)
    assert rollback_reports.save(actor_of(developer), moved, {"what_failed": "x"}, 0).what_failed == "x"


def test_two_at_once_do_not_both_complete_it(report, otto, ada):
    with transaction.atomic():
        rollback_reports.complete(otto, report, TEXTS, 0)
        with pytest.raises(WrongState):
            rollback_reports.complete(ada, report, TEXTS, 0)


def test_the_facts_tell_when_what_and_how_far_off(report, taken_back):
    failed, rollback = taken_back
    known = facts_of(report)
    assert (known.bad, known.good, known.environment) == ("v1.2.5", "v1.2.4", "production")
    took = {one.title: one.seconds for one in known.times}
    assert took["Altogether"] == pytest.approx(0.9, abs=0.1) and took["Live"] == pytest.approx(
        (failed.traffic_back_at - failed.promoted_at).total_seconds()
    )
    (rule,) = known.rules
    assert (rule.name, rule.verdict) == ("Error rate", "fail") and "5.1 % of 412" in rule.reason
    error_rate = next(one for one in known.metrics if one.key == "error_rate")
    assert (error_rate.baseline, error_rate.word) == (0.001, "Above limit")
    assert error_rate.worst is not None and 0.05 < error_rate.worst < 0.08
    said = [moment.what for moment in known.timeline]
    wanted = ["v1.2.5 asked for", "v1.2.5 has all requests", "Last moment without the fault"]
    wanted.append("v1.2.4 has all requests again")
    assert [what for what in said if what in wanted] == wanted
    assert known.timeline == tuple(sorted(known.timeline, key=lambda one: one.at))


def test_only_what_was_measured_of_the_bad_release_while_it_was_live_counts(report, taken_back):
    failed, _ = taken_back
    assert failed.traffic_back_at is not None
    for at, version in ((failed.traffic_back_at + timedelta(seconds=1), "v1.2.5"), (failed.promoted_at, "v1.2.4")):
        failed.measurements.create(at=at, slot="green", version=version, values={"error_rate": 1.0})
    error_rate = next(one for one in facts_of(report).metrics if one.key == "error_rate")
    assert error_rate.worst is not None and error_rate.worst < 0.1


def test_the_proposal_says_what_was_measured(report, taken_back, ada):
    known = facts_of(report)
    found = proposal(known)
    live = next(one.text for one in known.times if one.title == "Live")
    assert found.what_failed == (
        f"v1.2.5 was live in production for {live}. Error rate: 5.1 % of 412 requests failed, limit 1 %."
    )
    assert known.by_itself and found.why_rollback.startswith("The guard rolled back by itself: Error rate: 5.1 %")
    Deployment.objects.filter(pk=report.rollback_id).update(requested_by=ada.user, fault_after=None)
    Deployment.objects.filter(pk=taken_back[0].pk).update(fault_after=None)
    by_hand = proposal(facts_of(load(ada.user, report.pk)))
    assert by_hand.why_rollback.startswith("Ada Admin rolled back: Error rate: 5.1 %")


def test_the_check_names_what_is_owed_and_where_to_write_it(report, production, staging):
    found = rollback_report_check.owed(production)
    assert not found.ok and found.overridable and found.link == f"/rollback-reports/{report.pk}/"
    assert f"deployment {report.rollback.reverts_id} (v1.2.5)" in found.detail and found.link in found.todo
    assert rollback_report_check.owed(staging).ok, "a report of production holds up production alone"


def test_lists_show_owed_ones_first_and_filter_in_one_query(report, production, versions, otto, admin, nobody):
    older = RollbackReport.objects.get()
    rollback_reports.complete(otto, older, TEXTS, 0)
    _, second = stories.rolled_back(production, *versions)
    newer = RollbackReport.objects.create(rollback=second)
    with CaptureQueriesContext(connection) as asked:
        assert list(listed(admin, Wanted())) == [newer, older]
    assert len(asked) == 1
    assert list(listed(admin, Wanted(state="complete"))) == [older]
    assert list(listed(admin, Wanted(deployment=second.pk))) == [newer] == list(listed(admin, Wanted(state="owed")))
    assert list(listed(admin, Wanted(deployment=second.reverts_id, version="2.5"))) == [newer]
    assert not listed(admin, Wanted(environment="staging")) and not listed(nobody, Wanted())


@pytest.fixture
def nobody(person):
    return person("nemo", None)
