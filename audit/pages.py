"""Read queries of the audit pages: search, facets, keyset pages, and what an act changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import NoReverseMatch, reverse
from guardian.shortcuts import get_objects_for_user

from audit import registry
from audit.models import OUTCOME_CHOICES, Outcome, Record

PAGE_SIZE = 50
ALL_RECORDS = "Admin"
"""Role that reads every record, also those that belong to no environment."""
VIEW = "environments.view_environment"
FACETS = ("who", "action", "environment", "outcome")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of records, newest first; the ids lead to its neighbours."""

    rows: list[tuple[Record, str]]
    """Each record with the address of its object, or an empty text."""
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One value before and after an act."""

    name: str
    before: Any
    after: Any

    @property
    def differs(self) -> bool:
        """Whether the act changed it."""
        return bool(self.before != self.after)


def visible_to(user: Any) -> QuerySet[Record]:
    """Records that a person may read: Admins all, others those of the environments that they may see."""
    if not user.is_authenticated or not user.is_active:
        return Record.objects.none()
    bounds = None if user.limits is None else user.limits.environments
    if user.role == ALL_RECORDS and bounds is None:
        return Record.objects.all()
    # The permission is asked for by its name: this app imports none of those above it.
    places = get_objects_for_user(user, VIEW, accept_global_perms=False, with_superuser=False)
    names = places.values_list("name", flat=True)
    return Record.objects.filter(environment__in=[name for name in names if bounds is None or name in bounds])


def filtered(records: QuerySet[Record], given: Mapping[str, str]) -> tuple[QuerySet[Record], list[str]]:
    """Records that match a query string, and what of it could not be used."""
    problems: list[str] = []
    text = given.get("q", "").strip()[:100]
    if text:
        records = records.filter(
            Q(actor_name__icontains=text)
            | Q(object_name__icontains=text)
            | Q(reason__icontains=text)
            | Q(action__icontains=text)
            | Q(request_id=text)
        )
    if given.get("who"):
        records = records.filter(actor_name=given["who"])
    for name in ("action", "environment"):
        if given.get(name):
            records = records.filter(**{name: given[name]})
    if given.get("outcome") in [outcome.value for outcome in Outcome]:
        records = records.filter(outcome=given["outcome"])
    elif given.get("outcome"):
        problems.append(f"There is no outcome “{given['outcome'][:40]}”.")
    kind, _, key = given.get("object", "").partition(":")
    if kind:
        records = records.filter(object_type=kind, **({"object_id": key} if key else {}))
    for name, look_up, days in (("since", "at__gte", 0), ("until", "at__lt", 1)):
        if given.get(name):
            day = _day(given[name])
            if day is None:
                problems.append(f"“{given[name][:40]}” is no date; write it as 2026-01-21.")
            else:
                records = records.filter(**{look_up: day + timedelta(days=days)})
    return records, problems


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def page(records: QuerySet[Record], before: str, after: str) -> Page:
    """The page older than one id or newer than another; by default the newest.

    A page is found by the id at its edge, not by its number, so that a deep page is as fast as the first and
    new records do not push rows from one page to the next.
    """
    records = records.order_by("-id")
    if after.isdigit():
        found = list(records.filter(id__gt=int(after)).order_by("id")[: PAGE_SIZE + 1])
        more, rows = len(found) > PAGE_SIZE, found[:PAGE_SIZE][::-1]
        older, newer = (rows[-1].pk if rows else None), (rows[0].pk if more and rows else None)
        return Page([(row, object_address(row)) for row in rows], older, newer)
    if before.isdigit():
        records = records.filter(id__lt=int(before))
    found = list(records[: PAGE_SIZE + 1])
    rows = found[:PAGE_SIZE]
    older = rows[-1].pk if len(found) > PAGE_SIZE else None
    return Page([(row, object_address(row)) for row in rows], older, rows[0].pk if rows and before.isdigit() else None)


def facets(records: QuerySet[Record], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The filters above the list, as ``ui/filter_bar.html`` wants them."""
    people = records.order_by("actor_name").values_list("actor_name", flat=True).distinct()[:100]
    places = (
        records.exclude(environment="").order_by("environment").values_list("environment", flat=True).distinct()[:50]
    )
    return [
        {"name": "q", "label": "Search", "value": given.get("q", ""), "type": "search"},
        _choice("who", "Who", given, [(name, name) for name in people]),
        _choice("action", "Action", given, list(registry.actions().items())),
        _choice("environment", "Environment", given, [(name, name) for name in places]),
        _choice("outcome", "Outcome", given, OUTCOME_CHOICES),
        {"name": "since", "label": "From", "value": given.get("since", ""), "type": "date"},
        {"name": "until", "label": "To", "value": given.get("until", ""), "type": "date"},
    ]


def _choice(name: str, label: str, given: Mapping[str, str], options: list[tuple[str, str]]) -> dict[str, Any]:
    return {"name": name, "label": label, "value": given.get(name, ""), "options": [("", "Any"), *options]}


def object_address(record: Record) -> str:
    """Where the object of a record is shown; empty when it has no page."""
    routes = {
        "deployment": ("deployment", record.object_id),
        "release": ("release", record.object_name),
        "environment": ("environment", record.object_name),
    }
    if record.object_type not in routes:
        return ""
    name, argument = routes[record.object_type]
    try:
        return reverse(name, args=[int(argument) if name == "deployment" else argument])
    except (NoReverseMatch, ValueError):
        return ""


def changes(record: Record) -> list[Change]:
    """What an act changed, value by value; a record that keeps no mapping is one change without a name."""
    before, after = record.before, record.after
    if before is None and after is None:
        return []
    if not isinstance(before or {}, dict) or not isinstance(after or {}, dict):
        return [Change("", before, after)]
    names = dict.fromkeys([*(before or {}), *(after or {})])
    return [Change(name, (before or {}).get(name), (after or {}).get(name)) for name in names]
