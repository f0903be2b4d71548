"""What of the change log is asked for: one reading of a query string for the page, the files, the feed and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from audit.filters import moment
from opsconsole.changelog.entries import KIND_WORDS, PERIOD_WORDS, Kind, Period, first_day

NAMES = ("period", "kind", "environment", "since", "until")
"""The parameters, in the order in which a page shows them."""
LONGEST = 60
_TIME = "2026-01-21"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entries that are asked for; an empty text asks for nothing in particular."""

    period: Period = Period.DAY
    """Under which headings they stand."""
    kind: str = ""
    environment: str = ""
    since: datetime | None = None
    """From this moment on."""
    until: datetime | None = None
    """Before this moment."""


def read(given: Mapping[str, str]) -> tuple[Wanted, dict[str, str]]:
    """The filter of a query string, and what of it cannot be used: the parameter's name and why."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in NAMES:
        text = given.get(name, "").strip()
        if not text:
            continue
        try:
            values[name] = _value(name, text)
        except ValueError as error:
            problems[name] = str(error)
    wanted = Wanted(**values)
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        problems["until"] = "The end of the time range is not after its start."
        wanted = replace(wanted, until=None)
    return wanted, problems


def _value(name: str, text: str) -> Any:
    if "\x00" in text or len(text) > LONGEST:
        raise ValueError(f"Write at most {LONGEST} ordinary characters.")
    if name in ("since", "until"):
        return moment(text, end=name == "until")
    if name == "environment":
        return text
    known = [one.value for one in (Period if name == "period" else Kind)]
    if text not in known:
        raise ValueError(f"There is no {name} “{text[:40]}”. Known: {', '.join(known)}.")
    return Period(text) if name == "period" else text


def query(given: Mapping[str, str], **changed: str) -> str:
    """The query string of a filter, without a place in the list; a changed value that is empty is left out."""
    values = {name: given.get(name, "") for name in NAMES} | changed
    return urlencode([(name, value) for name, value in values.items() if value])


def bar(given: Mapping[str, str], environments: tuple[str, ...]) -> list[dict[str, Any]]:
    """The filters above the list, as ``ui/filter_bar.html`` wants them."""
    places = [("", "Any"), *[(name, name) for name in environments]]
    chosen = given.get("environment", "")
    if chosen and chosen not in environments:
        places.append((chosen, chosen))  # a link may ask for one that the person does not see
    kinds = [("", "Any"), *[(kind.value, words) for kind, words in KIND_WORDS.items()]]
    periods = [(period.value, words) for period, words in PERIOD_WORDS.items()]
    return [
        {"name": "period", "label": "By", "value": given.get("period", Period.DAY.value), "options": periods},
        {"name": "kind", "label": "Kind", "value": given.get("kind", ""), "options": kinds},
        {"name": "environment", "label": "Environment", "value": chosen, "options": places},
        {"name": "since", "label": "From, UTC", "value": given.get("since", ""), "type": "text", "hint": _TIME},
        {"name": "until", "label": "To, UTC", "value": given.get("until", ""), "type": "text", "hint": _TIME},
    ]


def ranges(given: Mapping[str, str], today: date | None = None) -> list[tuple[str, str, bool]]:
    """Often used time ranges: word, query string, whether it is the present one."""
    today = today or datetime.now(UTC).date()
    month = first_day(today, Period.MONTH)
    before = first_day(month - timedelta(days=1), Period.MONTH)
    offered = (
        ("Today", today, today),
        ("This week", first_day(today, Period.WEEK), today),
        ("This month", month, today),
        ("Last month", before, month - timedelta(days=1)),
    )
    found = []
    for word, first, last in offered:
        span = {"since": first.isoformat(), "until": "" if last == today else last.isoformat()}
        is_current = all(given.get(name, "") == value for name, value in span.items())
        found.append((word, f"?{query(given, **span)}", is_current))
    return found
