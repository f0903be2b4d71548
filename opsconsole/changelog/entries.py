"""What an entry of the change log is, and how entries are put under the day, week or month they belong to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

NAMED_BY_UUID = frozenset({1})
"""Sources whose rows have a UUID instead of a number: emergency stops."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"(\d{1,17})-(\d)-(\d{1,18}|[0-9a-f-]{36})")


class Kind(StrEnum):
    """What an entry tells of."""

    DEPLOYMENT = "deployment"
    CONFIGURATION = "configuration"
    INCIDENT = "incident"


KIND_WORDS = {
    Kind.DEPLOYMENT: "Deployments",
    Kind.CONFIGURATION: "Configuration",
    Kind.INCIDENT: "Incidents",
}
KIND_WORD = {Kind.DEPLOYMENT: "Deployment", Kind.CONFIGURATION: "Configuration", Kind.INCIDENT: "Incident"}


class Period(StrEnum):
    """How entries are grouped; days, weeks (from Monday) and months are those of UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


PERIOD_WORDS = {Period.DAY: "Day", Period.WEEK: "Week", Period.MONTH: "Month"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands in the list: by its time, then by its source and its number there."""

    at: datetime
    source: int
    pk: str
    """A number, or a UUID; always of one kind within a source."""

    @property
    def order(self) -> tuple[datetime, int, int | str]:
        """Ascending, so reversed for the newest first."""
        return self.at, self.source, int(self.pk) if self.pk.isdigit() else self.pk

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.source}-{self.pk}"


def place(text: str) -> Place | None:
    """The place that a query string names; None when it is malformed."""
    if not (found := _PLACE.fullmatch(text)):
        return None
    source, pk = int(found[2]), found[3]
    try:
        is_named_so = str(UUID(pk)) == pk if source in NAMED_BY_UUID else pk.isdigit()
        at = _EPOCH + timedelta(microseconds=int(found[1]))
    except (ValueError, OverflowError):
        return None
    return Place(at, source, pk) if is_named_so else None


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that changed or went wrong."""

    place: Place
    kinds: tuple[Kind, ...]
    """The first is what it is shown as; a deployment that failed is an incident as well."""
    title: str
    status: tuple[str, str]
    """Kind and value of a status, as ``opsconsole/vocabulary.py`` names them; two empty texts: none."""
    who: str = ""
    environment: str = ""
    """Empty for what concerns no single environment."""
    details: tuple[str, ...] = ()
    """Sentences: why, and what came of it."""
    links: tuple[tuple[str, str], ...] = ()
    """Word and path of the pages that tell more; the first is the entry's own."""
    changed_at: datetime | None = None
    """Last change of what it tells; None: it has not changed since."""

    @property
    def at(self) -> datetime:
        """When it began."""
        return self.place.at

    @property
    def kind(self) -> Kind:
        """What it is shown as."""
        return self.kinds[0]

    @property
    def id(self) -> str:
        """Its name for ever: it does not move when the entry changes."""
        return f"{self.place.source}-{self.place.pk}"

    @property
    def href(self) -> str:
        """Path of its own page; empty without one."""
        return self.links[0][1] if self.links else ""


@dataclass(frozen=True, slots=True)
class Group:
    """The entries of one day, week or month, newest first."""

    title: str
    first: date
    last: date
    entries: tuple[Entry, ...]

    @property
    def slug(self) -> str:
        """For an anchor: ``2026-11-23``, also for a week or a month, whose first day it is."""
        return self.first.isoformat()

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        """Those that are shown as a kind."""
        return tuple(entry for entry in self.entries if entry.kind == kind)


def newest_first(entries: Iterable[Entry]) -> list[Entry]:
    """Entries of several sources in one order."""
    return sorted(entries, key=lambda entry: entry.place.order, reverse=True)


def grouped(entries: Iterable[Entry], period: Period) -> list[Group]:
    """Entries, newest first, under the period that each belongs to; a period without entries is left out."""
    found: dict[date, list[Entry]] = {}
    for entry in entries:
        found.setdefault(first_day(entry.at.astimezone(UTC).date(), period), []).append(entry)
    return [
        Group(title(first, period), first, last_day(first, period), tuple(listed)) for first, listed in found.items()
    ]


def first_day(day: date, period: Period) -> date:
    """The first day of the period that holds a day."""
    if period == Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == Period.MONTH else day


def last_day(first: date, period: Period) -> date:
    """The last day of the period that begins with a day."""
    if period == Period.WEEK:
        return first + timedelta(days=6)
    if period == Period.MONTH:
        return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return first


def title(first: date, period: Period) -> str:
    """``Monday 23 November 2026``, ``Week 48 of 2026, from 23 November``, ``November 2026``."""
    if period == Period.WEEK:
        year, week, _ = first.isocalendar()
        return f"Week {week} of {year}, from {first.day} {first:%B}"
    return f"{first:%B} {first.year}" if period == Period.MONTH else f"{first:%A} {first.day} {first:%B} {first.year}"
