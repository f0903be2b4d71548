"""Checklists in words: how late a run is, what is expected of an item, what a state is called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from runbooks.checklist_format import Definition, Schedule
from runbooks.checklist_queries import Row

STATES = {
    "open": "open",
    "late": "late",
    "complete": "done",
    "complete_late": "done late",
    "missed": "missed",
}
WEEKDAY_WORDS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
VERDICTS = {"pass": "as expected", "warn": "look at it", "fail": "not as expected", "no_data": "no data"}


def state(name: str) -> str:
    """``done late``, for a value of the status ``checklist`` (opsconsole/vocabulary.py)."""
    return STATES[name]


def verdict(name: str) -> str:
    """``not as expected``."""
    return VERDICTS.get(name, name)


def lateness(row: Row) -> str:
    """``Due 08:00 UTC, 25 min late`` or ``Due 08:00 UTC, in 40 min``; empty without a due time or after the end."""
    due = row.run.due_at
    if due is None or row.run.status != row.run.Status.OPEN:
        return ""
    told = f"Due {clock(due, row.now)}"
    return f"{told}, {span(row.late_by)} late" if row.late_by else f"{told}, in {span(due - row.now)}"


def clock(at: datetime, now: datetime) -> str:
    """``08:00 UTC``; with the date when it is another day (UTC)."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def span(length: timedelta) -> str:
    """A length of time, coarsely: ``25 min``, ``3 h 10 min``, ``2 days``."""
    minutes = max(0, int(length.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min" if minutes else "less than 1 min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest:02d} min" if rest else f"{hours} h"
    return f"{minutes // (24 * 60)} days"


def schedule(definition: Definition) -> str:
    """``Every Monday from 06:00, due by 12:00``; times are those of the environment's time zone."""
    wanted = definition.schedule
    if definition.is_for_deployments:
        return "For every release, before it is deployed"
    day = f"{_every(wanted)} from {wanted.at}"
    days = f", on {_join([WEEKDAY_WORDS[name] for name in wanted.days])}" if wanted.days else ""
    return f"{day}{days}, {_due(wanted)}"


def _every(wanted: Schedule) -> str:
    if wanted.every == "week":
        return f"Every {WEEKDAY_WORDS[str(wanted.day or 'mon')]}"
    if wanted.every == "month":
        return "On the last day of every month" if wanted.day == "last" else f"On day {wanted.day or 1} of every month"
    return "Every day" if wanted.days else "Every trading day"


def _due(wanted: Schedule) -> str:
    if wanted.due is None:
        return "due before it closes"
    if isinstance(wanted.due, str):
        return f"due by {wanted.due}"
    days, rest = divmod(wanted.due, 24)
    return f"due within {days:g} days" if days > 1 and not rest else f"due within {wanted.due:g} h"


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def short_hash(text: str) -> str:
    """Twelve characters that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
