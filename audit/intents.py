"""Acts that began and have no recorded end.

An act on the outside writes an intent before and an outcome after. An intent has ended when a later record with another
outcome exists

- whose action is the same, or one that ``ends`` names for it, and
- that is on the same object; for an act on no object: that has the same request id.

The newest intent of an action on an object speaks for those before it: they were followed by a new try. An intent
that is older than its action usually ``lasts``, has not ended, and is not ``under_way``, is an alarm: the console
stopped in the middle, or the outside did not answer, and somebody has to look what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection

from audit.models import Record
from audit.queries import Reader

USUALLY = timedelta(seconds=60)
"""How long an act may take when its action says nothing else."""
LOOK_BACK = timedelta(days=7)
MOST = 500
"""Intents that are looked at, the newest first."""

UnderWay = Callable[[Sequence[str]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class _Rule:
    by: tuple[str, ...] = ()
    lasts: timedelta = USUALLY
    under_way: UnderWay | None = None


_rules: dict[str, _Rule] = {}
_NO_RULE = _Rule()

# The newest intent of each act, then whether anything ended it: an index probe for each.
_OPEN = """
WITH recent AS MATERIALIZED (
    SELECT id, at, action, object_type, object_id, CASE WHEN object_type = '' THEN request_id ELSE '' END AS request_id
      FROM audit_record
     WHERE outcome = 'intent' AND at > %(since)s AND at < %(until)s
     ORDER BY at DESC LIMIT %(most)s),
rule AS MATERIALIZED (
    SELECT action, array_agg(ending) AS endings
      FROM unnest(%(actions)s::text[], %(ends)s::text[]) AS pair(action, ending) GROUP BY action),
newest AS MATERIALIZED (
    SELECT max(recent.id) AS id, max(at) AS at, recent.action, object_type, object_id, request_id,
           coalesce(rule.endings, '{}') || recent.action::text AS endings
      FROM recent LEFT JOIN rule ON rule.action = recent.action
     GROUP BY recent.action, object_type, object_id, request_id, rule.endings)
SELECT id, at, action, object_id FROM newest
 WHERE object_type <> '' AND (
    SELECT ending.id FROM audit_record AS ending
     WHERE ending.object_type = newest.object_type AND ending.object_id = newest.object_id AND ending.id > newest.id
       AND ending.outcome <> 'intent' AND ending.action = ANY(newest.endings) ORDER BY ending.id LIMIT 1) IS NULL
UNION ALL
SELECT id, at, action, object_id FROM newest
 WHERE object_type = '' AND (
    SELECT ending.id FROM audit_record AS ending
     WHERE ending.request_id = newest.request_id AND ending.request_id <> '' AND ending.id > newest.id
       AND ending.outcome <> 'intent' AND ending.action = ANY(newest.endings) LIMIT 1) IS NULL
"""


def ends(action: str, *by: str, lasts: timedelta = USUALLY, under_way: UnderWay | None = None) -> None:
    """Say what ends an intent of an action, besides a record of the action itself.

    Args:
        by: other actions that end it.
        lasts: how long it may take before it is missed.
        under_way: of the ids of objects, those on which it is still being worked.

    Raises:
        ValueError: said twice.
    """
    if action in _rules:
        raise ValueError(f"what ends {action!r} is said twice")
    _rules[action] = _Rule(by, lasts, under_way)


def without_end(reader: Reader, now: datetime | None = None) -> list[Record]:
    """Intents of the last seven days that a person may read and that have no recorded end, newest first.

    One query, and if it finds something those of ``under_way`` and one for the records.
    """
    now = now or datetime.now(UTC)
    rows = _rows(now)
    late = [row for row in rows if now - row[1] > _rules.get(row[2], _NO_RULE).lasts]
    busy = _busy(late)
    found = [pk for pk, _, action, key in late if (action, key) not in busy]
    return list(Record.objects.filter(reader.q(), pk__in=found).order_by("-at", "-id")) if found else []


def _rows(now: datetime) -> list[tuple[int, datetime, str, str]]:
    pairs = [(action, ending) for action, rule in _rules.items() for ending in rule.by]
    values = {
        "since": now - LOOK_BACK,
        "until": now - min([USUALLY, *(rule.lasts for rule in _rules.values())]),
        "most": MOST,
        "actions": [action for action, _ in pairs],
        "ends": [ending for _, ending in pairs],
    }
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, values)
        rows: list[tuple[int, datetime, str, str]] = cursor.fetchall()
    return rows


def _busy(rows: Sequence[tuple[int, datetime, str, str]]) -> set[tuple[str, str]]:
    """Action and object of what is still being worked on."""
    found: set[tuple[str, str]] = set()
    for action in {action for _, _, action, _ in rows}:
        under_way = _rules.get(action, _NO_RULE).under_way
        if under_way is not None:
            keys = sorted({key for _, _, other, key in rows if other == action})
            found |= {(action, key) for key in under_way(keys)}
    return found
