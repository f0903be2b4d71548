"""What of the audit trail is asked for: one reading of a query string for the page, the API and the exports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.models import OUTCOME_CHOICES, Outcome

SHORTEST_TEXT = 3
"""Characters that a text must have to be searched for: fewer have no index."""
LONGEST_TEXT = 100
NAMES = ("q", "who", "action", "object", "environment", "outcome", "request", "since", "until")
"""The parameters, in the order in which a page shows them."""
_OBJECT = re.compile(r"[a-z_]{1,40}(?::[^\x00]{1,40})?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_AGO = re.compile(r"(\d{1,4}) ?(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Filter:
    """The records that are asked for; an empty text asks for nothing in particular."""

    q: str = ""
    """Free text: in who, action, object, reason; or a whole request id."""
    who: str = ""
    """Name as it stands in the record, or a user name."""
    action: str = ""
    object: str = ""
    """``TYPE`` or ``TYPE:ID``."""
    environment: str = ""
    outcome: str = ""
    request: str = ""
    since: datetime | None = None
    """From this moment on."""
    until: datetime | None = None
    """Before this moment."""

    @property
    def object_type(self) -> str:
        """The part of ``object`` before the colon."""
        return self.object.partition(":")[0]

    @property
    def object_id(self) -> str:
        """The part of ``object`` after the colon; empty for every object of the type."""
        return self.object.partition(":")[2]

    def described(self) -> dict[str, str]:
        """What is asked for as plain values, for the record of an export."""
        given = {name: getattr(self, name) for name in NAMES if getattr(self, name)}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}


def read(given: Mapping[str, str]) -> tuple[Filter, dict[str, str]]:
    """The filter of a query string, and what of it cannot be used: the parameter's name and why."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in NAMES:
        text = given.get(name, "").strip()
        if not text:
            continue
        try:
            values[name] = _READERS.get(name, _plain)(text)
        except ValueError as error:
            problems[name] = str(error)
    wanted = Filter(**values)
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        problems["until"] = "The end of the time range is not after its start."
        wanted = replace(wanted, until=None)
    return wanted, problems


def moment(text: str, *, end: bool = False, now: datetime | None = None) -> datetime:
    """A moment as a person writes it, in UTC unless it says otherwise.

    ``2026-01-21`` (with ``end``: the end of that day), ``2026-01-21 14:02``, ``2026-01-21T14:02:11.204Z``, or how long
    ago: ``30min``, ``2h``, ``7d``.

    Raises:
        ValueError: it is none of these; the text says how to write it.
    """
    if found := _AGO.fullmatch(text):
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return at + timedelta(days=1) if end and _DAY.fullmatch(text) else at
    except (ValueError, OverflowError):
        raise ValueError(
            f"“{text[:40]}” is no time. Write 2026-01-21, 2026-01-21 14:02 (UTC), or 2h for two hours ago."
        ) from None


def _plain(text: str) -> str:
    if "\x00" in text or len(text) > 150:
        raise ValueError("It holds a character that no record holds." if "\x00" in text else "At most 150 characters.")
    return text


def _text(text: str) -> str:
    if len(text) < SHORTEST_TEXT or not any(character.isalnum() for character in text):
        raise ValueError(f"“{text[:40]}” is too short: search for {SHORTEST_TEXT} or more characters.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"Search for at most {LONGEST_TEXT} characters.")
    return _plain(text)


def _object(text: str) -> str:
    if not _OBJECT.fullmatch(text):
        raise ValueError("Write TYPE or TYPE:ID, for example deployment:42.")
    return text


def _outcome(text: str) -> str:
    if text not in [outcome.value for outcome in Outcome]:
        known = ", ".join(value for value, _ in OUTCOME_CHOICES)
        raise ValueError(f"There is no outcome “{text[:40]}”. Known: {known}.")
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "q": _text,
    "object": _object,
    "outcome": _outcome,
    "since": moment,
    "until": lambda text: moment(text, end=True),
}
