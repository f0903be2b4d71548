"""The facts of a rollback, put together from what was kept, and the text that they propose. No queries.

What a person writes explains; what is here was measured. It is frozen when the report is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from audit.models import Record
from deployments import words
from deployments.metrics import SPECS, metrics
from deployments.models import Deployment, Measurement, VerdictRow
from deployments.states import StepStatus

DECISIONS = frozenset(
    f"deployment.{act}"
    for act in ("approved", "promoted", "accepted", "held", "resumed", "watch_restarted", "gate_overridden")
)
"""Audited acts of the time line; the others are told by the rows."""
BAD, GOOD = "bad", "good"


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the time line."""

    at: datetime
    what: str
    who: str = ""
    detail: str = ""
    tone: str = ""
    """``bad``, ``good`` or empty."""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Took:
    """How long something took, in seconds; None when one of its ends is not known."""

    title: str
    seconds: float | None
    counted: str

    @property
    def text(self) -> str:
        """``0.9 s``, or that it was not measured."""
        return "not measured" if self.seconds is None else words.short(self.seconds)


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of the bad release against the baseline; shares from 0 to 1, latencies in milliseconds."""

    key: str
    title: str
    unit: str
    baseline: float | None
    last: float | None
    """When traffic went back."""
    worst: float | None
    """The worst since it was live."""
    limit: str
    word: str
    verdict: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that failed, or advised a rollback."""

    name: str
    verdict: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a rollback."""

    service: str
    environment: str
    deployment: int
    rollback: int
    bad: str
    good: str
    asked_by: str
    by_itself: bool
    reason: str
    ended: str
    """Status of the rollback."""
    times: tuple[Took, ...]
    timeline: tuple[Moment, ...]
    metrics: tuple[Figure, ...]
    rules: tuple[Rule, ...]
    trades: int
    trades_failed: int

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        data: dict[str, Any] = _plain(asdict(self))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """Back from ``as_json``."""
        return cls(
            **{
                **data,
                "times": tuple(Took(**one) for one in data["times"]),
                "timeline": tuple(Moment(**one | {"at": _at(one["at"])}) for one in data["timeline"]),
                "metrics": tuple(Figure(**one | {"at": _at(one["at"])}) for one in data["metrics"]),
                "rules": tuple(Rule(**one | {"since": _at(one["since"])}) for one in data["rules"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the measurements say for the first two questions; nobody but a person knows the third."""

    what_failed: str
    why_rollback: str


@dataclass(frozen=True, slots=True)
class Source:
    """What the facts are made of, read beforehand."""

    failed: Deployment
    """With its releases, environment, steps and verdicts."""
    rollback: Deployment
    measured: Sequence[Measurement]
    """Of the bad release while it was live, oldest first."""
    records: Iterable[Record]
    """Audited decisions on both deployments."""
    alerts: Iterable[Any]
    trades: int
    trades_failed: int


def facts(source: Source) -> Facts:
    """The facts, as far as they are known now."""
    failed, rollback = source.failed, source.rollback
    assert failed.from_release is not None  # there was something to go back to
    return Facts(
        service=failed.environment.service.name,
        environment=failed.environment.name,
        deployment=failed.pk,
        rollback=rollback.pk,
        bad=failed.to_release.version,
        good=failed.from_release.version,
        asked_by=rollback.requested_by_name,
        by_itself=rollback.requested_by_id is None,
        reason=rollback.reason,
        ended=rollback.status,
        times=_times(failed, rollback),
        timeline=tuple(sorted(_moments(source), key=lambda moment: moment.at)),
        metrics=tuple(_figures(source)),
        rules=tuple(_rules(failed)),
        trades=source.trades,
        trades_failed=source.trades_failed,
    )


def back_at(failed: Deployment, rollback: Deployment) -> datetime | None:
    """When the earlier release had the requests again; None before that."""
    return failed.traffic_back_at or rollback.traffic_back_at or rollback.promoted_at


def _trading_at(rollback: Deployment) -> datetime | None:
    done = (one for one in rollback.steps.all() if one.name == "activate" and one.status == StepStatus.SUCCEEDED)
    return next((one.finished_at for one in done), None)


