"""From the samples of a watch to the evidence against "the share is at most p0" (``stats.find_change``)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from deployments.analysis.context import START_SECONDS, Watch
from deployments.analysis.stats import find_change
from deployments.analysis.summary import Growth

Count = Callable[[Growth], tuple[float, float]]
"""(bad, all) of what one instance counted between two answers."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How strongly a share above p0 is shown, and where."""

    log_evidence: float
    bad: float
    """Bad ones among ``count`` since ``since``, the starting point that explains them best."""
    count: float
    since: float
    """Unix time."""
    fault_after: float
    """Unix time: the fault hardly began before (see ``stats.Change.earliest``)."""

    def refutes(self, alpha: float) -> bool:
        """The share is above p0, with a false-alarm probability of at most ``alpha`` however often one looks."""
        return self.log_evidence >= math.log(1 / alpha)


def gather_evidence(watch: Watch, count: Count, p0: float) -> Evidence:
    """Evidence that the share counted by ``count`` is above ``p0`` since some moment after the promotion.

    Raises ``ValueError`` when a count is impossible (more bad ones than all).
    """
    starts = watch.starts
    bad, everything = [0.0] * len(starts), [0.0] * len(starts)
    for part in watch.growths:
        cell = max(0, math.ceil((part.at - watch.promoted_at) / START_SECONDS) - 1)
        place = bisect_right(starts, cell) - 1
        more_bad, more = count(part)
        bad[place] += more_bad
        everything[place] += more
    change = find_change(list(zip(starts, bad, everything, strict=True)), p0)
    return Evidence(
        log_evidence=change.log_evidence,
        bad=sum(bad[change.start :]),
        count=sum(everything[change.start :]),
        since=watch.promoted_at + starts[change.start] * START_SECONDS,
        fault_after=_last_answer(watch, watch.promoted_at + starts[change.earliest] * START_SECONDS),
    )


def _last_answer(watch: Watch, moment: float) -> float:
    """Beginning of the last answered probe at or before ``moment``, of the instance that was seen longest ago."""
    times = []
    for view in watch.instances:
        seen = [sample for sample in view.answers if sample.at <= moment]
        times.append(seen[-1].at - seen[-1].extra.get("probe_seconds", 0.0) if seen else watch.promoted_at)
    return max(watch.promoted_at, min(times, default=watch.promoted_at))
