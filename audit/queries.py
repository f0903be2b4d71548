"""Finding audit records: who may read which, and a page of any filter fast among millions.

A filter is answered in one of two ways.

*In order*: nothing, a person, or an outcome other than "done" is asked for. For each environment there is an index
that has just these records in order of time (``audit_place``, ``audit_who``, ``audit_odd``), so one short walk an
environment is enough, however old or rare the records are.

*Any other filter* first looks at the newest 5,000 records, which are read in order of time and compared one by one.
That answers whatever is frequent. What is not among them is rare or old: then all records that match are collected by
whatever index has the fewest (``audit_facets``, which holds who, action, outcome and time, so that the table itself is
not read; ``audit_text`` for free text; ``audit_object``; ``audit_request``), and the newest of them are taken. Sorting
by ``at + 0`` keeps the planner from walking the whole table backwards in the hope of an early end.

A frequent text that stands in none of the records that somebody may read is the one thing no index answers fast. A page
therefore gives the older records a little time only, shows what the newest have, and comes back for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.db.models import DateTimeField, DurationField, F, Func, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Lookup
from guardian.shortcuts import get_objects_for_user
from psycopg.errors import QueryCanceled

from audit import registry
from audit.filters import Filter
from audit.models import Outcome, Record

ALL_RECORDS = "Admin"
"""Role that reads every record, also those that belong to no environment."""
VIEW = "environments.view_environment"
NEWEST = 5_000
"""Records that are looked at one by one before an index is asked."""
MOST_NAMES = 500
_ALL = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EDGE = re.compile(r"(\d{1,17})-(\d{1,18})")

_PLACES = """
WITH RECURSIVE place(name) AS (
    (SELECT environment FROM audit_record ORDER BY environment LIMIT 1)
    UNION ALL
    SELECT (SELECT environment FROM audit_record WHERE environment > place.name ORDER BY environment LIMIT 1)
      FROM place WHERE place.name IS NOT NULL
) SELECT name FROM place WHERE name IS NOT NULL
"""
_PEOPLE = """
WITH RECURSIVE person(place, name) AS (
    SELECT given.place, (SELECT actor_name FROM audit_record WHERE environment = given.place
                          ORDER BY actor_name LIMIT 1)
      FROM unnest(%s::text[]) AS given(place)
    UNION ALL
    SELECT place, (SELECT actor_name FROM audit_record WHERE environment = person.place AND actor_name > person.name
                    ORDER BY actor_name LIMIT 1)
      FROM person WHERE person.name IS NOT NULL
) SELECT DISTINCT name FROM person WHERE name IS NOT NULL ORDER BY name LIMIT %s
"""


class Text(Func):
    """Object and reason of a record, exactly as the index ``audit_text`` has them."""

    template = "(%(expressions)s)"
    arg_joiner = " || ' ' || "
    output_field = TextField()

    def __init__(self) -> None:
        super().__init__("object_name", "reason")


class Contains(Lookup):
    """``ILIKE``, which the trigram index answers; Django's own ``icontains`` compares ``UPPER``, which it does not."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """SQL and parameters."""
        text, parameters = self.process_lhs(compiler, connection)
        wanted = re.sub(r"([\\%_])", r"\\\1", str(self.rhs))
        return f"{text} ILIKE %s", [*parameters, f"%{wanted}%"]

    def get_prep_lookup(self) -> Any:
        """The text as it is."""
        return self.rhs


@dataclass(frozen=True, slots=True)
class Reader:
    """What a person may read."""

    places: tuple[str, ...] | None
    """Environments of which every record is; None for each and every record."""
    own: int | None = None
    """Id of the person whose own acts are readable as well, wherever they were."""

    def q(self) -> Q:
        """The condition for a readable record."""
        if self.places is None:
            return Q()
        condition = Q(environment__in=self.places)
        return condition if self.own is None else condition | Q(actor_id=self.own)


@dataclass(frozen=True, slots=True)
class Edge:
    """A place in the list: the record at it."""

    at: datetime
    id: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}-{self.id}"


NOTHING = Reader(())


class TakesLonger(Exception):
    """The older records could not be searched in the given time; ``found`` is what the newest have."""

    def __init__(self, found: list[Record]) -> None:
        super().__init__(f"the newest {NEWEST:,} records were searched, the older ones take longer")
        self.found = found


