"""What the probes saw last, read from the kept samples: plain data for pages and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from environments.histogram import histogram_quantile
from environments.models import Instance, SampleRow

FRESH_SECONDS = 5.0
"""A reading older than this is no data (interface: a value says how old it is, and a stale one looks stale)."""
RATE_WINDOW = timedelta(seconds=60)
SINCE_WINDOW = timedelta(minutes=10)
SINCE_MARGIN = timedelta(seconds=5)
"""A process whose first reading within the window is no older than this may have run before it."""
_SINCE = """
SELECT i.name, c.value->>'name', c.value->>'status', min(s.at), max(s.at)
FROM environments_instance i
CROSS JOIN LATERAL (
    SELECT data->>'started_at' AS process FROM environments_samplerow
    WHERE instance_id = i.id AND ok ORDER BY at DESC LIMIT 1
) newest
JOIN environments_samplerow s
    ON s.instance_id = i.id AND s.ok AND s.data->>'started_at' IS NOT DISTINCT FROM newest.process
CROSS JOIN LATERAL jsonb_array_elements(s.data->'components') c(value)
WHERE i.id = ANY(%s) AND s.at > %s
GROUP BY 1, 2, 3
"""

CHECK_TITLES = {
    "node": "Node connection",
    "state_builder": "State builder",
    "strategies": "All strategies",
    "database": "Database connection",
    "exchange": "Exchange connection",
}
"""Words of the specification (part 7) for the checks of the ops contract, by the part before the colon."""
_ORDER = {key: index for index, key in enumerate(CHECK_TITLES)}
_SEVERITY = {"fail": 0, "no_data": 1, "warn": 2, "pass": 3}


@dataclass(frozen=True, slots=True)
class Check:
    """One health check of one instance as it was last read."""

    name: str
    title: str
    status: str
    """``pass``, ``warn``, ``fail`` or ``no_data``."""
    detail: str
    instance: str
    at: datetime | None
    since: datetime | None = None
    """The status stands since; None when it stood longer than the kept window."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest sample of one instance."""

    instance: str
    at: datetime | None
    age_seconds: float | None
    status: str
    """Worst of its checks, or ``no_data``."""
    words: str
    """``5 of 5 checks pass``, ``no answer: timeout``, ``no reading for 12 s``."""
    version: str
    role: str
    epoch: int | None
    checks: tuple[Check, ...]
    values: Mapping[str, Any]

    @property
    def is_fresh(self) -> bool:
        """Whether it is new enough to be trusted."""
        return self.age_seconds is not None and self.age_seconds <= FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class Rates:
    """Numbers of a set of instances over the last minute; None where nothing can be said."""

    request_rate: float | None = None
    """Requests a second."""
    error_rate: float | None = None
    """Share of requests, 0 to 1."""
    latency_p99_ms: float | None = None
    win_rate: float | None = None
    """Share of closed trades, 0 to 1."""
    trades: int = 0
    mismatches: int | None = None
    open_positions: int | None = None
    open_orders: int | None = None
    seconds: float = 0.0


def with_samples(instances: QuerySet[Instance]) -> QuerySet[Instance]:
    """Annotate instances with their newest sample and the oldest one of the last minute, in one query."""
    rows = SampleRow.objects.filter(instance=OuterRef("pk"))
    sample = JSONObject(at=F("at"), ok=F("ok"), data=F("data"))
    minute = rows.filter(at__gte=timezone.now() - RATE_WINDOW, ok=True)
    return instances.annotate(
        newest_sample=Subquery(rows.order_by("-at").values(found=sample)[:1]),
        earlier_sample=Subquery(minute.order_by("at").values(found=sample)[:1]),
    )


def reading(instance: Instance, now: datetime | None = None) -> Reading:
    """The newest sample of an instance that ``with_samples`` annotated."""
    row = getattr(instance, "newest_sample", None)
    if row is None:
        return Reading(instance.name, None, None, "no_data", "never read", "", "", None, (), {})
    at = parse_datetime(row["at"])
    age = max(0.0, ((now or timezone.now()) - at).total_seconds()) if at else None
    data = row["data"] or {}
    fresh = age is not None and age <= FRESH_SECONDS
    checks = _checks(instance.name, data, at, fresh=fresh and row["ok"])
    status, words = _summary(row["ok"], data, age, checks)
    return Reading(
        instance.name,
        at,
        age,
        status,
        words,
        data.get("version", ""),
        data.get("role", ""),
        data.get("epoch"),
        checks,
        data,
    )


def _checks(instance: str, data: Mapping[str, Any], at: datetime | None, *, fresh: bool) -> tuple[Check, ...]:
    found = []
    for component in data.get("components") or ():
        key = component["name"].partition(":")[0]
        found.append(
            Check(
                name=component["name"],
                title=CHECK_TITLES.get(key, component["name"].replace("_", " ").capitalize()),
                status=component["status"] if fresh else "no_data",
                detail=component.get("detail", ""),
                instance=instance,
                at=at,
            )
        )
    return tuple(sorted(found, key=lambda check: _ORDER.get(check.name.partition(":")[0], len(_ORDER))))


