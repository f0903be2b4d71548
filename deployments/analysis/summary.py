"""From samples to numbers: what happened between readings, and the sums of a window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from environments.histogram import histogram_quantile
from environments.sample import Sample

RESTART_TOLERANCE_SECONDS = 0.5
"""Some systems derive their start time from their age, so that it wavers a little; a restart moves it further."""

Histogram = tuple[tuple[float, int], ...]
"""Cumulative: (upper bound in seconds, count at or below it); the last bound is inf."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What one instance counted between two of its answers."""

    since: float
    """Unix time of the earlier answer."""
    at: float
    """Unix time of the later answer."""
    requests: int
    errors: int
    latency_before: Histogram
    latency_after: Histogram
    """Counted is after minus before; an empty ``latency_before`` stands for zero."""
    wins: int
    losses: int
    failed_trades: int
    restarted: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums of one window over one or more instances. Shares are None without anything to divide by."""

    requests: int = 0
    errors: int = 0
    error_rate: float | None = None
    """Share of requests that ended in an error, 0 to 1."""
    latency_p99_ms: float | None = None
    histogram: Histogram = ()
    wins: int = 0
    losses: int = 0
    trades: int = 0
    """Wins, losses and failed trades together."""
    win_rate: float | None = None
    """Wins as a share of wins and losses, 0 to 1."""
    failed_trades: int = 0
    restarts: int = 0
    from_at: float | None = None
    """Unix time of the first sample."""
    to_at: float | None = None
    """Unix time of the last sample."""
    answered: int = 0
    """Samples with an answer, of ``total``."""
    total: int = 0

    def to_data(self) -> dict[str, Any]:
        """As plain JSON data; the bound inf is written as the text ``+Inf``."""
        data = asdict(self)
        data["histogram"] = [["+Inf" if bound == math.inf else bound, count] for bound, count in self.histogram]
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Summary:
        """Back from ``to_data``. Raises ``ValueError`` for unknown names, ``TypeError`` for a malformed histogram."""
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown numbers in a kept summary: {', '.join(sorted(unknown))}")
        histogram = tuple((float(bound), int(count)) for bound, count in data.get("histogram", ()))
        return cls(**{**data, "histogram": histogram})


def growths(samples: Sequence[Sample]) -> Iterator[Growth]:
    """What was counted between each two answers of one instance, oldest first; samples without an answer are bridged.

    When the process restarted in between (its start time changed, or a counter fell), its counters began again at zero,
    so the later reading itself is what was counted since; what it counted before it died unseen is lost.
    """
    answers = sorted((sample for sample in samples if sample.ok), key=lambda sample: sample.at)
    for earlier, later in pairwise(answers):
        moved = restarted(earlier, later)
        yield _growth(earlier, later, fresh=moved or _fell(earlier, later), restart=moved)


def restarted(earlier: Sample, later: Sample) -> bool:
    """The process behind two answers is not the same. Without a reported start time, a counter that fell tells."""
    if earlier.started_at is None or later.started_at is None:
        return _fell(earlier, later)
    return abs(later.started_at - earlier.started_at) > RESTART_TOLERANCE_SECONDS


def _counters(sample: Sample) -> tuple[int, ...]:
    return (sample.requests_ok, sample.requests_error, sample.trades_win, sample.trades_loss, sample.trades_failed)


def _fell(earlier: Sample, later: Sample) -> bool:
    if any(new < old for old, new in zip(_counters(earlier), _counters(later), strict=True)):
        return True
    before, after = earlier.latency_buckets, later.latency_buckets
    return bool(before and after) and after[-1][1] < before[-1][1]


def _growth(earlier: Sample, later: Sample, *, fresh: bool, restart: bool) -> Growth:
    old = (0,) * 5 if fresh else _counters(earlier)
    # a histogram that was not reported a moment ago is no evidence of anything since
    base = () if fresh else earlier.latency_buckets or later.latency_buckets
    ok, error, win, loss, failed = (new - before for before, new in zip(old, _counters(later), strict=True))
    return Growth(
        since=earlier.at,
        at=later.at,
        requests=ok + error,
        errors=error,
        latency_before=base if later.latency_buckets else (),
        latency_after=later.latency_buckets,
        wins=win,
        losses=loss,
        failed_trades=failed,
        restarted=restart,
    )


def _sum_latency(parts: Sequence[Growth]) -> Histogram:
    """After minus before over all parts. A reading that ends one part and begins the next cancels out unread."""
    times: dict[int, int] = {}
    read: dict[int, Histogram] = {}
    for part in parts:
        for histogram, sign in ((part.latency_after, 1), (part.latency_before, -1)):
            if histogram:
                read[id(histogram)] = histogram
                times[id(histogram)] = times.get(id(histogram), 0) + sign
    left = [(read[key], count) for key, count in times.items() if count]
    if not left:
        return ()
    bounds = [bound for bound, _ in left[0][0]]
    sums = [0] * len(bounds)
    for histogram, count in left:
        if [bound for bound, _ in histogram] != bounds:
            raise ValueError("the latency histograms have different bucket bounds and cannot be added up")
        sums = [so_far + count * more for so_far, (_, more) in zip(sums, histogram, strict=True)]
    return tuple(zip(bounds, sums, strict=True))


def summarise(samples: Sequence[Sample]) -> Summary:
    """The sums of one instance from its first to its last sample. Raises ``ValueError`` as ``growths``."""
    return summarise_many({"": samples})


def summarise_many(samples: Mapping[Any, Sequence[Sample]]) -> Summary:
    """The sums over several instances, each counted from its own first to its own last sample.

    Raises ``ValueError`` when instances report latency with different bucket bounds.
    """
    listed = [sample for one in samples.values() for sample in one]
    times = [sample.at for sample in listed]
    return total(
        (growth for one in samples.values() for growth in growths(one)),
        from_at=min(times, default=None),
        to_at=max(times, default=None),
        answered=sum(sample.ok for sample in listed),
        samples=len(listed),
    )


def total(
    parts: Iterable[Growth], *, from_at: float | None, to_at: float | None, answered: int, samples: int
) -> Summary:
    """Add up growths; times are unix seconds, ``samples`` readings of which ``answered`` had an answer.

    Raises ``ValueError`` when the bounds of their latency histograms differ.
    """
    parts = list(parts)
    requests, errors = sum(part.requests for part in parts), sum(part.errors for part in parts)
    wins, losses = sum(part.wins for part in parts), sum(part.losses for part in parts)
    failed = sum(part.failed_trades for part in parts)
    histogram = _sum_latency(parts)
    p99 = histogram_quantile(histogram, 0.99)
    return Summary(
        requests=requests,
        errors=errors,
        error_rate=errors / requests if requests else None,
        latency_p99_ms=None if p99 is None else p99 * 1000,
        histogram=histogram,
        wins=wins,
        losses=losses,
        trades=wins + losses + failed,
        win_rate=wins / (wins + losses) if wins + losses else None,
        failed_trades=failed,
        restarts=sum(part.restarted for part in parts),
        from_at=from_at,
        to_at=to_at,
        answered=answered,
        total=samples,
    )


def since_promotion(samples: Sequence[Sample], promoted_at: float) -> list[Sample]:
    """The samples after ``promoted_at`` (unix seconds), led by the last answer before it, from which they count.

    Without that first one, what happened between the promotion and the first sample would be left out.
    """
    ordered = sorted(samples, key=lambda sample: sample.at)
    before = [sample for sample in ordered if sample.at <= promoted_at and sample.ok]
    return before[-1:] + [sample for sample in ordered if sample.at > promoted_at]