def reader(user: Any) -> Reader:
    """What a person may read: Admins everything; others the environments that they may see, and their own acts.

    An API key that is made for some environments reads the records of these and no others.
    """
    if not user.is_authenticated or not user.is_active:
        return NOTHING
    bounds = None if user.limits is None else user.limits.environments
    if user.role == ALL_RECORDS and bounds is None:
        return Reader(None)
    # The permission is asked for by its name: this app imports none of those above it.
    seen = get_objects_for_user(user, VIEW, accept_global_perms=False, with_superuser=False)
    names = [name for name in seen.values_list("name", flat=True) if bounds is None or name in bounds]
    return Reader(tuple(sorted(names)), user.pk if bounds is None else None)


def visible_to(user: Any) -> QuerySet[Record]:
    """Records that a person may read (``reader``)."""
    return Record.objects.filter(reader(user).q())


def edge(text: str) -> Edge | None:
    """The place in a list that a query string names; None when it is malformed."""
    found = _EDGE.fullmatch(text)
    return Edge(_EPOCH + timedelta(microseconds=int(found[1])), int(found[2])) if found else None


def places() -> list[str]:
    """Every environment that a record names, the empty one of those that belong to none included. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_PLACES)
        return [name for (name,) in cursor.fetchall()]


def people(where: Sequence[str]) -> list[str]:
    """Names of who acted in these environments, at most 500. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE, [list(where), MOST_NAMES])
        return [name for (name,) in cursor.fetchall()]


