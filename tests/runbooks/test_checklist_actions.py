"""A run from its first tick to its end: evidence, deviations, two people, control, refusals."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.domain import InvalidRequest, NotFound
from accounts.errors import Forbidden
from accounts.limits import Limits
from alerts.models import Alert
from audit.actors import system as system_actor
from audit.models import Record
from environments import evidence
from environments.evidence import Provider, Reading, Verdict
from runbooks import checklist_actions as acts
from runbooks import checklist_alerts, checklist_queries
from runbooks.errors import ChecklistIncomplete, NotInControl, OwnTick, RunChanged, RunClosed
from runbooks.models import ChecklistRun, Tick
from tests.runbooks.checklist_cast import ANSWERS, DEPLOYMENT, add_list, add_run

READINGS = {"test.fine": Reading("4 of 4 healthy", Verdict.PASS), "test.told": Reading("None", Verdict.PASS)}


@pytest.fixture(autouse=True)
def says(monkeypatch):
    """What the two providers say; a test changes it."""
    said = dict(READINGS)
    for name in said:
        monkeypatch.setitem(evidence._providers, name, Provider(name, name, lambda subject, name=name: said[name]))
    return said


@pytest.fixture
def daily(system, says):
    return add_list(system, system_actor("tests"))


@pytest.fixture
def run(daily, production):
    return add_run(daily, production)


@pytest.fixture
def otto(operator, actor_of):
    return actor_of(operator)


@pytest.fixture
def olga(person, system, actor_of):
    return actor_of(person("olga", "Operator"))


def actions(run) -> list[str]:
    found = Record.objects.filter(object_type="checklistrun", object_id=str(run.pk))
    return [*found.order_by("pk").values_list("action", flat=True)]


def answer_all(actor, second, run, **others):
    for item, response in {**ANSWERS, **others}.items():
        acts.tick(actor, run, item, response, "Known" if item in others else "")
    acts.check(second, run, "positions")


def test_a_tick_keeps_the_evidence_of_that_moment(run, otto, says):
    made = acts.tick(otto, run, "status", "Healthy")
    says["test.fine"] = Reading("0 of 4 healthy", Verdict.FAIL)
    kept = Tick.objects.get(pk=made.pk)
    assert (kept.evidence["value"], kept.evidence["verdict"], kept.is_deviation) == ("4 of 4 healthy", "pass", False)
    assert kept.evidence["at"][:19] <= kept.ticked_at.isoformat()[:19] and kept.ticked_by == otto.user
    run.refresh_from_db()
    assert run.assigned_to == otto.user and run.started_at and run.touched_at == kept.ticked_at
    assert actions(run) == ["checklist.ticked"]


@pytest.mark.parametrize(
    ("response", "reading", "told"),
    [
        ("Down", READINGS["test.fine"], "Status: the expected response is “Healthy”."),
        ("Healthy", Reading("1 of 4 healthy", Verdict.FAIL), "Status: test.fine says: 1 of 4 healthy."),
        ("Healthy", Reading("No answer", Verdict.NO_DATA), "Status: test.fine could not say: No answer."),
    ],
)
def test_a_deviation_needs_a_note(run, otto, says, response, reading, told):
    says["test.fine"] = reading
    with pytest.raises(InvalidRequest, match=told) as refused:
        acts.tick(otto, run, "status", response, "  ")
    assert refused.value.field == "note" and not Tick.objects.exists() and actions(run) == []
    run.refresh_from_db()
    assert run.assigned_to is None, "what was refused leaves nothing"
    made = acts.tick(otto, run, "status", response, "Disk is being changed")
    assert made.is_deviation and made.note == "Disk is being changed" and actions(run) == ["checklist.deviated"]


def test_a_warning_is_no_deviation(run, otto, says):
    says["test.fine"] = Reading("Slow", Verdict.WARN)
    assert not acts.tick(otto, run, "status", "Healthy").is_deviation


def test_evidence_that_breaks_is_no_data_and_hinders_nothing(run, otto, monkeypatch):
    def broken(subject):
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setitem(evidence._providers, "test.fine", Provider("test.fine", "Health", broken))
    with transaction.atomic():  # as within a request with an Idempotency-Key
        made = acts.tick(otto, run, "status", "Healthy", "Looked by hand")
    assert made.evidence["verdict"] == "no_data" and made.is_deviation
    monkeypatch.delitem(evidence._providers, "test.fine")
    acts.untick(otto, run, "status")
    gone = acts.tick(otto, run, "status", "Healthy", "Looked by hand")
    assert gone.evidence["value"] == "Nothing offers this reading any more."


def test_a_value_is_a_number_in_its_range(run, otto):
    for wrong in ("", "many", "nan", "1e9", "30 %"):
        with pytest.raises(InvalidRequest, match="write a number, expected is 0 to 80 %"):
            acts.tick(otto, run, "capital", wrong)
    with pytest.raises(InvalidRequest, match="note|expected response is “0 to 80 %”"):
        acts.tick(otto, run, "capital", "80.5")
    made = acts.tick(otto, run, "capital", "80.5", "One big position")
    assert made.response == "80.5 %" and made.is_deviation
    acts.untick(otto, run, "capital")
    assert not acts.tick(otto, run, "capital", " 80 ").is_deviation


def test_what_the_list_does_not_know_is_refused(run, otto):
    with pytest.raises(InvalidRequest, match="There is no item “other”. There are: status, errors"):
        acts.tick(otto, run, "other", "Healthy")
    with pytest.raises(InvalidRequest, match="answer with one of “Healthy”, “Down”"):
        acts.tick(otto, run, "status", "checked")
    with pytest.raises(InvalidRequest, match="at most 2000"):
        acts.tick(otto, run, "status", "Down", "x" * 2001)


def test_taking_a_tick_back_keeps_it(run, otto):
    first = acts.tick(otto, run, "status", "Healthy")
    with pytest.raises(RunChanged, match="Otto Operator answered “Status” with “Healthy”"):
        acts.tick(otto, run, "status", "Healthy")
    acts.untick(otto, run, "status")
    with pytest.raises(RunChanged, match="“Status” has no answer now"):
        acts.untick(otto, run, "status")
    second = acts.tick(otto, run, "status", "Down", "It fell over")
    item = checklist_queries.run(otto.user, run.pk).items[0]
    assert item.tick == second and item.taken_back == (first,) and item.taken_back[0].unticked_by == otto.user
    assert actions(run) == ["checklist.ticked", "checklist.unticked", "checklist.deviated"]


def test_an_item_for_two_needs_another_person(run, otto, olga):
    acts.tick(otto, run, "positions", "0 breaks")
    with pytest.raises(OwnTick, match="You ticked “Positions” yourself"):
        acts.check(otto, run, "positions")
    with pytest.raises(InvalidRequest, match="“Status” needs no second person"):
        acts.check(olga, run, "status")
    made = acts.check(olga, run, "positions")
    assert (made.ticked_by, made.checked_by) == (otto.user, olga.user)
    with pytest.raises(RunChanged, match="Olga Operator confirmed"):
        acts.check(olga, run, "positions")
    assert actions(run) == ["checklist.ticked", "checklist.checked"]
    denied = Record.objects.get(action="access.denied")
    assert denied.after["act"] == "runbooks.checklist_actions.check"


def test_completing_names_what_is_open_and_what_deviates(run, otto, olga):
    acts.tick(otto, run, "status", "Healthy"), acts.tick(otto, run, "positions", "0 breaks")
    with pytest.raises(ChecklistIncomplete) as refused:
        acts.complete(otto, run)
    assert refused.value.items == ["errors", "capital", "positions"]
    assert "3 items are open: 2 Error logs, 3 Capital in use, 4 Positions; an item for two" in str(refused.value)
    acts.tick(otto, run, "errors", "New", "Timeouts since 02:00"), acts.tick(otto, run, "capital", "1")
    acts.check(olga, run, "positions")
    with pytest.raises(RunChanged, match="It has 1 deviations now, not 0"):
        acts.complete(otto, run, seen_deviations=0)
    done = acts.complete(otto, run, seen_deviations=1)
    assert (done.status, done.deviations, done.completed_by) == ("complete", 1, otto.user)
    told = Record.objects.get(action="checklist.completed").after
    wanted = {"item": "errors", "challenge": "Error logs", "response": "New", "note": "Timeouts since 02:00"}
    assert told["deviations"] == [wanted] and told["late_seconds"] == 0
    for act in (
        lambda: acts.untick(otto, run, "status"),
        lambda: acts.complete(otto, run),
        lambda: acts.begin(otto, run),
    ):
        with pytest.raises(RunClosed, match="It was completed at"):
            act()


def test_what_closed_is_missed_even_before_anybody_looked(run, otto):
    ChecklistRun.objects.filter(pk=run.pk).update(closes_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(RunClosed, match="counts as missed"):
        acts.tick(otto, run, "status", "Healthy")


def test_one_person_has_it_until_it_is_taken_over(run, otto, olga, developer):
    acts.begin(otto, run), acts.begin(otto, run)
    for act in (lambda: acts.begin(olga, run), lambda: acts.tick(olga, run, "status", "Healthy")):
        with pytest.raises(NotInControl, match="Otto Operator has this list. Nothing was done; take it over first"):
            act()
    assert acts.assign(olga, run).assigned_to == olga.user
    assert acts.assign(olga, run, otto.user).assigned_to == otto.user
    with pytest.raises(InvalidRequest, match="Dora Developer may not tick checklists in production"):
        acts.assign(otto, run, developer)
    assert actions(run) == ["checklist.assigned"] * 2
    assert Record.objects.filter(action="checklist.assigned").order_by("pk").last().before == {
        "assigned_to": "Olga Operator"
    }


def test_the_role_table_decides(daily, production, staging, operator, developer, admin, actor_of):
    there, here = add_run(daily, production), add_run(daily, staging)
    for user in (operator, admin):
        acts.tick(actor_of(user), there, "capital", "1"), acts.untick(actor_of(user), there, "capital")
        acts.assign(actor_of(admin), there)
    dora = actor_of(developer)
    acts.tick(dora, here, "status", "Healthy")
    for act in (
        lambda: acts.tick(dora, there, "status", "Healthy"),
        lambda: acts.untick(dora, there, "status"),
        lambda: acts.check(dora, there, "positions"),
        lambda: acts.complete(dora, there),
        lambda: acts.assign(dora, there),
        lambda: acts.begin(dora, there),
        lambda: acts.begin_deployment_list(dora, production, "v1.2.5"),
    ):
        with pytest.raises(Forbidden, match="may not tick checklists and run runbooks here"):
            act()
    assert Record.objects.filter(action="access.denied").count() == 7
    developer.limits = Limits(scopes=frozenset(), environments=None, networks=())
    with pytest.raises(Forbidden):
        acts.tick(dora, here, "capital", "1")


def test_completing_ends_the_reminder(run, otto, olga):
    ChecklistRun.objects.filter(pk=run.pk).update(due_at=timezone.now() - timedelta(minutes=25))
    assert checklist_alerts.settle() == 1
    answer_all(otto, olga, run)
    acts.complete(otto, run)
    assert Alert.objects.get(kind="checklist").cleared_at is not None
    assert Record.objects.get(action="checklist.completed").after["late_seconds"] >= 25 * 60


def test_the_list_of_a_deployment(system, production, staging, otto, olga, says):
    with pytest.raises(NotFound, match="production has no checklist for deployments"):
        acts.begin_deployment_list(otto, production, "v1.2.5")
    add_list(system, system_actor("tests"), "deployment", DEPLOYMENT)
    asked = []
    says["test.fine"] = Reading("Green", Verdict.PASS)
    run = acts.begin_deployment_list(otto, production, "v1.2.5")
    assert (run.period, run.due_at, run.closes_at, run.assigned_to) == ("v1.2.5", None, None, otto.user)
    assert acts.begin_deployment_list(olga, production, "v1.2.5").pk == run.pk, "there is one already"
    assert acts.begin_deployment_list(otto, staging, "v1.2.5").pk != run.pk
    read = lambda subject: asked.append(subject) or Reading("Green", Verdict.PASS)  # noqa: E731
    evidence._providers["test.fine"] = Provider("test.fine", "Tests", read)
    acts.tick(otto, run, "status", "Healthy")
    assert (asked[0].environment, asked[0].release) == (production, "v1.2.5")
    with pytest.raises(InvalidRequest):
        acts.begin_deployment_list(otto, production, "v1 2")
    add_list(system, system_actor("tests"), "another", DEPLOYMENT)
    with pytest.raises(InvalidRequest, match="several checklists for deployments: another, deployment"):
        acts.begin_deployment_list(otto, production, "v1.2.6")
    assert acts.begin_deployment_list(otto, production, "v1.2.6", "deployment").checklist.slug == "deployment"


@pytest.mark.django_db(transaction=True)
def test_two_who_tick_at_once_tick_once(run, otto):
    barrier, done, refused = threading.Barrier(2, timeout=20), [], []

    def tick() -> None:
        try:
            barrier.wait()
            done.append(acts.tick(otto, run, "capital", "30"))
        except RunChanged as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=tick) for _ in range(2)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert (len(done), len(refused), Tick.objects.count()) == (1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_the_lock_sees_who_has_the_list_now(run, otto, olga):
    refused: list[NotInControl] = []

    def tick() -> None:
        try:
            acts.tick(olga, run, "capital", "30")
        except NotInControl as error:
            refused.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=tick)
    with transaction.atomic():
        acts.begin(otto, run)
        thread.start()
        wait_for_a_waiting_lock()
    thread.join()
    assert "has this list" in str(refused[0]) and not Tick.objects.exists()


def wait_for_a_waiting_lock(seconds: float = 10.0) -> None:
    """Until somebody waits for a row of this database."""
    deadline = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")
