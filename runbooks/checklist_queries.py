"""Reading checklists: what is due, one run, the history, the month. Nothing asks again for each row.

What a person sees are the runs of the environments that they see. A missing run raises ``ChecklistRun.DoesNotExist``, a
missing list ``Checklist.DoesNotExist``.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q
from django.utils import timezone

from environments.evidence import Subject
from environments.models import Environment
from runbooks import checklist_format, checklist_schedule
from runbooks.checklist_format import Definition, Item
from runbooks.checklist_schedule import Calendar, Occurrence
from runbooks.models import Checklist, ChecklistRun, ChecklistVersion, Tick
from runbooks.models.checklist import ChecklistRunQuerySet

OPEN, COMPLETE, MISSED = ChecklistRun.Status.values
FIRST_YEAR, LAST_YEAR = 2000, 2100
_PEOPLE = ("assigned_to", "completed_by")
_ROW = ("checklist", "version", "environment", *_PEOPLE)


@dataclass(frozen=True, slots=True)
class ItemState:
    """One item of a run, with what was answered."""

    number: int
    """From 1, in the order of the work."""
    item: Item
    tick: Tick | None
    taken_back: tuple[Tick, ...] = ()
    """Earlier answers that somebody took back, oldest first."""

    @property
    def state(self) -> str:
        """``open``, ``second`` (waits for another person), ``deviation`` or ``done``."""
        if self.tick is None:
            return "open"
        if self.item.two_person and self.tick.checked_at is None:
            return "second"
        return "deviation" if self.tick.is_deviation else "done"

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be done any more, as expected or not."""
        return self.state in ("done", "deviation")