@dataclass(frozen=True)
class Search:
    """One filter over what one person may read."""

    reader: Reader
    wanted: Filter
    everywhere: tuple[str, ...]
    """Environments of the records that the person may read; the empty one for those that belong to none."""
    who_id: int | None
    """Id of the person whose user name was given as ``who``."""

    @classmethod
    def of(cls, reader: Reader, wanted: Filter) -> Search:
        """Look up what the search needs: at most two queries."""
        everywhere = reader.places if reader.places is not None else tuple(places())
        who_id = None
        if wanted.who:
            who_id = get_user_model().objects.filter(username=wanted.who).values_list("pk", flat=True).first()
        return cls(reader, wanted, everywhere, who_id)

    @cached_property
    def people(self) -> list[str]:
        """Names of who acted in records that the person may read. One query."""
        return people(self.everywhere)

    @property
    def where(self) -> tuple[str, ...]:
        """Those of ``everywhere`` in which the asked-for records can be."""
        asked = self.wanted.environment
        return tuple(name for name in self.everywhere if name == asked) if asked else self.everywhere

    def records(self) -> QuerySet[Record]:
        """Every record that matches, in no order; for counting and exports, not for a page of a list."""
        return Record.objects.filter(self.reader.q(), self._asked, self._span())

    def page(self, limit: int, at: Edge | None = None, *, newer: bool = False, milliseconds: int = 0) -> list[Record]:
        """At most ``limit`` records, newest first: the newest of all, or those next to a place in the list.

        Args:
            milliseconds: so long may a text be looked for among the older records; 0 for as long as it takes.

        Raises:
            TakesLonger: it would take longer.
        """
        if not self.everywhere and self.reader.own is None:
            return []
        order = ("at", "id") if newer else ("-at", "-id")
        span = self._span(at, newer=newer)
        if self._is_in_order():
            found = self._walk(span, order, limit)
        else:
            found = self._among_newest(span, order, limit)
            if len(found) < limit:
                found = self._collect_within(milliseconds if self.wanted.q else 0, found, span, order, limit)
        return found[::-1] if newer else found

    def _is_in_order(self) -> bool:
        wanted = self.wanted
        if wanted.q or wanted.action or wanted.object or wanted.request or wanted.outcome == Outcome.DONE:
            return False
        return not (wanted.who and wanted.outcome)

    def _walk(self, span: Q, order: tuple[str, str], limit: int) -> list[Record]:
        arms = self._arms()
        if not arms:
            return []
        if arms == [Q()]:
            return list(Record.objects.filter(span).order_by(*order)[:limit])
        # Only what the indexes hold, so that no other way can look cheaper to the planner; then the records themselves.
        walks = [Record.objects.filter(arm, span).order_by(*order).values_list("id", "at")[:limit] for arm in arms]
        found = walks[0].union(*walks[1:], all=True).order_by(*order)[:limit] if walks[1:] else walks[0]
        return list(Record.objects.filter(pk__in=[pk for pk, _ in found]).order_by(*order))

    def _arms(self) -> list[Q]:
        """Conditions that exclude each other; each has an index that is in order of time."""
        wanted = self.wanted
        if self.reader.places is None and not (wanted.environment or wanted.who or wanted.outcome):
            return [Q()]
        asked = Q(outcome=wanted.outcome) if wanted.outcome else Q()
        named = asked & Q(actor_name=wanted.who) if wanted.who else asked
        arms = [Q(environment=name) & named for name in self.where]
        if self.who_id is not None and self.where:
            arms.append(Q(actor_id=self.who_id, environment__in=self.where) & ~Q(actor_name=wanted.who) & asked)
        if self.reader.own is not None:
            elsewhere = ~Q(environment__in=self.reader.places or ())
            arms.append(Q(actor_id=self.reader.own) & elsewhere & self._asked)
        return arms

    def _among_newest(self, span: Q, order: tuple[str, str], limit: int) -> list[Record]:
        by_time = order[0]
        last = Record.objects.filter(span).order_by(by_time).values("at")[NEWEST - 1 : NEWEST]
        end = Value(_EPOCH.replace(year=9999) if by_time == "at" else _EPOCH.replace(year=1), DateTimeField())
        end_of_newest = Coalesce(Subquery(last), end)
        inside = Q(at__lte=end_of_newest) if by_time == "at" else Q(at__gte=end_of_newest)
        # In order of time, so that the search ends early; with a limit, so that the planner keeps it apart.
        newest = Record.objects.filter(span, inside).order_by(by_time)[:_ALL]
        chosen = Record.objects.filter(self.reader.q(), self._asked).order_by(*order)[:limit]
        inner, inner_values = newest.query.sql_with_params()
        outer, outer_values = chosen.query.sql_with_params()
        table = connection.ops.quote_name(Record._meta.db_table)
        sql = outer.replace(f"FROM {table}", f"FROM ({inner}) AS {table}", 1)
        return list(Record.objects.raw(sql, [*inner_values, *outer_values]))

    def _collect_within(
        self, milliseconds: int, newest: list[Record], span: Q, order: tuple[str, str], limit: int
    ) -> list[Record]:
        if not milliseconds:
            return self._collect(span, order, limit)
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = {milliseconds:d}")
                    found = self._collect(span, order, limit)
                    cursor.execute("SET LOCAL statement_timeout TO DEFAULT")  # a transaction around this goes on
                return found
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled):
                raise TakesLonger(newest) from None
            raise

    def _collect(self, span: Q, order: tuple[str, str], limit: int) -> list[Record]:
        moment = F("at") + Value(timedelta(0), DurationField())
        by_time = (moment.asc(), "id") if order[0] == "at" else (moment.desc(), "-id")
        sides = [Q(environment__in=self.where)]
        if self.reader.own is not None:
            sides.append(Q(actor_id=self.reader.own) & ~Q(environment__in=self.reader.places or ()))
        found: list[int] = []
        for side in sides:
            matching = Record.objects.filter(side, span, self._asked).order_by(*by_time)
            found += matching.values_list("pk", flat=True)[:limit]
        return list(Record.objects.filter(pk__in=found).order_by(*order)[:limit])

    def _span(self, at: Edge | None = None, *, newer: bool = False) -> Q:
        span = Q()
        if self.wanted.since:
            span &= Q(at__gte=self.wanted.since)
        if self.wanted.until:
            span &= Q(at__lt=self.wanted.until)
        if at is not None and newer:
            span &= Q(at__gte=at.at) & (Q(at__gt=at.at) | Q(id__gt=at.id))
        elif at is not None:
            span &= Q(at__lte=at.at) & (Q(at__lt=at.at) | Q(id__lt=at.id))
        return span

    @cached_property
    def _asked(self) -> Q:
        wanted = self.wanted
        asked = Q(
            **{name: getattr(wanted, name) for name in ("action", "environment", "outcome") if getattr(wanted, name)}
        )
        if wanted.who:
            asked &= Q(actor_name=wanted.who) | Q(actor_id=self.who_id) if self.who_id else Q(actor_name=wanted.who)
        if wanted.object:
            asked &= Q(object_type=wanted.object_type)
            asked &= Q(object_id=wanted.object_id) if wanted.object_id else Q()
        if wanted.request:
            asked &= Q(request_id=wanted.request)
        return asked & self._has_text() if wanted.q else asked

    def _has_text(self) -> Q:
        text = self.wanted.q
        actions = [name for name, label in registry.actions().items() if text.lower() in f"{name} {label}".lower()]
        names = [name for name in self.people if text.lower() in name.lower()]
        found = Q(Contains(Text(), text)) | Q(request_id=text)
        if names:
            found |= Q(actor_name__in=names)
        return found | Q(action__in=actions) if actions else found
