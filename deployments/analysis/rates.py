"""The rules that compare shares: errors, slow requests, lost trades. Each spends a stated false-alarm probability."""

from __future__ import annotations

import math

from deployments.analysis.context import Figures, RuleProblem, Watch, clock, missing, verdict_of
from deployments.analysis.evidence import Count, gather_evidence
from deployments.analysis.stats import clopper_pearson_lower, clopper_pearson_upper, count_above
from deployments.analysis.summary import Growth, Summary
from deployments.analysis.verdict import Hold, Outcome, Verdict
from environments.policy import RuleSpec

BASELINE_PART = 0.2
"""Part of alpha spent on the chance that the baseline measured better than it is (error rate)."""
TAIL = 0.01
"""The p99 is above a limit exactly when more than this share is slower than the limit."""


def _no_answers(watch: Watch) -> tuple[str, Hold] | None:
    answers = sorted((sample for view in watch.instances for sample in view.answers), key=lambda sample: sample.at)
    return missing(watch, answers, "answer of the new version")


def _certainty(alpha: float) -> str:
    return f"a version within the limit looks like this in at most 1 of {round(1 / alpha):,} deployments"


def judge_error_rate(rule: RuleSpec, watch: Watch, alpha: float) -> Verdict:
    """Fails when the share of failed requests is above ``fail`` or above ``times_baseline`` times the baseline.

    Either means that it is above the smaller one. The baseline enters with its Clopper-Pearson upper bound, so that a
    short or faultless baseline proves little: 0 of 5,000 may still be 0.17 %. False alarms: at most ``alpha``.
    """
    limit, spent = _error_limit(rule, watch.baseline, alpha)
    seen = watch.summary
    before = watch.baseline.error_rate if watch.baseline else None
    figures = Figures(seen.error_rate, before, None if limit == math.inf else limit, "share")
    gap = _no_answers(watch)
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], figures, hold=gap[1])
    if seen.error_rate is None or seen.requests < rule.minimum:
        reason = f"{seen.requests} of {max(rule.minimum, 1)} requests"
        return verdict_of(rule, Outcome.NO_DATA, reason, figures, hold="later")
    if limit >= 1:
        reason = "the baseline has too few requests to compare with"
        return verdict_of(rule, Outcome.NO_DATA, reason, figures, hold="later")
    found = gather_evidence(watch, lambda part: (part.errors, part.requests), limit)
    if found.refutes(alpha - spent):
        counted = f"{found.bad:.0f} of {found.count:.0f} requests failed ({_percent(found.bad / found.count)})"
        reason = f"{counted} since {clock(found.since)}, limit {_percent(limit)}; {_certainty(alpha)}"
        return verdict_of(rule, Outcome.FAIL, reason, figures, fault_after=found.fault_after)
    reason = f"{seen.errors} of {seen.requests} requests failed ({_percent(seen.error_rate)}), limit {_percent(limit)}"
    if seen.error_rate > limit:
        return verdict_of(rule, Outcome.WARN, f"{reason}; too few to be sure", figures)
    if rule.warn is not None and seen.error_rate > rule.warn:
        return verdict_of(rule, Outcome.WARN, f"{reason}; warns from {_percent(rule.warn)}", figures)
    return verdict_of(rule, Outcome.PASS, reason, figures)


def _error_limit(rule: RuleSpec, baseline: Summary | None, alpha: float) -> tuple[float, float]:
    """The share to be tested against (inf: there is none yet), and the part of alpha that the baseline took."""
    if rule.fail is None and rule.times_baseline is None:
        raise RuleProblem("the rule gives neither fail nor times_baseline")
    if rule.fail is not None and not 0 < rule.fail < 1:
        raise RuleProblem(f"fail must be a share between 0 and 1, not {rule.fail}")
    if rule.times_baseline is not None and rule.times_baseline <= 0:
        raise RuleProblem(f"times_baseline must be above 0, not {rule.times_baseline}")
    limit = rule.fail if rule.fail is not None else math.inf
    if rule.times_baseline is None or baseline is None or not baseline.requests:
        return limit, 0.0
    spent = alpha * BASELINE_PART
    return min(limit, rule.times_baseline * clopper_pearson_upper(baseline.errors, baseline.requests, spent)), spent


def judge_latency(rule: RuleSpec, watch: Watch, alpha: float) -> Verdict:
    """Fails when the p99 is above ``fail`` times the p99 of the baseline, warns from ``warn`` times.

    Judged as "more than 1 % of the requests are slower than the limit", so with the same test as the error rate. The
    bound ``alpha`` (half for each level) takes the limit as given: that the baseline was measured too is not in it, nor
    the interpolation inside the one bucket that holds the limit.
    """
    _check_factors(rule)
    seen = watch.summary
    before = watch.baseline.latency_p99_ms if watch.baseline else None
    figures = Figures(seen.latency_p99_ms, before, None if before is None else _required(rule) * before, "ms")
    gap = _no_answers(watch) or _too_few_times(rule, watch.baseline, seen)
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], figures, hold=gap[1])
    assert before is not None and seen.latency_p99_ms is not None  # both have observations
    shown = f"p99 {seen.latency_p99_ms:.1f} ms, baseline {before:.1f} ms ({seen.latency_p99_ms / before:.1f} times)"
    highest = seen.histogram[-2][0] * 1000 if len(seen.histogram) > 1 else 0.0
    for outcome, factor in ((Outcome.FAIL, rule.fail), (Outcome.WARN, rule.warn)):
        if factor is None:
            continue
        level = min(factor * before, highest)
        found = gather_evidence(watch, slower_than(level / 1000), TAIL)
        if found.refutes(alpha / 2):
            slow = f"{_percent(found.bad / found.count)} of {found.count:.0f} requests are slower than {level:.1f} ms"
            # beyond the highest bucket bound nothing is known: slower than that, but by how much?
            certain = outcome if level == factor * before else Outcome.WARN
            reason = f"{shown}; {slow}; {_certainty(alpha / 2)}"
            return verdict_of(rule, certain, reason, figures, fault_after=found.fault_after, supported=True)
    if rule.warn is not None and seen.latency_p99_ms > rule.warn * before:
        return verdict_of(rule, Outcome.WARN, f"{shown}; too few requests to be sure", figures)
    return verdict_of(rule, Outcome.PASS, shown, figures)


