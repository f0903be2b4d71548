"""When an occurrence of a checklist is expected: plain data in, moments out.

A day, a week (ISO) or a month has one occurrence at most, named after it: ``2026-11-23``, ``2026-W48``, ``2026-11``. A
daily list has none on a day that is not one of its days. A weekly or monthly list always has one: its day moves to the
next day of the same period that is one of its days, or else to the last such one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from runbooks.checklist_format import DEPLOYMENT, WEEKDAYS, Schedule

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days on which something can be expected."""

    days: frozenset[int] = frozenset(range(7))
    """Days of the week; Monday is 0."""
    holidays: frozenset[date] = frozenset()

    @classmethod
    def of(cls, data: Mapping[str, Any], schedule: Schedule) -> Calendar:
        """An environment's trading days, where the list's own schedule does not say otherwise.

        Args:
            data: ``Environment.calendar``: days by name, holidays as ISO dates.
        """
        names = schedule.days or data.get("days") or WEEKDAYS
        holidays = schedule.holidays
        if holidays is None:
            holidays = tuple(date.fromisoformat(str(one)) for one in data.get("holidays") or ())
        return cls(frozenset(WEEKDAYS.index(name) for name in names), frozenset(holidays))

    def has(self, day: date) -> bool:
        """Whether a day is one of them."""
        return day.weekday() in self.days and day not in self.holidays


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that a list is expected; moments are in UTC, and ``opens_at <= due_at <= closes_at``."""

    period: str
    opens_at: datetime
    due_at: datetime
    closes_at: datetime


def occurrences(
    schedule: Schedule, zone: ZoneInfo, calendar: Calendar, since: datetime, until: datetime
) -> Iterator[Occurrence]:
    """Every occurrence that opens from ``since`` on and before ``until``, in order; none for deployments."""
    if schedule.every == DEPLOYMENT or since >= until:
        return
    # A day of margin on both sides: a local date may be a day off in UTC.
    periods = _periods(schedule, zone, calendar, since.astimezone(zone).date() - DAY)
    name, opens = next(periods)
    for following, next_opens in periods:
        if opens >= until:
            return
        if opens >= since:
            yield _occurrence(schedule, zone, name, opens, next_opens)
        name, opens = following, next_opens


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The beginning of a day, in UTC."""
    return _moment(day, "00:00", zone)


def _periods(schedule: Schedule, zone: ZoneInfo, calendar: Calendar, day: date) -> Iterator[tuple[str, datetime]]:
    """Names and opening moments from the period of a day on, without an end."""
    while True:
        first, last, name = _period(schedule.every, day)
        found = _day_in(schedule, zone, calendar, first, last)
        if found is not None:
            yield name, _moment(found, schedule.at, zone)
        day = last + DAY


def _period(every: str, day: date) -> tuple[date, date, str]:
    """First and last day of the period that a day is in, and its name."""
    if every == "week":
        first = day - timedelta(days=day.weekday())
        year, week, _ = day.isocalendar()
        return first, first + timedelta(days=6), f"{year}-W{week:02}"
    if every == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1) - DAY, f"{first:%Y-%m}"
    return day, day, day.isoformat()


def _day_in(schedule: Schedule, zone: ZoneInfo, calendar: Calendar, first: date, last: date) -> date | None:
    if schedule.every == "day":
        return first if calendar.has(first) and _exists(first, zone) else None
    wanted = _wanted(schedule, first, last)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    later = [day for day in days if day >= wanted and _exists(day, zone)]
    earlier = [day for day in reversed(days) if day < wanted and _exists(day, zone)]
    # Without any such day it stays where it is: an occurrence is never dropped.
    return next((day for day in (*later, *earlier) if calendar.has(day)), (*later, *earlier)[0])


def _wanted(schedule: Schedule, first: date, last: date) -> date:
    if schedule.every == "week":
        return first + timedelta(days=WEEKDAYS.index(str(schedule.day or "mon")))
    if schedule.day == "last":
        return last
    return min(last, first + timedelta(days=int(schedule.day or 1) - 1))


def _occurrence(schedule: Schedule, zone: ZoneInfo, name: str, opens: datetime, following: datetime) -> Occurrence:
    closes = following if schedule.closes is None else opens + timedelta(hours=schedule.closes)
    if schedule.due is None:
        due = closes
    elif isinstance(schedule.due, str):
        due = _moment(opens.astimezone(zone).date(), schedule.due, zone)
    else:
        due = opens + timedelta(hours=schedule.due)
    return Occurrence(name, opens, min(max(due, opens), closes), closes)


def _moment(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """A local time of day in UTC: the first of two, and where the clock jumps over it the same distance later."""
    return datetime.combine(day, time.fromisoformat(clock), zone).astimezone(UTC)


def _exists(day: date, zone: ZoneInfo) -> bool:
    """Some places have left out a whole day, to be on the other side of the date line."""
    return datetime.combine(day, time(12), zone).astimezone(UTC).astimezone(zone).date() == day