@dataclass(frozen=True, slots=True)
class Row:
    """One run as a list shows it."""

    run: ChecklistRun
    definition: Definition
    """As the run's own version says."""
    ticked: int
    total: int
    deviations: int
    now: datetime

    @property
    def state(self) -> str:
        """``open``, ``late``, ``complete``, ``complete_late`` or ``missed``."""
        if self.run.status == OPEN:
            return "late" if self.late_by else "open"
        return "complete_late" if self.run.status == COMPLETE and self.late_by else str(self.run.status)

    @property
    def late_by(self) -> timedelta:
        """How late it is, or was completed; zero when it is not late, or nothing was due."""
        return lateness(self.run, self.now)


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group of items of a run."""

    title: str
    items: tuple[ItemState, ...]


@dataclass(frozen=True, slots=True)
class RunView(Row):
    """One run with its items."""

    groups: tuple[GroupState, ...]

    @property
    def items(self) -> list[ItemState]:
        """Every item, in the order of the work."""
        return [item for group in self.groups for item in group.items]

    @property
    def open_items(self) -> list[ItemState]:
        """Those without an answer, and those that wait for a second person."""
        return [item for item in self.items if not item.is_settled]

    @property
    def deviating(self) -> list[ItemState]:
        """Those answered otherwise than expected."""
        return [item for item in self.items if item.tick is not None and item.tick.is_deviation]

    @property
    def next_item(self) -> ItemState | None:
        """The first one without an answer; None when every one has one."""
        return next((item for item in self.items if item.tick is None), None)

    @property
    def subject(self) -> Subject:
        """What its evidence is asked about."""
        return subject_of(self.run, self.definition)


@dataclass(frozen=True, slots=True)
class Place:
    """One list in one environment."""

    checklist: Checklist
    definition: Definition
    """The current version."""
    environment: Environment
    open_runs: tuple[Row, ...]
    """Open ones, the latest last; more than one for deployments only, or when the list says how long it stays open."""
    last: Row | None
    """The newest that is complete or missed."""
    streak: int
    """Completed on time in a row, up to now."""
    next_opens_at: datetime | None
    """None for deployments, and for a retired list."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the month view, by the day (in the environment's time zone) on which runs opened."""

    day: date
    in_month: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Month:
    """A month in weeks from Monday to Sunday."""

    first: date
    weeks: tuple[tuple[Day, ...], ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are asked for; an empty text asks for nothing in particular."""

    environment: str = ""
    checklist: str = ""
    """Slug."""
    status: str = ""
    """open, complete, missed, or late: open and overdue, or completed late."""
    since: date | None = None
    """Opened on this day (UTC) or later."""
    until: date | None = None
    """Opened on this day (UTC) or before."""

    def of(self, runs: ChecklistRunQuerySet) -> ChecklistRunQuerySet:
        """Those of a queryset that are asked for."""
        if self.environment:
            runs = runs.filter(environment__name=self.environment)
        if self.checklist:
            runs = runs.filter(checklist__slug=self.checklist)
        if self.status == "late":
            now = timezone.now()
            runs = runs.filter(_late_at("completed_at", COMPLETE) | Q(status=OPEN, due_at__lt=now))
        elif self.status:
            runs = runs.filter(status=self.status)
        if self.since:
            runs = runs.filter(opens_at__gte=datetime.combine(self.since, datetime.min.time(), UTC))
        if self.until and self.until < date.max:
            runs = runs.filter(opens_at__lt=datetime.combine(self.until, datetime.min.time(), UTC) + timedelta(days=1))
        return runs


def lateness(found: ChecklistRun, now: datetime | None = None) -> timedelta:
    """How late a run is at a moment (default: now), or was completed or closed; zero without a due time."""
    until = (now or timezone.now()) if found.status == OPEN else found.completed_at or found.closes_at
    if found.due_at is None or until is None:
        return timedelta()
    return max(until - found.due_at, timedelta())


def definition(version: ChecklistVersion) -> Definition:
    """What a version says; parsed once, for a version never changes."""
    return checklist_format.parse(version.text)


def subject_of(run: ChecklistRun, said: Definition) -> Subject:
    """What the evidence of a run is asked about: its environment and, for the deployment list, the release."""
    return Subject(run.environment, run.period if said.is_for_deployments else "")


def checklists(user: Any) -> list[Checklist]:
    """Every list of the services of which a person sees an environment, with its current version. One query."""
    seen = Environment.objects.visible_to(user).filter(service=OuterRef("service")).order_by()
    found = Checklist.objects.filter(Exists(seen), current__isnull=False)
    return list(found.select_related("service", "current", "current__created_by").order_by("service__name", "slug"))


def checklist(user: Any, slug: str, service: str = "") -> Checklist:
    """One list with its current version; the service is needed only where two have a list of that name. One query.

    Raises:
        Checklist.DoesNotExist: there is none that the person may see.
        Checklist.MultipleObjectsReturned: two services have one; name the service.
    """
    found = [one for one in checklists(user) if one.slug == slug and service in ("", one.service.name)]
    if not found:
        raise Checklist.DoesNotExist(f"There is no checklist {slug!r} that you may see.")
    if len(found) > 1:
        names = ", ".join(one.service.name for one in found)
        raise Checklist.MultipleObjectsReturned(f"Several services have a checklist {slug!r}: {names}. Name one.")
    return found[0]


def environments_of(said: Definition, environments: Iterable[Environment]) -> list[Environment]:
    """Those of a service's environments in which a list is done."""
    return [one for one in environments if said.covers(one.name, one.kind)]


def counted(runs: ChecklistRunQuerySet) -> ChecklistRunQuerySet:
    """With what a row shows, the counts of answers in the same query; newest first."""
    standing = Q(ticks__unticked_at=None)
    return (
        runs.select_related(*_ROW)
        .annotate(
            ticked_count=Count("ticks", filter=standing),
            deviation_count=Count("ticks", filter=standing & Q(ticks__is_deviation=True)),
        )
        .order_by("-opens_at", "-pk")
    )


def rows(runs: Iterable[ChecklistRun]) -> list[Row]:
    """What a list shows of runs that came from ``counted``; no query."""
    now = timezone.now()
    return [_row(run, now) for run in runs]


def history(user: Any, wanted: Filter | None = None) -> ChecklistRunQuerySet:
    """Runs that a person may see, newest first, for ``rows``; every expected one, missed ones too."""
    found: ChecklistRunQuerySet = counted(ChecklistRun.objects.visible_to(user))
    return wanted.of(found) if wanted else found


def due(user: Any) -> list[Row]:
    """Open runs, what is due first at the top, those without a due time last. One query."""
    found = rows(history(user, Filter(status=OPEN)))
    return sorted(found, key=lambda row: (row.run.due_at or datetime.max.replace(tzinfo=UTC), row.run.pk))


def run(user: Any, pk: int) -> RunView:
    """One run with its items, answers and evidence. Two queries.

    Raises:
        ChecklistRun.DoesNotExist: there is none that the person may see.
    """
    people = ("ticked_by", "checked_by", "unticked_by")
    ticks = Prefetch("ticks", Tick.objects.select_related(*people).order_by("ticked_at", "pk"))
    return view(ChecklistRun.objects.visible_to(user).select_related(*_ROW).prefetch_related(ticks).get(pk=pk))


def view(found: ChecklistRun) -> RunView:
    """A run with its items; what was prefetched is not asked for again."""
    said = definition(found.version)
    standing: dict[str, Tick] = {}
    taken_back: dict[str, list[Tick]] = {}
    for tick in found.ticks.all():
        if tick.unticked_at is None:
            standing[tick.item] = tick
        else:
            taken_back.setdefault(tick.item, []).append(tick)
    groups, number = [], 0
    for group in said.groups:
        items = []
        for item in group.items:
            number += 1
            items.append(ItemState(number, item, standing.get(item.id), tuple(taken_back.get(item.id, ()))))
        groups.append(GroupState(group.title, tuple(items)))
    deviations = sum(tick.is_deviation for tick in standing.values())
    return RunView(found, said, len(standing), number, deviations, timezone.now(), tuple(groups))


def places(user: Any) -> list[Place]:
    """Every list in every environment that a person sees, for the page of checklists. A fixed number of queries."""
    lists = [one for one in checklists(user) if one.retired_at is None]
    seen = list(Environment.objects.visible_to(user))
    kept = streaks(user)
    closed = ChecklistRun.objects.visible_to(user).exclude(status=OPEN)
    newest = closed.order_by("checklist_id", "environment_id", "-opens_at", "-pk").distinct(
        "checklist_id", "environment_id"
    )
    last = {_key(row.run): row for row in rows(history(user).filter(pk__in=newest.values("pk")))}
    standing: dict[tuple[int, int], list[Row]] = {}
    for row in due(user):
        standing.setdefault(_key(row.run), []).append(row)
    found = []
    for one in lists:
        assert one.current is not None
        said = definition(one.current)
        for place in environments_of(said, (each for each in seen if each.service_id == one.service_id)):
            key = (one.pk, place.pk)
            opened = sorted(standing.get(key, ()), key=lambda row: row.run.opens_at)
            opens = next_opens_at(said, place)
            found.append(Place(one, said, place, tuple(opened), last.get(key), kept.get(key, 0), opens))
    return found


def streaks(user: Any) -> dict[tuple[int, int], int]:
    """How many occurrences in a row were completed on time, up to now, by list and environment. One query.

    An open run does not count and breaks nothing; one that is missed or completed late begins anew.
    """
    seen = ChecklistRun.objects.visible_to(user).exclude(status=OPEN).order_by()
    bad = Q(status=MISSED) | _late_at("completed_at", COMPLETE)
    worse = ChecklistRun.objects.filter(bad, checklist=OuterRef("checklist"), environment=OuterRef("environment"))
    after = worse.filter(opens_at__gte=OuterRef("opens_at"))
    kept = seen.filter(~Exists(after)).values_list("checklist_id", "environment_id").annotate(number=Count("pk"))
    return {(one, place): number for one, place, number in kept}


def month(user: Any, slug: str, environment: str, first: date, service: str = "") -> Month:
    """The runs of one list in one environment that opened in a month, as weeks. Three queries.

    Args:
        first: any day of the month.

    Raises:
        Checklist.DoesNotExist, Environment.DoesNotExist: there is none that the person may see.
    """
    if not FIRST_YEAR <= first.year <= LAST_YEAR:
        raise Checklist.DoesNotExist(f"There are months from {FIRST_YEAR} to {LAST_YEAR}.")
    found = checklist(user, slug, service)
    place = Environment.objects.visible_to(user).get(service=found.service, name=environment)
    zone = ZoneInfo(place.timezone)
    days = calendar.Calendar().monthdatescalendar(first.year, first.month)
    since = checklist_schedule.midnight(days[0][0], zone)
    until = checklist_schedule.midnight(days[-1][-1] + timedelta(days=1), zone)
    runs = counted(ChecklistRun.objects.filter(checklist=found, environment=place))
    by_day: dict[date, list[Row]] = {}
    for row in rows(runs.filter(opens_at__gte=since, opens_at__lt=until).order_by("opens_at", "pk")):
        by_day.setdefault(row.run.opens_at.astimezone(zone).date(), []).append(row)
    weeks = [tuple(Day(day, day.month == first.month, tuple(by_day.get(day, ()))) for day in week) for week in days]
    return Month(first.replace(day=1), tuple(weeks))


def versions(found: Checklist) -> Sequence[ChecklistVersion]:
    """Every version of a list, newest first. One query."""
    return list(found.versions.select_related("created_by"))


def upcoming(said: Definition, environment: Environment, number: int = 3) -> list[Occurrence]:
    """The next occurrences in an environment; none for deployments. No query."""
    plan, now = said.schedule, timezone.now()
    calendar_days = Calendar.of(environment.calendar, plan)
    later = datetime(LAST_YEAR, 1, 1, tzinfo=UTC)
    found = checklist_schedule.occurrences(plan, ZoneInfo(environment.timezone), calendar_days, now, later)
    return list(islice(found, number))


def next_opens_at(said: Definition, environment: Environment) -> datetime | None:
    """When the next occurrence opens in an environment; None for deployments. No query."""
    found = upcoming(said, environment, 1)
    return found[0].opens_at if found else None


def _row(found: ChecklistRun, now: datetime) -> Row:
    said = definition(found.version)
    counts = (found.ticked_count, len(said.items), found.deviation_count)  # type: ignore[attr-defined]
    return Row(found, said, *counts, now)


def _late_at(field: str, status: str) -> Q:
    return Q(**{f"{field}__gt": F("due_at"), "status": status})


def _key(found: ChecklistRun) -> tuple[int, int]:
    return found.checklist_id, found.environment_id
