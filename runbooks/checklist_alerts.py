"""Alerts about checklists: one for each run that is overdue, and for the last one missed of a list in an environment.

What stands in Postgres decides: ``settle`` raises what should be there and clears what should not, so nothing is lost
when it was broken off. A missed run cannot be done any more; its alert ends when a later run of the list is completed,
or when a later one is missed, too. The runs themselves stay in the history.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from alerts.actions import clear, raise_alert
from alerts.models import Alert
from audit.actors import system
from runbooks import checklist_queries
from runbooks.models import ChecklistRun

KIND = "checklist"
CHECKLISTS = system("checklists")
_WITH = ("environment", "version", "checklist", "assigned_to")


@dataclass(frozen=True, slots=True)
class _Wanted:
    run: ChecklistRun
    title: str
    detail: str


def key_of(run: ChecklistRun) -> str:
    """``production:daily:2026-11-23``; needs the run's environment and list."""
    return f"{run.environment.name}:{run.checklist.slug}:{run.period}"


def clear_of(run: ChecklistRun) -> bool:
    """The cause of a run's alert is gone; False when there was none."""
    return clear(KIND, key_of(run), actor=CHECKLISTS)


def settle() -> int:
    """Raise and clear until the open alerts are those that should be; how many were raised or cleared."""
    wanted = {key_of(one.run): one for one in (*_overdue(), *_missed())}
    standing = dict(Alert.objects.filter(kind=KIND, cleared_at=None).values_list("key", "title"))
    gone = [key for key in standing if key not in wanted]
    for key in gone:
        clear(KIND, key, actor=CHECKLISTS)
    # Each raise counts as one more sight, so what stands is raised again only when it says something else now.
    new = {key: one for key, one in wanted.items() if standing.get(key) != one.title}
    for key, one in new.items():
        raise_alert(
            KIND,
            key,
            severity=Alert.Severity.WARNING,
            title=one.title,
            environment=one.run.environment,
            detail=one.detail,
            link=f"/checklist-runs/{one.run.pk}/",
            actor=CHECKLISTS,
        )
    reminded = [one.run.pk for one in new.values()]
    ChecklistRun.objects.filter(pk__in=reminded).update(reminded_at=timezone.now())
    return len(gone) + len(new)


def _overdue() -> list[_Wanted]:
    now = timezone.now()
    late = _current().filter(status=ChecklistRun.Status.OPEN, due_at__lt=now, closes_at__gt=now)
    found = []
    for run in late.select_related(*_WITH):
        assert run.due_at is not None and run.closes_at is not None
        title = f"{_title(run)} was due at {run.due_at:%Y-%m-%d %H:%M} UTC and is not complete"
        who = f"{run.assigned_to.display_name} has it." if run.assigned_to else "Nobody has begun it."
        found.append(_Wanted(run, title, f"{who} It closes at {run.closes_at:%Y-%m-%d %H:%M} UTC, then it is missed."))
    return found


def _missed() -> list[_Wanted]:
    runs = _current()
    later = ChecklistRun.objects.filter(
        checklist=OuterRef("checklist"),
        environment=OuterRef("environment"),
        status=ChecklistRun.Status.COMPLETE,
        opens_at__gt=OuterRef("opens_at"),
    )
    last = runs.filter(~Exists(later), status=ChecklistRun.Status.MISSED)
    last = last.order_by("checklist_id", "environment_id", "-opens_at", "-pk")
    found = []
    for run in last.distinct("checklist_id", "environment_id").select_related(*_WITH):
        assert run.closes_at is not None
        title = f"{_title(run)} was missed: it closed at {run.closes_at:%Y-%m-%d %H:%M} UTC"
        detail = "It stays in the history as missed. This alert ends when the list is completed the next time."
        found.append(_Wanted(run, title, detail))
    return found


def _title(run: ChecklistRun) -> str:
    title = checklist_queries.definition(run.version).title
    return f"{title[:80]} ({run.period}, {run.environment})"


def _current() -> QuerySet[ChecklistRun]:
    """Runs of lists that are still in use."""
    return ChecklistRun.objects.filter(checklist__retired_at=None)