def _span(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds between two moments; None unless both are known, in this order: two clocks may differ by a little."""
    found = words.seconds(start, end)
    return None if found is None or found < 0 else found


def _times(failed: Deployment, rollback: Deployment) -> tuple[Took, ...]:
    back, asked, fault = back_at(failed, rollback), rollback.created_at, failed.fault_after
    good = words.earlier(failed)
    return (
        Took("Live", _span(failed.promoted_at, back), f"requests went to {failed.to_release.version}"),
        Took("Detection", _span(fault, asked), "last moment without the fault to the decision"),
        Took("Way back", _span(asked, back), f"decision to requests on {good}"),
        Took("Altogether", _span(fault, back), f"last moment without the fault to requests on {good}"),
        Took("Trading again", _span(asked, _trading_at(rollback)), f"decision to trading on {good}"),
    )


def _moments(source: Source) -> Iterable[Moment]:
    failed, rollback = source.failed, source.rollback
    bad, good = failed.to_release.version, words.earlier(failed)
    yield Moment(failed.created_at, f"{bad} asked for", failed.requested_by_name, failed.reason)
    for at, what, tone in (
        (failed.handover_at, "Hand-over begins", ""),
        (failed.promoted_at, f"{bad} has all requests", ""),
        (failed.fault_after, "Last moment without the fault", ""),
        (back_at(failed, rollback), f"{good} has all requests again", GOOD),
        (_trading_at(rollback), f"{good} trades again", GOOD),
        (rollback.finished_at, f"Rollback ended: {rollback.get_status_display().lower()}", ""),
    ):
        if at is not None:
            yield Moment(at, what, tone=tone)
    for row in failed.verdicts.all():
        if row.verdict in ("fail", "warn", "error") and row.since <= rollback.created_at:
            tone = BAD if row.verdict == "fail" else ""
            yield Moment(row.since, f"{row.rule}: {_VERDICTS[row.verdict]}", "guard", row.reason, tone)
    for alert in source.alerts:
        yield Moment(alert.raised_at, f"Alert: {alert.title}", detail=alert.detail, link=f"/alerts/{alert.pk}/")
    for record in source.records:
        if record.action in DECISIONS:
            yield Moment(record.at, record.label, record.actor_name, record.reason)
    yield Moment(rollback.created_at, f"Rollback to {good} asked for", rollback.requested_by_name, rollback.reason, BAD)


_VERDICTS = {"fail": "fails", "warn": "warns", "error": "cannot be judged"}


def _figures(source: Source) -> Iterable[Figure]:
    latest = source.measured[-1] if source.measured else None
    for spec, metric in zip(SPECS, metrics(source.failed, latest), strict=True):
        values = [one.values.get(spec.key) for one in source.measured]
        known = [float(value) for value in values if value is not None]
        worst = (min if spec.higher_is_better else max)(known) if known else None
        yield Figure(
            key=metric.key,
            title=metric.title,
            unit=metric.unit,
            baseline=metric.baseline,
            last=metric.value,
            worst=worst,
            limit=metric.limit_label,
            word=metric.word,
            verdict=metric.verdict,
            at=metric.at,
        )


def _rules(failed: Deployment) -> list[Rule]:
    """The newest verdict of each rule that failed or advised the rollback, the earliest first."""
    found: dict[str, VerdictRow] = {}
    for row in sorted(failed.verdicts.all(), key=lambda row: row.pk):
        if row.advises_rollback:
            found[row.rule] = row
    rows = sorted(found.values(), key=lambda row: row.since)
    return [Rule(row.rule, row.verdict, row.reason, row.since) for row in rows]


def proposal(known: Facts) -> Proposal:
    """Text for the first two questions, from the facts alone; a person corrects and completes it."""
    took = {one.title: one for one in known.times}
    live = f" for {took['Live'].text}" if took["Live"].seconds is not None else ""
    seen = "; ".join(f"{rule.name}: {rule.reason}" if rule.reason else rule.name for rule in known.rules)
    what = f"{known.bad} was live in {known.environment}{live}. " + (seen or f"Reason given: {known.reason}") + "."
    who = "The guard rolled back by itself" if known.by_itself else f"{known.asked_by} rolled back"
    detected, back = took["Detection"], took["Way back"]
    found = f", {detected.text} after the last moment without the fault" if detected.seconds is not None else ""
    again = f" Requests were back on {known.good} {back.text} later." if back.seconds is not None else ""
    lost = f" {known.trades_failed} of {known.trades} trades failed." if known.trades_failed else ""
    return Proposal(_one_stop(what), _one_stop(f"{who}{found}: {known.reason}.") + again + lost)


def _one_stop(text: str) -> str:
    """A reason may end with a full stop of its own."""
    return text.removesuffix(".").rstrip(".") + "."


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _at(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
