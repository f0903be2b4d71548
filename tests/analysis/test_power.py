"""What the error test promises and how fast it is, measured by simulation with printed seeds.

``python -m tests.analysis.test_power`` prints the long form of the figures.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from random import Random

import pytest

from deployments.analysis.assess import AUTOMATIC_ALPHA, Outcome, assess, summarise
from deployments.analysis.rates import BASELINE_PART
from deployments.analysis.stats import ChangeTest, binomial_cdf, clopper_pearson_lower, clopper_pearson_upper
from environments.policy import RuleKind, default_rules
from tests.analysis.build import START, Story

SPENT = AUTOMATIC_ALPHA * (1 - BASELINE_PART)
"""What the error rule of the default policy tests at; the rest is for the baseline."""


class Binomial:
    """Draws counts fast: by the table of the distribution."""

    def __init__(self, n: int, p: float, random: Random) -> None:
        self._random, self._sums, total = random, [], 0.0
        for k in range(n + 1):
            total += math.comb(n, k) * p**k * (1 - p) ** (n - k)
            self._sums.append(total)
            if total > 1 - 1e-13:
                break

    def draw(self) -> int:
        return bisect_right(self._sums, self._random.random())


def highest_evidence(watches: int, looks: int, batch: int, p: float, p0: float, seed: int) -> list[float]:
    """The highest evidence that each simulated watch ever shows: all starting points, a look after every batch."""
    draws, found = Binomial(batch, p, Random(seed)), []
    for _ in range(watches):
        test, highest = ChangeTest(p0), -math.inf
        for index in range(looks):
            test.start(index)
            test.add(draws.draw(), batch)
            highest = max(highest, test.log_evidence)
        found.append(highest)
    return found


def naive_alarms(watches: int, looks: int, batch: int, p: float, alpha: float, seed: int) -> int:
    """Watches in which a plain exact binomial test of level ``alpha``, repeated at every look, ever fails."""
    draws, alarms = Binomial(batch, p, Random(seed)), 0
    limits: dict[int, int] = {}
    for look in range(1, looks + 1):
        n = look * batch
        k = math.floor(n * p)
        while 1 - binomial_cdf(k - 1, n, p) > alpha:
            k += 1
        limits[look] = k
    for _ in range(watches):
        bad = 0
        for look in range(1, looks + 1):
            bad += draws.draw()
            if bad >= limits[look]:
                alarms += 1
                break
    return alarms


def delays(
    runs: int, rate: int, p: float, p0: float, seed: int, *, clean_looks: int = 0, look: float = 0.5
) -> list[float]:
    """Seconds from the beginning of errors of share ``p`` to the failing look, sorted; 0.1 % errors before."""
    random, batch = Random(seed), round(rate * look)
    before, after = Binomial(batch, 0.001, random), Binomial(batch, p, random)
    found = []
    for _ in range(runs):
        test, index = ChangeTest(p0), 0
        while index < clean_looks or test.log_evidence < math.log(1 / SPENT):
            test.start(index)
            test.add((before if index < clean_looks else after).draw(), batch)
            index += 1
        found.append((index - clean_looks) * look)
    return sorted(found)


def quantiles(values: list[float]) -> tuple[float, float, float]:
    return tuple(values[min(len(values) - 1, int(q * len(values)))] for q in (0.5, 0.9, 0.99))


def most_allowed(n: int, p: float) -> float:
    """So many of ``n`` that more would contradict a probability of at most ``p`` with certainty 1 - 1e-6."""
    return next(k for k in range(n + 1) if 1 - binomial_cdf(k, n, p) < 1e-6)


def test_false_alarms_stay_below_the_bound_with_looks_twice_a_second():
    watches, looks, seed = 2000, 120, 20260101
    found = highest_evidence(watches, looks, 125, 0.01, 0.01, seed)
    print(
        f"\nseed {seed}: {watches} watches of 60 s at 250 requests/s, two looks a second, errors exactly at the limit"
    )
    for alpha in (0.2, 0.05, 0.01, AUTOMATIC_ALPHA):
        alarms = sum(highest >= math.log(1 / alpha) for highest in found)
        print(f"  alpha {alpha}: {alarms} false alarms ({alarms / watches:.2%})")
        assert alarms <= most_allowed(watches, alpha)
    naive = naive_alarms(watches, looks, 125, 0.01, 0.05, seed)
    print(f"  a plain binomial test at 0.05 repeated at each look: {naive} ({naive / watches:.2%})")
    assert naive > 2 * 0.05 * watches, "the simulation must be able to see what repeated looks do"


def test_no_good_release_fails():
    found = highest_evidence(2000, 120, 125, 0.001, 0.01, 20260102)
    assert max(found) < math.log(1 / SPENT)


@pytest.mark.parametrize(("rate", "median", "p99"), [(250, 1.5, 3.0), (400, 1.0, 2.0)])
def test_five_percent_errors_are_found_fast(rate, median, p99):
    seed = 20260103
    found = quantiles(delays(1000, rate, 0.05, 0.01, seed))
    print(f"\nseed {seed}: 5 % errors at {rate} requests/s: seconds {found}, requests {[s * rate for s in found]}")
    assert found[0] <= median
    assert found[2] <= p99


@pytest.mark.parametrize(("rate", "p99"), [(250, 4.5), (400, 3.0)])
def test_errors_that_begin_after_a_clean_minute_are_found_nearly_as_fast(rate, p99):
    found = quantiles(delays(300, rate, 0.05, 0.01, 20260104, clean_looks=120))
    print(f"\n5 % errors after a clean minute at {rate} requests/s: seconds {found}")
    assert found[2] <= p99


def test_through_assess_with_all_rules():
    """The whole way, from samples to verdicts: bad versions fail, good ones never, at every look."""
    baseline = summarise(Story(1, at=-21).run(20, rate=400, errors=0.001, trades=4).samples)
    found = []
    for seed in range(12):
        for errors in (0.001, 0.05):
            samples = Story(1000 + seed).run(12, rate=400, errors=errors, trades=4).samples
            failed_at = None
            for look in range(1, len(samples) + 1):
                verdicts = assess(
                    default_rules(),
                    baseline=baseline,
                    samples={"green-1": samples[:look]},
                    promoted_at=START + 0.5,
                    confirmations=2,
                    now=samples[look - 1].at,
                )
                if any(v.verdict is Outcome.FAIL for v in verdicts):
                    assert [v.kind for v in verdicts if v.verdict is Outcome.FAIL] == [RuleKind.ERROR_RATE]
                    failed_at = samples[look - 1].at - START - 0.5
                    break
            assert (failed_at is not None) == (errors == 0.05), f"seed {seed}, errors {errors}: failed at {failed_at}"
            found.extend([failed_at] if failed_at is not None else [])
    assert sorted(found)[len(found) // 2] <= 1.5


def test_the_win_rate_has_little_power_and_the_figures_are_these():
    """Trades needed for a verdict, with 57 % wins in a baseline of 400 trades: told in the documentation."""
    part = 0.005 / 3
    limit = 1 - 0.8 * clopper_pearson_lower(228, 400, part)
    medians = {}
    for wins in (0.4, 0.3, 0.2):
        random, needed = Random(20260105), []
        for _ in range(40):
            test, index = ChangeTest(limit), 0
            while index < 1000 and test.log_evidence < math.log(1 / part):
                test.start(index)
                test.add(random.random() >= wins, 1)
                index += 1
            needed.append(index)
        medians[wins] = sorted(needed)[20]
    print(f"\nwin rate 57 % before: trades until the rule fails (median, 1000 = not within 1000): {medians}")
    assert medians[0.2] < 100 < medians[0.3] < medians[0.4] == 1000


def main() -> None:
    """The long form: five-minute watches, and the delay for several rates, baselines and looks."""
    for p in (0.01, 0.005, 0.001):
        found = highest_evidence(2000, 600, 125, p, 0.01, 7)
        alarms = {a: sum(h >= math.log(1 / a) for h in found) for a in (0.2, 0.05, 0.01, AUTOMATIC_ALPHA)}
        print(f"2000 watches of 300 s at 250 requests/s, {p:.1%} errors, limit 1 %: false alarms by alpha {alarms}")
    print(f"plain binomial test at 0.05, repeated: {naive_alarms(2000, 600, 125, 0.01, 0.05, 7)} of 2000")
    for seconds in (0, 60, 120, 300):
        for rate in (250, 400):
            bound = clopper_pearson_upper(0, seconds * rate, AUTOMATIC_ALPHA * BASELINE_PART) if seconds else 1.0
            limit = min(0.01, 10 * bound)
            for look in (0.5, 0.25):
                one, late = (
                    quantiles(delays(2000, rate, 0.05, limit, 7, clean_looks=clean, look=look))
                    for clean in (0, round(60 / look) if limit == 0.01 else 0)
                )
                print(
                    f"errorless baseline {seconds} s, {rate}/s, look each {look} s: limit {limit:.2%},"
                    f" delay median/p90/p99 {one} s; beginning after 60 s: {late} s"
                )


if __name__ == "__main__":
    main()
