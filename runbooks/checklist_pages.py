"""What the pages of checklists show: what is due, one list with its months and its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.paginator import Page, Paginator
from django.urls import reverse
from django.utils import timezone

from accounts.roles import CHECKLISTS, CONFIGURE
from environments.models import Environment
from environments.permissions import permissions_of
from runbooks import checklist_queries as queries
from runbooks import checklist_words as words
from runbooks.checklist_format import Definition
from runbooks.checklist_queries import FIRST_YEAR, LAST_YEAR, OPEN, Filter, Place, Row
from runbooks.models import Checklist, ChecklistVersion

PAGE_SIZE = 30
SHOWN_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list."""

    row: Row

    @property
    def href(self) -> str:
        """Where it is done."""
        return reverse("checklist-run", args=[self.row.run.pk])

    @property
    def lateness(self) -> str:
        """``Due 08:00 UTC, 25 min late``."""
        return words.lateness(self.row)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now."""

    rows: Sequence[RunRow]
    """Late ones first, then by when they are due."""

    @property
    def count(self) -> int:
        """How many."""
        return len(self.rows)

    @property
    def late(self) -> int:
        """How many of them are late."""
        return sum(one.row.state == "late" for one in self.rows)

    @property
    def what(self) -> str:
        """The words after the count."""
        return "checklist due" if self.count == 1 else "checklists due"

    @property
    def note(self) -> str:
        """``2 late``."""
        return f"{self.late} late" if self.late else ""


@dataclass(frozen=True, slots=True)
class ListRow:
    """One list in one environment."""

    place: Place

    @property
    def href(self) -> str:
        """The list's page, for this environment."""
        return list_href(self.place.checklist.slug, self.place.environment.name)

    @property
    def schedule(self) -> str:
        """When it is expected, in words."""
        return words.schedule(self.place.definition)


@dataclass(frozen=True, slots=True)
class Lists:
    """The page of checklists."""

    due: Due
    rows: Sequence[ListRow]

    @property
    def upcoming(self) -> ListRow | None:
        """What opens next."""
        known = [row for row in self.rows if row.place.next_opens_at is not None]
        return min(known, key=lambda row: row.place.next_opens_at or datetime.max, default=None)


@dataclass(frozen=True, slots=True)
class DayCell:
    """One day of the month view."""

    day: date
    in_month: bool
    is_today: bool
    runs: Sequence[RunRow]

    @property
    def weekday(self) -> str:
        """``Mon``: stands beside the day on a phone."""
        return f"{self.day:%a}"


@dataclass(frozen=True, slots=True)
class MonthView:
    """A month as a table."""

    first: date
    weeks: Sequence[Sequence[DayCell]]
    before: date
    after: date | None
    """None for the present month and later."""

    @property
    def is_empty(self) -> bool:
        """Nothing opened in it."""
        return not any(cell.runs for week in self.weeks for cell in week if cell.in_month)


@dataclass(frozen=True, slots=True)
class ListPage:
    """One list in one environment."""

    checklist: Checklist
    version: ChecklistVersion
    definition: Definition
    environment: Environment
    others: Sequence[Environment]
    """Every environment in which it is done, and in which it was, that the person sees."""
    open_runs: Sequence[RunRow]
    streak: int
    opens_at: datetime | None
    month: MonthView
    history: Page[Any]
    rows: Sequence[RunRow]
    versions: Sequence[ChecklistVersion]
    may_edit: bool
    may_begin: bool

    @property
    def schedule(self) -> str:
        """When it is expected, in words."""
        return words.schedule(self.definition)

    @property
    def tabs(self) -> list[tuple[str, str, bool, None]]:
        """The environments, as ``ui/tabs.html`` wants them."""
        here = self.environment.pk
        return [(one.name, f"?environment={one.name}", one.pk == here, None) for one in self.others]


def list_href(slug: str, environment: str) -> str:
    """Address of a list's page for one environment."""
    return f"{reverse('checklist', args=[slug])}?environment={environment}"


