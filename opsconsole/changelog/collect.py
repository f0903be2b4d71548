"""Gathers the entries of the change log that somebody may read: five sources, one query each, merged by time.

Every source orders by its own time and gives at most a page, so a page costs the same however much there is. What is
told by a table (deployments, alerts, stops, trips) is told by it alone; the audit trail adds what has no table of its
own. Alerts of a stop or a breaker are left out: the stop and the trip are entries themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from audit import queries
from audit.queries import Reader
from environments.models import Environment
from opsconsole.changelog import sources
from opsconsole.changelog.entries import Entry, Kind, Place, newest_first
from opsconsole.changelog.filters import Wanted


@dataclass(frozen=True, slots=True)
class Scope:
    """What one person may read."""

    environments: tuple[str, ...]
    reader: Reader
    """For what the audit trail tells: what concerns no environment is for Admins, as there."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of entries, newest first."""

    entries: list[Entry]
    older: Place | None = None
    """The place behind which the next page begins; None when there are no older ones."""


def scope(user: Any) -> Scope:
    """What a person may read, the bounds of their API key applied. At most three queries, one for most people."""
    reader = queries.reader(user)
    if reader.places is not None:
        return Scope(reader.places, reader)
    return Scope(tuple(Environment.objects.visible_to(user).values_list("name", flat=True)), reader)


def collect(seen: Scope, wanted: Wanted, limit: int, after: Place | None = None) -> Found:
    """At most ``limit`` entries of a filter, the newest or those older than a place. Five queries or fewer."""
    where = tuple(name for name in seen.environments if name == wanted.environment or not wanted.environment)
    found: list[Entry] = []
    for number, (source, kinds) in enumerate(_SOURCES):
        if not wanted.kind or wanted.kind in kinds:
            asked = sources.Asked(number, where, seen.reader, wanted, _cut(number, wanted, limit + 1, after))
            found += source(asked)
    found = newest_first(found)
    has_more = len(found) > limit
    return Found(found[:limit], found[limit - 1].place if has_more else None)


_SOURCES: tuple[tuple[Callable[[sources.Asked], list[Entry]], tuple[Kind, ...]], ...] = (
    (sources.deployments, (Kind.DEPLOYMENT, Kind.CONFIGURATION, Kind.INCIDENT)),
    (sources.stops, (Kind.INCIDENT,)),
    (sources.trips, (Kind.INCIDENT,)),
    (sources.alerts, (Kind.INCIDENT,)),
    (sources.records, (Kind.CONFIGURATION, Kind.INCIDENT)),
)
"""A source keeps its number: it is part of the name of its entries."""


def _cut(number: int, wanted: Wanted, limit: int, after: Place | None) -> sources.Cut:
    def cut(rows: QuerySet[Any], time: str, order: tuple[Any, ...] = ()) -> QuerySet[Any]:
        span = Q()
        if wanted.since:
            span &= Q(**{f"{time}__gte": wanted.since})
        if wanted.until:
            span &= Q(**{f"{time}__lt": wanted.until})
        if after is not None:
            span &= _behind(number, time, after)
        by_time = (*(order or (f"-{time}",)), "-pk")
        # The page is found by narrow rows; what is joined to them is read for a page only.
        chosen = rows.filter(span).order_by(*by_time).values("pk")[:limit]
        return rows.filter(pk__in=chosen).order_by(*by_time)

    return cut


def _behind(number: int, time: str, after: Place) -> Q:
    """Older than a place; of the same moment those of a lower source, and lower ones of the same source."""
    if number < after.source:
        return Q(**{f"{time}__lte": after.at})
    earlier = Q(**{f"{time}__lt": after.at})
    same = Q(**{time: after.at, "pk__lt": after.pk}) if number == after.source else Q(pk__in=[])
    return earlier | same