def _summary(ok: bool, data: Mapping[str, Any], age: float | None, checks: Sequence[Check]) -> tuple[str, str]:
    if age is None or age > FRESH_SECONDS:
        return "no_data", f"no reading for {age:.0f} s" if age is not None else "never read"
    if not ok:
        return "fail", f"no answer: {data.get('error') or 'unknown'}"
    if not checks:
        return "no_data", "reports no checks"
    bad = [check for check in checks if check.status != "pass"]
    if bad:
        return worst(check.status for check in bad), ", ".join(check.title for check in bad)
    return "pass", f"{len(checks)} of {len(checks)} checks pass"


def worst(statuses: Iterable[str]) -> str:
    """The gravest of health statuses; ``no_data`` when there is none."""
    return min(statuses, key=lambda status: _SEVERITY.get(status, 1), default="no_data")


def by_gravity(checks: Iterable[Check]) -> list[Check]:
    """Failed first, then no data, warnings, and the rest in the order of the specification."""
    return sorted(checks, key=lambda check: _SEVERITY.get(check.status, 1))


def rates(instances: Iterable[Instance]) -> Rates:
    """Numbers over the last minute from two samples of each instance; a restart between them counts from 0."""
    deltas = [delta for instance in instances if (delta := _delta(instance)) is not None]
    if not deltas:
        return Rates()
    total = {key: sum(delta[key] for delta in deltas) for key in ("ok", "error", "win", "loss")}
    seconds = max(delta["seconds"] for delta in deltas)
    requests, closed = total["ok"] + total["error"], total["win"] + total["loss"]
    return Rates(
        request_rate=requests / seconds if seconds else None,
        error_rate=total["error"] / requests if requests else None,
        latency_p99_ms=_p99_ms([delta["buckets"] for delta in deltas]),
        win_rate=total["win"] / closed if closed else None,
        trades=closed,
        mismatches=_sum(deltas, "mismatches"),
        open_positions=_sum(deltas, "open_positions"),
        open_orders=_sum(deltas, "open_orders"),
        seconds=seconds,
    )


def _delta(instance: Instance) -> dict[str, Any] | None:
    new, old = getattr(instance, "newest_sample", None), getattr(instance, "earlier_sample", None)
    if new is None or old is None or not new["ok"] or new["at"] == old["at"]:
        return None
    after, before = new["data"], old["data"]
    if after.get("started_at") != before.get("started_at"):
        before = {}
    buckets = dict(_bounds(before))
    return {
        "ok": after.get("requests_ok", 0) - before.get("requests_ok", 0),
        "error": after.get("requests_error", 0) - before.get("requests_error", 0),
        "win": after.get("trades_win", 0) - before.get("trades_win", 0),
        "loss": after.get("trades_loss", 0) - before.get("trades_loss", 0),
        "buckets": {bound: count - buckets.get(bound, 0) for bound, count in _bounds(after)},
        "seconds": (parse_datetime(new["at"]) - parse_datetime(old["at"])).total_seconds(),
        **{key: after.get(key) for key in ("mismatches", "open_positions", "open_orders")},
    }


def _bounds(data: Mapping[str, Any]) -> list[tuple[float, int]]:
    # JSON has no infinity: the last bound is kept as null or as a text.
    return [
        (float("inf") if bound is None else float(bound), count) for bound, count in data.get("latency_buckets") or ()
    ]


def _sum(deltas: Sequence[Mapping[str, Any]], key: str) -> int | None:
    known = [delta[key] for delta in deltas if delta[key] is not None]
    return sum(known) if known else None


def _p99_ms(histograms: Sequence[Mapping[float, int]]) -> float | None:
    """The 99th percentile over several instances."""
    merged: dict[float, int] = {}
    for histogram in histograms:
        for bound, count in histogram.items():
            merged[bound] = merged.get(bound, 0) + count
    p99 = histogram_quantile(sorted(merged.items()), 0.99)
    return None if p99 is None else 1000 * p99


def since(instance_ids: Sequence[int]) -> dict[tuple[str, str, str], datetime]:
    """For (instance, check, status): since when this process has it; nothing when for over ten minutes.

    That is the last time at which it had another status, or the first reading of the process. One query; the database
    looks through the kept samples, so that a page does not load them.
    """
    if not instance_ids:
        return {}
    begin = timezone.now() - SINCE_WINDOW
    with connection.cursor() as cursor:
        cursor.execute(_SINCE, [list(instance_ids), begin])
        seen: dict[tuple[str, str], dict[str, tuple[datetime, datetime]]] = {}
        for instance, check, status, first, last in cursor.fetchall():
            seen.setdefault((instance, check), {})[status] = (first, last)
    found = {}
    for (instance, check), statuses in seen.items():
        for status, (first, _) in statuses.items():
            others = [last for other, (_, last) in statuses.items() if other != status]
            moment = max(others, default=first)
            if others or moment > begin + SINCE_MARGIN:
                found[instance, check, status] = moment
    return found
