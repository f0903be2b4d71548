"""The statistics against exact sums, published values and their own guarantees."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.analysis.stats import (
    ChangeTest,
    binomial_cdf,
    clopper_pearson_lower,
    clopper_pearson_upper,
    count_above,
    find_change,
    log_evidence,
    start_log_weight,
)
from environments.histogram import histogram_quantile


def exact_cdf(k: int, n: int, p: float) -> float:
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@given(n=st.integers(1, 300), data=st.data())
def test_binomial_cdf_equals_the_sum(n, data):
    k = data.draw(st.integers(0, n))
    p = data.draw(st.floats(0.001, 0.999))
    assert binomial_cdf(k, n, p) == pytest.approx(exact_cdf(k, n, p), abs=1e-10)


def test_clopper_pearson_as_published():
    # 5 of 100 at 95 %: 1.64 % to 11.28 %; 0 of 100: up to 3.62 %
    assert clopper_pearson_lower(5, 100, 0.025) == pytest.approx(0.016431879, abs=1e-8)
    assert clopper_pearson_upper(5, 100, 0.025) == pytest.approx(0.112834911, abs=1e-8)
    assert clopper_pearson_upper(0, 100, 0.025) == pytest.approx(0.036216693, abs=1e-8)
    assert (clopper_pearson_upper(0, 0, 0.01), clopper_pearson_lower(0, 0, 0.01)) == (1.0, 0.0)


@given(n=st.integers(1, 100_000), data=st.data(), gamma=st.sampled_from([1e-4, 2e-4, 0.025]))
def test_clopper_pearson_upper_has_its_coverage_exactly(n, data, gamma):
    k = data.draw(st.integers(0, min(n - 1, 2000)))
    bound = clopper_pearson_upper(k, n, gamma)
    assert bound > k / n
    assert binomial_cdf(k, n, bound) == pytest.approx(gamma, rel=1e-3)


@pytest.mark.parametrize(("k", "n", "gamma"), [(-1, 5, 0.1), (6, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_bounds_are_refused(k, n, gamma):
    with pytest.raises(ValueError, match="no upper bound"):
        clopper_pearson_upper(k, n, gamma)


def test_the_weights_of_all_starting_points_add_up_to_one():
    begun = math.fsum(math.exp(start_log_weight(j)) for j in range(200_000))
    rest = 1 / math.log(200_002) / 2.109742801236892  # integral of 1/(x ln(x)^2)
    assert begun + rest == pytest.approx(1.0, abs=1e-6)


@given(p0=st.floats(1e-4, 0.9), n=st.integers(1, 60))
def test_evidence_expects_at_most_one_under_the_hypothesis(p0, n):
    """The exact expectation of the evidence over all outcomes at p = p0: what makes it an e-value."""
    chances = (math.comb(n, k) * p0**k * (1 - p0) ** (n - k) for k in range(n + 1))
    expected = math.fsum(chance * math.exp(log_evidence(k, n, p0)) for k, chance in enumerate(chances))
    assert expected == pytest.approx(1.0, abs=1e-8)
    lower = p0 / 2
    chances = (math.comb(n, k) * lower**k * (1 - lower) ** (n - k) for k in range(n + 1))
    assert math.fsum(c * math.exp(log_evidence(k, n, p0)) for k, c in enumerate(chances)) <= 1 + 1e-9


@given(x=st.floats(0, 1), p0=st.floats(1e-3, 0.5))
def test_a_partial_failure_weighs_at_most_its_share(x, p0):
    """Fractions come from interpolation inside a bucket; the bound must survive them."""
    whole, none = math.exp(log_evidence(1, 1, p0)), math.exp(log_evidence(0, 1, p0))
    assert math.exp(log_evidence(x, 1, p0)) <= x * whole + (1 - x) * none + 1e-9


@pytest.mark.parametrize(("k", "n", "p0"), [(3, 2, 0.1), (-1, 2, 0.1), (1, 2, 0.0), (1, 2, 1.0), (0, math.inf, 0.1)])
def test_impossible_counts_are_refused(k, n, p0):
    with pytest.raises(ValueError):
        log_evidence(k, n, p0)


def test_find_change_equals_the_running_test_and_finds_the_place():
    random, test, points = Random(3), ChangeTest(0.01), []
    for index in range(80):
        k = sum(random.random() < (0.08 if index >= 50 else 0.002) for _ in range(100))
        points.append((index, float(k), 100.0))
        test.start(index)
        test.add(k, 100)
    change = find_change(points, 0.01)
    assert change.log_evidence == pytest.approx(test.log_evidence)
    assert change.log_evidence > math.log(1_000_000)
    assert 48 <= change.earliest <= change.start <= 52
    fewer = [(0, sum(p[1] for p in points[:10]), 1000.0), *points[10:]]
    assert find_change(fewer, 0.01).log_evidence <= change.log_evidence
    assert find_change([], 0.01).log_evidence == 0.0


BUCKETS = ((0.01, 50), (0.02, 90), (0.04, 99), (math.inf, 100))


def test_quantile_interpolates_as_prometheus_does():
    assert histogram_quantile(BUCKETS, 0.5) == pytest.approx(0.01)
    assert histogram_quantile(BUCKETS, 0.7) == pytest.approx(0.015)
    assert histogram_quantile(BUCKETS, 0.99) == pytest.approx(0.04)
    assert histogram_quantile(BUCKETS, 0.999) == pytest.approx(0.04)  # beyond the last finite bound
    assert histogram_quantile((), 0.99) is None
    assert histogram_quantile(((0.1, 0), (math.inf, 0)), 0.99) is None


def test_count_above_interpolates_and_knows_its_end():
    assert count_above(BUCKETS, 0.01) == pytest.approx(50)
    assert count_above(BUCKETS, 0.03) == pytest.approx(100 - 94.5)
    assert count_above(BUCKETS, 0.04) == pytest.approx(1)
    assert count_above(BUCKETS, 0.05) is None
    assert count_above((), 0.05) is None


@given(
    cells=st.lists(st.integers(0, 500), min_size=3, max_size=12),
    limit=st.floats(0.011, 0.099),
)
def test_more_than_one_percent_lie_above_a_limit_exactly_when_the_p99_does(cells, limit):
    bounds = [0.1 * (i + 1) / (len(cells) - 1) for i in range(len(cells) - 1)] + [math.inf]
    sums = [sum(cells[: i + 1]) for i in range(len(cells))]
    buckets = tuple(zip(bounds, sums, strict=True))
    p99, above = histogram_quantile(buckets, 0.99), count_above(buckets, limit)
    if p99 is None or above is None or abs(p99 - limit) < 1e-9:
        return
    assert (above > 0.01 * sums[-1] + 1e-9) == (p99 > limit) or above == pytest.approx(0.01 * sums[-1])
