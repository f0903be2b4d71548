"""Every expected occurrence exists once, missed ones too; who is late is reminded of it."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from alerts.models import Alert
from audit.actors import system as system_actor
from audit.models import Record
from environments import evidence
from environments.evidence import Provider, Reading, Verdict
from environments.models import Environment
from runbooks import checklist_actions, checklist_alerts, checklist_watch
from runbooks.checklist_versions import retire, save_version
from runbooks.models import Checklist, ChecklistRun, ChecklistVersion
from tests.runbooks.checklist_cast import DEPLOYMENT, TEXT, add_list, add_run

TESTS = system_actor("tests")
PLAN = '{every: day, at: "00:00", due: 4}'


@pytest.fixture(autouse=True)
def _readings(monkeypatch):
    for name in ("test.fine", "test.told"):
        monkeypatch.setitem(evidence._providers, name, Provider(name, name, lambda subject: Reading("", Verdict.PASS)))


def text(starts_days_ago: int = 0, plan: str = PLAN, environments: str = "[production]") -> str:
    starts = f"starts_days_ago: {starts_days_ago}\n" if starts_days_ago else ""
    return TEXT.replace("[production, staging]", environments).replace("schedule: " + PLAN, f"{starts}schedule: {plan}")


def made(version: ChecklistVersion, **ago: float) -> None:
    """As if the version had been made so long ago."""
    ChecklistVersion.objects.filter(pk=version.pk).update(created_at=timezone.now() - timedelta(**ago))


def today(days: int = 0) -> str:
    return str(timezone.now().date() - timedelta(days=days))


def runs() -> list[tuple[str, str]]:
    return [*ChecklistRun.objects.order_by("opens_at", "pk").values_list("period", "status")]


def test_what_should_exist_is_opened_and_what_is_over_is_missed(system, django_assert_num_queries):
    add_list(system, TESTS, text=text(starts_days_ago=3))
    assert checklist_watch.look() == 4
    assert runs() == [(today(3), "missed"), (today(2), "missed"), (today(1), "missed"), (today(), "open")]
    assert Record.objects.filter(action="checklist.missed", actor_name="checklists").count() == 3
    assert Record.objects.filter(action="checklist.opened").count() == 1
    with django_assert_num_queries(8):
        assert checklist_watch.look() == 0


def test_a_list_without_a_start_begins_with_what_can_still_be_done(system):
    add_list(system, TESTS, text=text())
    checklist_watch.look()
    assert runs() == [(today(), "open")]


def test_a_time_in_which_nothing_looked(system):
    found = add_list(system, TESTS, text=text())
    made(found.current, days=10)
    checklist_watch.look()
    ChecklistRun.objects.filter(period__gt=today(8)).delete()
    assert checklist_watch.look() == 8
    assert [period for period, _ in runs()] == [today(days) for days in range(10, -1, -1)]


def test_each_environment_has_its_own_zone_and_days(system, production, staging):
    Environment.objects.filter(pk=production.pk).update(timezone="Pacific/Kiritimati")
    weekday = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(timezone.now().weekday() + 3) % 7]
    Environment.objects.filter(pk=staging.pk).update(calendar={"days": [weekday], "holidays": []})
    add_list(system, TESTS, text=text(environments="[production, staging]"))
    checklist_watch.look()
    there = (timezone.now() + timedelta(hours=14)).date()
    found = ChecklistRun.objects.get()
    assert (found.environment, found.period) == (production, str(there))


def test_a_changed_schedule_invents_no_misses_and_loses_none(system, admin, actor_of):
    found = add_list(system, TESTS, text=text(plan="{every: week, day: mon}"))
    made(found.current, days=20)
    checklist_watch.look()
    before = ChecklistRun.objects.count()
    assert before in (3, 4)
    save_version(TESTS, system, "daily", text(starts_days_ago=20), "Daily now", based_on=1)
    checklist_watch.look()
    new = ChecklistRun.objects.filter(version__number=2)
    assert [one.period for one in new] == [today()] and ChecklistRun.objects.count() == before + 1


def test_a_run_keeps_its_version(system, production):
    found = add_list(system, TESTS, text=text())
    checklist_watch.look()
    save_version(TESTS, system, "daily", text().replace("Daily", "Every day"), "Other words", based_on=1)
    checklist_watch.look()
    assert ChecklistRun.objects.get().version == found.current


def test_retired_lists_and_those_of_deployments_open_nothing(system):
    retire(TESTS, add_list(system, TESTS, text=text()), "Not needed")
    add_list(system, TESTS, "deployment", DEPLOYMENT)
    assert checklist_watch.look() == 0 and not ChecklistRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_beats_open_each_occurrence_once(system):
    add_list(system, TESTS, text=text(starts_days_ago=5, environments="[production, staging]"))
    barrier, counts, errors = threading.Barrier(2, timeout=20), [], []

    def look() -> None:
        try:
            barrier.wait()
            counts.append(checklist_watch.look())
        except Exception as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(2)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert errors == [] and sum(counts) == 12 == ChecklistRun.objects.count()
    assert Record.objects.filter(action__in=("checklist.opened", "checklist.missed")).count() == 12
    assert Alert.objects.filter(kind="checklist", cleared_at=None).count() in (2, 4)


def test_the_reminder_and_the_miss(system, production):
    found = add_list(system, TESTS, text=text())
    run = add_run(found, production, due_at=timezone.now() - timedelta(minutes=25))
    assert checklist_alerts.settle() == 1 and checklist_alerts.settle() == 0
    alert = Alert.objects.get()
    assert (alert.kind, alert.key, alert.severity, alert.times) == (
        "checklist",
        f"production:daily:{run.period}",
        "warning",
        1,
    )
    assert (
        alert.title.startswith("Daily operations") and "was due at" in alert.title and alert.environment == production
    )
    assert alert.link == f"/checklist-runs/{run.pk}/" and alert.detail.startswith("Nobody has begun it.")
    run.refresh_from_db()
    assert run.reminded_at is not None
    ChecklistRun.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    assert checklist_watch.miss() == 1 and checklist_watch.miss() == 0
    checklist_alerts.settle()
    alert.refresh_from_db()
    assert "was missed" in alert.title and alert.cleared_at is None
    later = add_run(found, production, days_ago=-0.01, period="later")
    ChecklistRun.objects.filter(pk=later.pk).update(status="complete", completed_at=timezone.now())
    assert checklist_alerts.settle() == 1
    assert Alert.objects.get().cleared_at is not None, "done again, so the miss is history"


def test_only_the_last_miss_is_an_alert(system, production):
    found = add_list(system, TESTS, text=text())
    for days in (3, 2, 1):
        add_run(found, production, days_ago=days, status="missed")
    assert checklist_alerts.settle() == 1
    assert Alert.objects.get().key == f"production:daily:{today(1)}" or timezone.now().hour == 0
    retire(TESTS, found, "Not needed")
    checklist_alerts.settle()
    assert Alert.objects.get().cleared_at is not None


def test_completing_wins_over_the_watch(system, production, operator, actor_of, monkeypatch):
    run = add_run(add_list(system, TESTS, text=text()), production)
    checklist_actions.begin(actor_of(operator), run)
    ChecklistRun.objects.update(status="complete", completed_at=timezone.now(), closes_at=timezone.now())
    assert checklist_watch.miss() == 0 and ChecklistRun.objects.get().status == "complete"


def test_beat_calls_it(system, settings):
    from runbooks.tasks import look_at_checklists

    plan = settings.CELERY_BEAT_SCHEDULE["look-at-checklists"]
    assert (plan["task"], plan["schedule"]) == (look_at_checklists.name, 30.0)
    add_list(system, TESTS, text=text().replace("environments:", f"starts: {date.today()}\nenvironments:"))
    look_at_checklists()
    assert Checklist.objects.get().runs.count() == 1