def due(user: Any) -> Due:
    """What is due for a person, late ones first. One query."""
    found = [RunRow(row) for row in queries.due(user)]
    return Due(sorted(found, key=lambda one: one.row.state != "late"))


def lists(user: Any) -> Lists:
    """What is due, and every list in every environment that the person sees. A fixed number of queries."""
    found = queries.places(user)
    rows = [RunRow(row) for place in found for row in place.open_runs]
    latest = datetime.max.replace(tzinfo=ZoneInfo("UTC"))
    rows.sort(key=lambda one: (one.row.state != "late", one.row.run.due_at or latest, one.row.run.pk))
    return Lists(Due(rows), [ListRow(place) for place in found])


def list_page(user: Any, slug: str, environment: str, month: date | None, number: str | None) -> ListPage:
    """The page of a list. A fixed number of queries.

    Args:
        environment: its name; empty for the first one in which the list is done.
        month: any day of the month that is shown; None for the present one.
        number: page of the history.

    Raises:
        Checklist.DoesNotExist, Environment.DoesNotExist: there is none that the person may see.
    """
    found = queries.checklist(user, slug)
    assert found.current is not None
    said = queries.definition(found.current)
    seen = list(Environment.objects.visible_to(user).filter(service=found.service_id))
    places = queries.environments_of(said, seen) or seen
    shown = next((one for one in seen if one.name == environment), None) if environment else places[0]
    if shown is None:
        raise Environment.DoesNotExist(f"There is no environment {environment!r} that you may see.")
    runs = queries.history(user, Filter(environment=shown.name, checklist=slug)).filter(checklist=found)
    page = Paginator(runs, PAGE_SIZE).get_page(number)
    rights = permissions_of(user, seen)
    is_done_here = shown in places
    is_expected = found.retired_at is None and is_done_here
    return ListPage(
        checklist=found,
        version=found.current,
        definition=said,
        environment=shown,
        others=places if is_done_here else [*places, shown],
        open_runs=[RunRow(row) for row in queries.rows(runs.filter(status=OPEN))],
        streak=queries.streaks(user).get((found.pk, shown.pk), 0),
        opens_at=queries.next_opens_at(said, shown) if is_expected else None,
        month=_month(user, found, shown, month),
        history=page,
        rows=[RunRow(row) for row in queries.rows(page)],
        versions=queries.versions(found)[:SHOWN_VERSIONS],
        may_edit=found.retired_at is None and all(CONFIGURE in rights[one.name] for one in places),
        may_begin=is_expected and said.is_for_deployments and CHECKLISTS in rights[shown.name],
    )


def _month(user: Any, found: Checklist, environment: Environment, wanted: date | None) -> MonthView:
    today = timezone.now().astimezone(ZoneInfo(environment.timezone)).date()
    shown = queries.month(user, found.slug, environment.name, wanted or today, found.service.name)
    weeks = [
        [
            DayCell(one.day, one.in_month, one.day == today, [RunRow(row) for row in one.rows] if one.in_month else [])
            for one in week
        ]
        for week in shown.weeks
    ]
    after = _next(shown.first)
    return MonthView(shown.first, weeks, _before(shown.first), after if after <= today else None)


def _before(first: date) -> date:
    return date(first.year - 1, 12, 1) if first.month == 1 else date(first.year, first.month - 1, 1)


def _next(first: date) -> date:
    return date(first.year + 1, 1, 1) if first.month == 12 else date(first.year, first.month + 1, 1)


def month_of(text: str) -> date | None:
    """The first day of a month written ``2026-11``; None when it is not one that can be shown."""
    year, _, month = text.partition("-")
    if not (year.isascii() and year.isdecimal() and len(year) == 4 and month.isascii() and month.isdecimal()):
        return None
    try:
        found = date(int(year), int(month), 1)
    except ValueError:
        return None
    return found if FIRST_YEAR <= found.year <= LAST_YEAR else None
