"""Statistics of the analysis: pure functions of numbers, exact or with a stated bound.

The central tool is a test that may be looked at after every sample without its error growing: an *e-process*. Under the
hypothesis "each request fails with probability at most p0, whatever came before", the product of likelihood ratios
``(p/p0)^k ((1-p)/(1-p0))^(n-k)`` is a non-negative supermartingale for every p > p0, so is any average of such
products over p and over the request from which it is counted, and by Ville's inequality the chance that it *ever*
reaches 1/alpha is at most alpha. Averaging over p needs no guess of how bad the new version is; averaging over the
starting point finds a fault that begins late although many good requests went before. Sources:

- Ville (1939), Étude critique de la notion de collectif.
- Robbins, Siegmund (1974), The expected sample size of some tests of power one (mixtures).
- Ramdas, Grünwald, Vovk, Shafer (2023), Game-theoretic statistics and safe anytime-valid inference, Statist. Sci. 38.
- Shin, Ramdas, Rinaldo (2024), E-detectors: a nonparametric framework for sequential change detection, NEJSDS 2.
- Clopper, Pearson (1934), The use of confidence or fiducial limits, Biometrika 26.
- Continued fraction of the incomplete beta function: DLMF 8.17.22, https://dlmf.nist.gov/8.17#v
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from environments.histogram import Buckets

ALTERNATIVES = 40
"""Values of p in the mixture. A finite mixture is itself exact: there is no quadrature error to bound."""
EXPECTED_FACTOR = 5.0
SPREAD = 0.8
"""The mixture weighs p most at ``EXPECTED_FACTOR`` times p0 (5 % against 1 %) and falls off log-normally, with the
deviation ``SPREAD`` of ln p. The delay hardly depends on either (tried: factors 4 to 6, deviations 0.4 to 1)."""

_START_NORM = 2.109742801236892
"""Sum over j >= 2 of 1/(j ln(j)^2): makes the weights of the starting points add up to one."""


def start_log_weight(index: int) -> float:
    """Logarithm of the weight of starting point ``index`` (0 is the promotion itself); all of them add up to one."""
    j = index + 2
    return -math.log(j) - 2 * math.log(math.log(j)) - math.log(_START_NORM)


@lru_cache(maxsize=256)
def _mixture(p0: float) -> tuple[tuple[float, float, float], ...]:
    """For each alternative p: (log weight, log gain of a failed request, log gain of a good one)."""
    if not 0 < p0 < 1:
        raise ValueError(f"the tested share must lie between 0 and 1, not {p0}")
    step = -math.log(p0) / ALTERNATIVES
    shares = [math.exp(math.log(p0) + (i + 0.5) * step) for i in range(ALTERNATIVES)]
    weights = [math.exp(-(math.log(p / p0 / EXPECTED_FACTOR) ** 2) / (2 * SPREAD**2)) for p in shares]
    total = sum(weights)
    return tuple(
        (math.log(weight / total), math.log(p / p0), math.log1p(-p) - math.log1p(-p0))
        for p, weight in zip(shares, weights, strict=True)
    )


def log_evidence(k: float, n: float, p0: float) -> float:
    """Natural logarithm of the evidence of ``k`` failures in ``n`` requests against "the share is at most p0".

    Fractions are allowed (a request that counts only in part): for x in [0, 1] the ratio
    ``(p/p0)^x ((1-p)/(1-p0))^(1-x)`` is at most its linear interpolation, so the bound holds for a mean of x up to p0.
    Raises ``ValueError`` unless 0 <= k <= n and 0 < p0 < 1.
    """
    if not 0 <= k <= n < math.inf:
        raise ValueError(f"{k} of {n} is not a count of failures")
    return _log_sum([weight + k * bad + (n - k) * good for weight, bad, good in _mixture(p0)])


class ChangeTest:
    """The evidence over all starting points so far, kept up to date in constant time for each addition.

    Call ``start(j)`` with rising j, at times fixed beforehand, then ``add`` what came after it. Leaving starting points
    out only lowers the evidence, so it is always allowed.
    """

    def __init__(self, p0: float) -> None:
        self._mixture = _mixture(p0)
        self._logs = [-math.inf] * len(self._mixture)

    def start(self, index: int) -> None:
        """From here on the requests count for starting point ``index`` too."""
        weight = start_log_weight(index)
        self._logs = [_log_add(log, weight) for log in self._logs]

    def add(self, k: float, n: float) -> None:
        """``n`` more requests, ``k`` of which failed."""
        if not 0 <= k <= n < math.inf:
            raise ValueError(f"{k} of {n} is not a count of failures")
        self._logs = [
            log + k * bad + (n - k) * good for log, (_, bad, good) in zip(self._logs, self._mixture, strict=True)
        ]

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the evidence; the hypothesis is refuted at alpha once it reaches ln(1/alpha)."""
        return _log_sum([log + weight for log, (weight, _, _) in zip(self._logs, self._mixture, strict=True)])