def slower_than(limit: float) -> Count:
    """Counts (requests slower than ``limit`` seconds, all requests). The limit must not be beyond the finite bounds."""

    def count(part: Growth) -> tuple[float, float]:
        if not part.latency_after:
            return 0.0, 0.0
        slow = (count_above(part.latency_after, limit) or 0.0) - (count_above(part.latency_before, limit) or 0.0)
        before = part.latency_before[-1][1] if part.latency_before else 0
        observed = part.latency_after[-1][1] - before
        return min(max(slow, 0.0), observed), observed  # rounding may leave -1e-12

    return count


def _required(rule: RuleSpec) -> float:
    if rule.fail is None:
        raise RuleProblem("the rule gives no fail")
    return rule.fail


def _check_factors(rule: RuleSpec) -> None:
    for name, factor in (("fail", _required(rule)), ("warn", rule.warn)):
        if factor is not None and factor <= 0:
            raise RuleProblem(f"{name} must be a factor of the baseline above 0, not {factor}")


def _too_few_times(rule: RuleSpec, baseline: Summary | None, seen: Summary) -> tuple[str, Hold] | None:
    minimum = max(rule.minimum, 1)
    before = baseline.histogram[-1][1] if baseline and baseline.histogram else 0
    if before < minimum or baseline is None or not baseline.latency_p99_ms:
        return f"the baseline has {before} of {minimum} measured requests", "later"
    if len(baseline.histogram) < 2 or baseline.latency_p99_ms >= baseline.histogram[-2][0] * 1000:
        raise RuleProblem("more than 1 % of the baseline is slower than the highest bucket bound: measure longer times")
    now = seen.histogram[-1][1] if seen.histogram else 0
    return (f"{now} of {minimum} measured requests", "later") if now < minimum else None


def judge_win_rate(rule: RuleSpec, watch: Watch, alpha: float) -> Verdict:
    """Fails when the win rate fell by more than ``fail`` of the baseline's (0.20: from 57 % to below 45.6 %).

    Judged as "more trades are lost than 1 - (1 - fail) x baseline", with the lower Clopper-Pearson bound of the
    baseline. ``alpha`` is spent in thirds: the baseline, fail, warn. Trades are few, so the power is low (figures:
    tests/analysis/test_power.py); the reason therefore gives the 95 % interval of the new version too.
    """
    _check_drops(rule)
    seen, before = watch.summary, watch.baseline
    old = before.win_rate if before else None
    figures = Figures(seen.win_rate, old, None if old is None else (1 - _required(rule)) * old, "share")
    gap = _no_answers(watch) or _too_few_trades(rule, before, seen)
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], figures, hold=gap[1])
    assert before is not None and old is not None and seen.win_rate is not None  # both have trades
    trades, part = seen.wins + seen.losses, alpha / 3
    certain = clopper_pearson_lower(before.wins, before.wins + before.losses, part)
    shown = f"{seen.wins} of {trades} trades won ({_percent(seen.win_rate)}), baseline {_percent(old)}"
    for outcome, drop in ((Outcome.FAIL, rule.fail), (Outcome.WARN, rule.warn)):
        if drop is None:
            continue
        found = gather_evidence(watch, _losses, 1 - (1 - drop) * certain)
        if found.refutes(part):
            reason = f"{shown}; more than {_percent(drop)} less; {_certainty(part)}"
            return verdict_of(rule, outcome, reason, figures, fault_after=found.fault_after, supported=True)
    low, high = clopper_pearson_lower(seen.wins, trades, 0.025), clopper_pearson_upper(seen.wins, trades, 0.025)
    shown += f" (95 %: {_percent(low)} to {_percent(high)})"
    if rule.warn is not None and seen.win_rate < (1 - rule.warn) * old:
        return verdict_of(rule, Outcome.WARN, f"{shown}; too few trades to be sure", figures)
    return verdict_of(rule, Outcome.PASS, shown, figures)


def _losses(part: Growth) -> tuple[float, float]:
    return part.losses, part.wins + part.losses


def _check_drops(rule: RuleSpec) -> None:
    for name, drop in (("fail", _required(rule)), ("warn", rule.warn)):
        if drop is not None and not 0 < drop < 1:
            raise RuleProblem(f"{name} must be a relative drop between 0 and 1, not {drop}")


def _too_few_trades(rule: RuleSpec, baseline: Summary | None, seen: Summary) -> tuple[str, Hold] | None:
    minimum = max(rule.minimum, 1)
    before = baseline.wins + baseline.losses if baseline else 0
    if before < minimum or (baseline and not baseline.wins):
        return f"the baseline has {before} of {minimum} trades", "later"
    now = seen.wins + seen.losses
    return (f"{now} of {minimum} trades", "later") if now < minimum else None


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 0.01 else f"{share * 100:.1f} %"
