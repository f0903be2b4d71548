"""What the audit pages show: filters, rows with links, what an act changed, and how the chain stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypedDict
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.text import Truncator

from audit import filters, queries, registry
from audit.models import OUTCOME_CHOICES, Record
from audit.queries import Edge, Reader, Search, TakesLonger, visible_to

__all__ = ["visible_to"]

PAGE_SIZE = 50
SEARCH_MILLISECONDS = 10
"""So long a page looks for a text among the older records before it comes with what the newest have."""
SHOWN_REASON = 140
"""Characters of a reason that the list shows."""
RANGES = (("1h", "Last hour"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"))
VIA = {
    "session": "in the browser",
    "key": "by API key",
    "login": "by command line",
    "cli": "at the server",
    "system": "by itself",
}
"""How an act arrived, in words."""
LABELS = {
    "q": "Search",
    "who": "Who",
    "action": "Action",
    "object": "Object",
    "environment": "Environment",
    "outcome": "Outcome",
    "request": "Request",
    "since": "From, UTC",
    "until": "To, UTC",
}
_WHAT = ("title", "rule", "topic")
_NUMBERED = ("deployment", "audit-record")
_API_NAMES = {"who": "actor"}
_TIME = "2026-01-21 14:02"


class Row(TypedDict):
    """One record as ``ui/audit_rows.html`` shows it; plain values, because a page has fifty of them."""

    href: str
    at: datetime
    who: str
    role: str
    via: str
    """How the act arrived, in words."""
    label: str
    stands_out: bool
    """Whether somebody should look at it again, as at a gate that was overridden."""
    what: str
    """What of an act there are many of: a step, a rule, a topic; else empty."""
    reason: str
    object: str
    object_href: str
    """Where its object is shown; empty when it has no page."""
    environment: str
    outcome: str
    address: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of records, newest first; the edges lead to its neighbours."""

    rows: list[Row]
    older: str = ""
    newer: str = ""
    is_partial: bool = False
    """Only the newest records were searched."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is set."""

    label: str
    value: str
    without: str
    """Query string of the page without it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value before and after an act; nested values by their path, as ``slots.blue.weight``."""

    name: str
    before: Any
    after: Any
    kind: str
    """``added``, ``removed``, ``changed`` or ``same``."""


def row(record: Record) -> Row:
    """A record as the list shows it."""
    return {
        "href": _address("audit-record", str(record.pk)),
        "at": record.at,
        "who": record.actor_name,
        "role": record.role,
        "via": VIA.get(record.via, record.via),
        "label": record.label,
        "stands_out": registry.is_emphasised(record.action),
        "what": what_of(record),
        "reason": Truncator(record.reason).chars(SHOWN_REASON) if len(record.reason) > SHOWN_REASON else record.reason,
        "object": record.object_name or record.object_id,
        "object_href": object_address(record),
        "environment": record.environment,
        "outcome": record.outcome,
        "address": record.address,
    }


def what_of(record: Record) -> str:
    """What of an act there are many of: a step, a rule, a topic; else empty."""
    kept = record.after if isinstance(record.after, dict) else {}
    return next((str(kept[name]) for name in _WHAT if kept.get(name)), "")


def page(search: Search, before: str, after: str, *, everything: bool = False) -> Page:
    """The page older than one place in the list or newer than another; by default the newest.

    A page is found by the record at its edge, not by its number, so that a deep page is as fast as the first and new
    records do not push rows from one page to the next.

    Args:
        everything: search all records, however long it takes; otherwise the page may be partial.
    """
    newer = queries.edge(after)
    older = None if newer else queries.edge(before)
    time = 0 if everything else SEARCH_MILLISECONDS
    try:
        found = search.page(PAGE_SIZE + 1, newer or older, newer=newer is not None, milliseconds=time)
    except TakesLonger as longer:
        return Page(_rows(longer.found[:PAGE_SIZE]), is_partial=True)
    if newer:
        shown = found[-PAGE_SIZE:]
        return Page(_rows(shown), _edge(shown[-1:]), _edge(shown[:1]) if len(found) > PAGE_SIZE else "")
    shown = found[:PAGE_SIZE]
    return Page(_rows(shown), _edge(shown[-1:]) if len(found) > PAGE_SIZE else "", _edge(shown[:1]) if older else "")


