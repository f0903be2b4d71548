"""Opens every occurrence of a checklist that should exist, and says which were missed. Celery beat calls it.

It reads the clock and Postgres and nothing else, so it does not matter when it looked last: what opened meanwhile is
opened now, and what is over already is missed at once. A unique constraint keeps two who look at once from opening
one twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Max, Prefetch
from django.utils import timezone

import runbooks.audit  # noqa: F401  registers the action names
from audit.actions import record
from environments.models import Environment
from runbooks import checklist_alerts, checklist_events, checklist_format, checklist_schedule
from runbooks.checklist_alerts import CHECKLISTS
from runbooks.checklist_format import Definition, FormatError
from runbooks.checklist_schedule import Calendar, Occurrence
from runbooks.models import Checklist, ChecklistRun, ChecklistVersion

logger = logging.getLogger(__name__)
OPEN, MISSED = ChecklistRun.Status.OPEN, ChecklistRun.Status.MISSED
MOST_AT_ONCE = 400
"""Occurrences of one list and environment that one look opens; after a long pause the next look goes on."""
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


def look() -> int:
    """Open, miss, and settle the alerts; how many runs were opened or missed."""
    changed = open_due() + miss()
    settled = checklist_alerts.settle()
    if changed or settled:
        checklist_events.publish()
    return changed


def open_due() -> int:
    """Open every occurrence that should exist by now; how many there were."""
    now, opened = timezone.now(), 0
    newest = ChecklistRun.objects.values_list("version_id", "environment_id").annotate(at=Max("opens_at"))
    last = {(version, place): at for version, place, at in newest.order_by()}
    for checklist in _lists():
        versions = sorted(checklist.versions.all(), key=lambda version: version.number)
        for place in checklist.service.environments.all():
            known = {version.pk: last.get((version.pk, place.pk), _BEGINNING) for version in versions}
            for version, expected in islice(_expected(versions, place, known, now), MOST_AT_ONCE):
                opened += _open(checklist, version, place, expected, now)
    return opened


def miss() -> int:
    """Mark what nobody completed before it closed; how many there were."""
    missed = 0
    over = ChecklistRun.objects.filter(status=OPEN, closes_at__lte=timezone.now()).values_list("pk", flat=True)
    for pk in list(over):
        missed += _miss(pk)
    return missed


def _lists() -> Sequence[Checklist]:
    found = Checklist.objects.filter(retired_at=None, current__isnull=False).select_related("service")
    return list(found.prefetch_related("versions", Prefetch("service__environments", Environment.objects.all())))


def _expected(
    versions: Sequence[ChecklistVersion], place: Environment, known: Mapping[int, datetime], now: datetime
) -> Iterator[tuple[ChecklistVersion, Occurrence]]:
    """What should have opened after the newest known run of each version, with the version that was in force.

    The first version counts from the day on which the list starts, a later one from the moment that it was made,
    with what could still be done then; so a change of the schedule invents no misses.
    """
    ends = [version.created_at for version in versions[1:]] + [now]
    seen: set[str] = set()
    for number, (version, end) in enumerate(zip(versions, ends, strict=True)):
        said = _said(version)
        if said is None or said.is_for_deployments or not said.covers(place.name, place.kind):
            continue
        zone, plan = ZoneInfo(place.timezone), said.schedule
        begins = _start(said, versions[0], zone)
        made = version.created_at if number or said.starts is None and not said.starts_days_ago else begins
        # Far enough back to find what had opened before the version was made and was not closed yet.
        since = max(begins, known[version.pk] + timedelta(microseconds=1), made - timedelta(days=101))
        until = min(end, now) if number + 1 < len(versions) else now + timedelta(microseconds=1)
        for one in checklist_schedule.occurrences(plan, zone, Calendar.of(place.calendar, plan), since, until):
            if one.closes_at > made and one.period not in seen:
                seen.add(one.period)
                yield version, one


def _said(version: ChecklistVersion) -> Definition | None:
    """What a version says; one that is not understood any more holds up no other list."""
    try:
        return checklist_format.parse(version.text)
    except FormatError:
        logger.exception("version %s of the checklist %s cannot be read", version.number, version.checklist_id)
        return None


def _start(said: Definition, first: ChecklistVersion, zone: ZoneInfo) -> datetime:
    """The first moment at which an occurrence can open."""
    day = said.starts or first.created_at.astimezone(zone).date() - timedelta(days=said.starts_days_ago)
    return checklist_schedule.midnight(day, zone)


@transaction.atomic
def _open(
    checklist: Checklist, version: ChecklistVersion, place: Environment, expected: Occurrence, now: datetime
) -> bool:
    is_over = expected.closes_at <= now
    run, is_new = ChecklistRun.objects.get_or_create(
        checklist=checklist,
        environment=place,
        period=expected.period,
        defaults={
            "version": version,
            "status": MISSED if is_over else OPEN,
            "opens_at": expected.opens_at,
            "due_at": expected.due_at,
            "closes_at": expected.closes_at,
        },
    )
    if is_new:
        _record("checklist.missed" if is_over else "checklist.opened", run)
    return is_new


@transaction.atomic
def _miss(pk: int) -> bool:
    rows = ChecklistRun.objects.select_for_update(of=("self",)).select_related("checklist", "version", "environment")
    run = rows.filter(pk=pk, status=OPEN, closes_at__lte=timezone.now()).first()
    if run is None:  # completed, or missed by another one who looks
        return False
    run.status = MISSED
    run.save(update_fields=["status"])
    _record("checklist.missed", run)
    return True


def _record(action: str, run: ChecklistRun) -> None:
    moments = {"opens_at": run.opens_at, "due_at": run.due_at, "closes_at": run.closes_at}
    kept = {name: at.isoformat() if at else None for name, at in moments.items()}
    after = {"checklist": run.checklist.slug, "period": run.period, "version": run.version.number, **kept}
    record(CHECKLISTS, action, run, environment=run.environment.name, after=after)
    checklist_events.publish([run])
