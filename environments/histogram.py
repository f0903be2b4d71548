"""Quantiles of latency histograms. No Django."""

from __future__ import annotations

import math
from collections.abc import Sequence

Buckets = Sequence[tuple[float, int]]
"""Cumulative: (upper bound, count at or below it); the last bound is inf."""


def histogram_quantile(buckets: Buckets, q: float) -> float | None:
    """Quantile ``q`` of a cumulative histogram, in the unit of its bounds, by linear interpolation inside the bucket.

    As Prometheus' ``histogram_quantile``: the first bucket begins at 0, and a quantile in the last one (to inf) gives
    the highest finite bound, which is then a lower bound only. None without observations.
    """
    if not buckets or buckets[-1][1] == 0:
        return None
    rank = q * buckets[-1][1]
    below, bound_below = 0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            if bound == math.inf:
                return bound_below
            return bound_below + (bound - bound_below) * (rank - below) / (count - below)
        below, bound_below = count, bound
    return bound_below