@dataclass(frozen=True, slots=True)
class Change:
    """Where the evidence comes from."""

    log_evidence: float
    start: int
    """Position in the given points of the starting point that explains the failures best."""
    earliest: int
    """The earliest one that explains them nearly as well (within a factor of 20): the fault hardly began before."""


def find_change(points: Sequence[tuple[int, float, float]], p0: float) -> Change:
    """Evidence of a share above p0 that began at one of the points.

    ``points`` are (index of the starting point, failures, requests) with counts from that point to the next one, the
    last one to now. An empty sequence gives evidence 0 (logarithm) at position 0.
    """
    test = ChangeTest(p0)
    for index, k, n in points:
        test.start(index)
        test.add(k, n)
    if not points:
        return Change(0.0, 0, 0)
    k, n, single = 0.0, 0.0, []
    for _, more_k, more_n in reversed(points):
        k, n = k + more_k, n + more_n
        single.append(log_evidence(k, n, p0))
    single.reverse()
    best = max(single)
    earliest = next(i for i, log in enumerate(single) if log >= best - math.log(20))
    return Change(test.log_evidence, single.index(best), earliest)


def _log_add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high + math.log1p(math.exp(low - high)) if low > -math.inf else high


def _log_sum(logs: Sequence[float]) -> float:
    high = max(logs)
    return high + math.log(sum(math.exp(log - high) for log in logs)) if high > -math.inf else high


def clopper_pearson_upper(k: int, n: int, gamma: float) -> float:
    """Upper bound of a share, given ``k`` of ``n``: the true share exceeds it with probability at most ``gamma``.

    1.0 when n is 0. Raises ``ValueError`` unless 0 <= k <= n and 0 < gamma < 1.
    """
    if not (0 <= k <= n and 0 < gamma < 1):
        raise ValueError(f"no upper bound for {k} of {n} at {gamma}")
    return _clopper_pearson_upper(k, n, gamma)


def clopper_pearson_lower(k: int, n: int, gamma: float) -> float:
    """Lower bound of a share, as ``clopper_pearson_upper``; 0.0 when n is 0."""
    return 1.0 - clopper_pearson_upper(n - k, n, gamma)


@lru_cache(maxsize=1024)
def _clopper_pearson_upper(k: int, n: int, gamma: float) -> float:
    if k == n:
        return 1.0
    if k == 0:
        return -math.expm1(math.log(gamma) / n)
    low, high = k / n, 1.0
    while high - low > 1e-12 + 1e-10 * low:  # P(X <= k | p) falls as p rises
        middle = (low + high) / 2
        if binomial_cdf(k, n, middle) > gamma:
            low = middle
        else:
            high = middle
    return high


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Binomial(n, p), by the regularised incomplete beta function: I_{1-p}(n-k, k+1)."""
    if k >= n:
        return 1.0
    return _beta_regularised(n - k, k + 1, 1.0 - p)


def _beta_regularised(a: float, b: float, x: float) -> float:
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):  # on this side the fraction converges fast
        return math.exp(front) * _beta_fraction(a, b, x) / a
    return 1.0 - math.exp(front) * _beta_fraction(b, a, 1.0 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """DLMF 8.17.22 by the modified Lentz method."""
    tiny, c, d = 1e-300, 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d or tiny)
    fraction = d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1.0 / ((1.0 + term * d) or tiny), (1.0 + term / c) or tiny
            fraction *= d * c
        if abs(d * c - 1.0) < 1e-14:
            return fraction
    raise ArithmeticError(f"the incomplete beta function did not converge for a={a}, b={b}, x={x}")


def count_above(buckets: Buckets, limit: float) -> float | None:
    """Observations above ``limit``, by the same interpolation as ``histogram_quantile``, so that more than 1 % lie
    above the limit exactly when the p99 shown is above it. None when the limit is beyond the highest finite bound.
    """
    if not buckets:
        return None
    position = bisect_left(buckets, (limit,))
    bound, count = buckets[position]
    bound_below, below = buckets[position - 1] if position else (0.0, 0)
    if bound == math.inf:
        return None
    return buckets[-1][1] - (below + (limit - bound_below) / (bound - bound_below) * (count - below))