def of(records: Sequence[Record]) -> Page:
    """Some records on one page."""
    return Page(_rows(records))


def _rows(records: Sequence[Record]) -> list[Row]:
    return [row(record) for record in records]


def _edge(records: Sequence[Record]) -> str:
    return str(Edge(records[0].at, records[0].pk)) if records else ""


def bar(search: Search, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The filters above the list, as ``ui/filter_bar.html`` wants them. At most one query."""
    return [
        _field("q", given, type="search"),
        _choice("who", given, [(name, name) for name in search.people]),
        _choice("action", given, list(registry.actions().items())),
        _choice("environment", given, [(name, name) for name in search.everywhere if name]),
        _choice("outcome", given, OUTCOME_CHOICES),
        _field("since", given, type="text", hint=_TIME),
        _field("until", given, type="text", hint=_TIME),
        *[_field(name, given, type="hidden") for name in ("object", "request") if given.get(name)],
    ]


def _field(name: str, given: Mapping[str, str], **more: Any) -> dict[str, Any]:
    return {"name": name, "label": LABELS[name], "value": given.get(name, ""), **more}


def _choice(name: str, given: Mapping[str, str], options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    value = given.get(name, "")
    # A link may ask for what no list offers, such as somebody who has not acted yet.
    unlisted = [(value, value)] if value and value not in {known for known, _ in options} else []
    return _field(name, given, options=[("", "Any"), *unlisted, *options])


def chips(given: Mapping[str, str]) -> list[Chip]:
    """The filters that are set, each with the way to the list without it."""
    words = {"action": registry.actions(), "outcome": dict(OUTCOME_CHOICES)}
    return [
        Chip(LABELS[name], words.get(name, {}).get(value, value), _query(given, without=name))
        for name, value in _given(given)
    ]


def ranges(given: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Often used time ranges: word, query string, whether it is the present one."""
    return [
        (word, f"?{urlencode([*_given(given, 'since', 'until'), ('since', ago)])}", given.get("since") == ago)
        for ago, word in RANGES
    ]


def query(given: Mapping[str, str], **more: str) -> str:
    """The query string of a filter, without a place in the list, for links to the same filter elsewhere."""
    return urlencode([*_given(given), *more.items()])


def api_query(given: Mapping[str, str]) -> str:
    """The same filter as the API names it."""
    return urlencode([(_API_NAMES.get(name, name), value) for name, value in _given(given)])


def _given(given: Mapping[str, str], *without: str) -> list[tuple[str, str]]:
    return [(name, given[name]) for name in filters.NAMES if given.get(name) and name not in without]


def _query(given: Mapping[str, str], without: str) -> str:
    return f"?{urlencode(_given(given, without))}"


def object_address(record: Record) -> str:
    """Where the object of a record is shown; empty when it has no page."""
    if record.object_type == "deployment":
        return _address("deployment", record.object_id)
    return _address(record.object_type, record.object_name) if record.object_type in ("release", "environment") else ""


@lru_cache(maxsize=2048)
def _address(route: str, argument: str) -> str:
    try:
        return reverse(route, args=[int(argument) if route in _NUMBERED else argument])
    except (NoReverseMatch, ValueError):
        return ""


def changes(record: Record) -> list[Change]:
    """What an act changed, value by value, what differs first; a record without ``before`` has only what it kept."""
    before, after = dict(_leaves(record.before)), dict(_leaves(record.after))
    found = []
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        kind = "added" if name not in before else "removed" if name not in after else "changed"
        found.append(Change(name, was, now, "same" if name in before and name in after and was == now else kind))
    return sorted(found, key=lambda change: change.kind == "same")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no object, by its path; a list is one value."""
    if isinstance(value, dict) and (value or path):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
        if not value:
            yield path, value
    elif value is not None or path:
        yield path, value


def neighbours(record: Record, reader: Reader) -> tuple[Record | None, Record | None]:
    """The records before and after one on the same object that may be read. Two queries; none without an object."""
    if not record.object_type:
        return None, None
    same = Record.objects.filter(reader.q(), object_type=record.object_type, object_id=record.object_id)
    return (
        same.filter(pk__lt=record.pk).order_by("-id").first(),
        same.filter(pk__gt=record.pk).order_by("id").first(),
    )
