"""The four numbers of a deployment against their baseline: value, limit, verdict in a word, and their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from deployments.models import Deployment, Measurement, VerdictRow
from environments.policy import Policy, RuleKind, RuleSpec

STALE_SECONDS = 5.0
SERIES_LIMIT = 600
"""Points kept per series (interface, part 7)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number as it is drawn: shares from 0 to 1, latencies in milliseconds."""

    key: str
    title: str
    unit: str
    """``share``, ``ms``, or empty for a count."""
    value: float | None
    baseline: float | None
    limit: float | None
    limit_label: str
    word: str
    """``Within``, ``Above limit``, ``No data`` …"""
    verdict: str
    reason: str
    at: datetime | None
    is_quiet: bool = False
    """Nothing to worry about although there is no verdict: not judged yet, or missing data that only informs."""

    @property
    def chart_limit(self) -> float | None:
        """Limit as it is drawn: one at zero would lie on the axis."""
        return self.limit or None


@dataclass(frozen=True, slots=True)
class _Spec:
    key: str
    title: str
    unit: str
    kind: RuleKind
    higher_is_better: bool = False


SPECS = (
    _Spec("error_rate", "Error rate", "share", RuleKind.ERROR_RATE),
    _Spec("latency_p99_ms", "Latency p99", "ms", RuleKind.LATENCY),
    _Spec("win_rate", "Win rate", "share", RuleKind.WIN_RATE, higher_is_better=True),
    _Spec("mismatches", "Position mismatches", "", RuleKind.POSITION_MISMATCH),
)
"""Part 3 of the specification: error rate, latency (p99), win rate, position reconciliation."""


def metrics(deployment: Deployment, latest: Measurement | None) -> tuple[Metric, ...]:
    """The four metrics of a deployment whose verdicts are loaded."""
    policy = Policy.model_validate(deployment.policy_data)
    current = {row.kind: row for row in deployment.verdicts.all() if row.is_current}
    return tuple(_metric(spec, deployment, policy, latest, current.get(spec.kind)) for spec in SPECS)


def _metric(
    spec: _Spec, deployment: Deployment, policy: Policy, latest: Measurement | None, row: VerdictRow | None
) -> Metric:
    baseline = _value(deployment.baseline or {}, spec)
    if spec.kind == RuleKind.POSITION_MISMATCH and deployment.baseline:
        baseline = 0.0
    limit, label = limit_of(spec, policy, baseline)
    value = _value(latest.values, spec) if latest else None
    if value is None and row is not None and spec.kind == RuleKind.POSITION_MISMATCH:
        value = row.value
    verdict = row.verdict if row else "no_data"
    return Metric(
        key=spec.key,
        title=spec.title,
        unit=spec.unit,
        value=value,
        baseline=baseline,
        limit=limit,
        limit_label=label,
        word=_word(spec, verdict) if row else "Not judged yet",
        verdict=verdict,
        reason=row.reason if row else "",
        at=latest.at if latest else None,
        is_quiet=row is None or (row.verdict == "no_data" and row.hold == "no"),
    )


def _value(values: Mapping[str, Any], spec: _Spec) -> float | None:
    value = values.get(spec.key)
    return None if value is None else float(value)


def _word(spec: _Spec, verdict: str) -> str:
    side = "Below" if spec.higher_is_better else "Above"
    return {
        "pass": "Within",
        "warn": f"{side} warning",
        "fail": f"{side} limit",
        "no_data": "No data",
        "error": "Cannot judge",
    }[verdict]


def limit_of(spec: _Spec, policy: Policy, baseline: float | None) -> tuple[float | None, str]:
    """Where the rule of a metric fails, in the metric's unit, and its label; (None, "") without rule or baseline."""
    rule = next((rule for rule in policy.rules if rule.kind == spec.kind), None)
    if rule is None:
        return None, ""
    if spec.kind == RuleKind.POSITION_MISMATCH:
        return 0.0, "limit 0"
    if rule.fail is None:
        return None, ""
    return _numeric_limit(spec, rule, rule.fail, baseline)


def _numeric_limit(spec: _Spec, rule: RuleSpec, fail: float, baseline: float | None) -> tuple[float | None, str]:
    if spec.kind == RuleKind.ERROR_RATE:
        return fail, f"limit {fail * 100:g} %"
    if baseline is None:
        return None, ""
    if spec.kind == RuleKind.LATENCY:
        return fail * baseline, f"limit {fail:g} × baseline"
    return (1 - fail) * baseline, f"limit −{fail * 100:g} %"


def series(deployment: Deployment, after: datetime | None = None) -> dict[str, Any]:
    """What the charts draw: points after a moment, or the newest ``SERIES_LIMIT``, with baseline, limit and marks.

    Times are unix seconds; a value that was not measured is null, which is drawn as a gap.
    """
    rows = measured(deployment, after)
    shown = metrics(deployment, rows[-1] if rows else None)
    charts = {
        metric.key: {
            "points": points(rows, metric.key),
            "baseline": metric.baseline,
            "limit": metric.chart_limit,
            "marks": marks(deployment),
        }
        for metric in shown
    }
    return {"charts": charts, "server_time": timezone.now().timestamp()}


def measured(deployment: Deployment, after: datetime | None = None, limit: int = SERIES_LIMIT) -> list[Measurement]:
    """The newest measurements of a deployment, oldest first."""
    rows = Measurement.objects.filter(deployment=deployment)
    if after is not None:
        rows = rows.filter(at__gt=after)
    return list(rows.order_by("-at")[:limit])[::-1]


def points(rows: Sequence[Measurement], key: str) -> list[tuple[float, float | None]]:
    """One series: unix seconds to the millisecond, and the value or None."""
    return [(round(row.at.timestamp(), 3), _rounded(row.values.get(key))) for row in rows]


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 5)


def marks(deployment: Deployment) -> list[tuple[float, str]]:
    """Labelled vertical lines of the charts."""
    found = [
        (deployment.promoted_at, f"{deployment.to_release.version} live"),
        (deployment.traffic_back_at, "traffic back"),
    ]
    return [(at.timestamp(), label) for at, label in found if at]
