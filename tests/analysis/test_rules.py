"""Every rule: what fails it, what only warns, when there is no data, and since when the fault is there."""

import pytest

from deployments.analysis.assess import Outcome, assess, error_bound, summarise
from environments.policy import RuleKind, RuleSpec, default_rules
from environments.sample import Component
from tests.analysis.build import BOUNDS, START, Story, sample, silent

RULES = {rule.kind: rule for rule in default_rules()}
NAME = "production-green-1"


def judge(kind, samples, *, baseline=None, now=None, promoted=0.0, rule=None, confirmations=2):
    """The verdict of one default rule on one instance (or a mapping of instances)."""
    instances = samples if isinstance(samples, dict) else {NAME: samples}
    latest = max((s.at for listed in instances.values() for s in listed), default=START)
    (verdict,) = assess(
        [rule or RULES[kind]],
        baseline=baseline,
        samples=instances,
        promoted_at=START + promoted,
        confirmations=confirmations,
        now=START + now if now is not None else latest,
    )
    assert verdict.kind is (rule.kind if rule else kind)
    return verdict


@pytest.fixture(scope="module")
def baseline():
    return summarise(Story(100, at=-61).run(60, errors=0.001, trades=4).samples)


# Answers


def test_two_probes_in_a_row_without_an_answer_fail():
    samples = [sample(0.5, extra={"probe_seconds": 0.02}), silent(1, "refused"), silent(1.5, "refused")]
    verdict = judge(RuleKind.AVAILABILITY, samples)
    assert (verdict.verdict, verdict.value, verdict.limit, verdict.action) == (Outcome.FAIL, 2, 2, "rollback")
    assert verdict.fault_after == pytest.approx(START + 0.48, abs=1e-4)  # that probe began 20 ms before it ended
    assert NAME in verdict.reason
    assert "refused" in verdict.reason


def test_one_silent_probe_warns_and_an_answer_ends_it():
    assert judge(RuleKind.AVAILABILITY, [sample(0.5), silent(1)]).verdict is Outcome.WARN
    assert judge(RuleKind.AVAILABILITY, [sample(0.5), silent(1), sample(1.5)]).verdict is Outcome.PASS
    flapping = [s for i in range(10) for s in (silent(i + 0.5), sample(i + 1))]
    assert judge(RuleKind.AVAILABILITY, flapping).verdict is Outcome.PASS
    assert judge(RuleKind.AVAILABILITY, flapping, confirmations=1).verdict is Outcome.FAIL


def test_silence_before_the_promotion_does_not_count():
    samples = [silent(-1), silent(-0.5), silent(0.5), sample(1)]
    assert judge(RuleKind.AVAILABILITY, samples).verdict is Outcome.PASS
    verdict = judge(RuleKind.AVAILABILITY, [silent(0.5), silent(1)])
    assert (verdict.verdict, verdict.fault_after) == (Outcome.FAIL, START)


def test_one_silent_instance_of_two_is_named():
    verdict = judge(RuleKind.AVAILABILITY, {"a-1": [sample(1), sample(2)], "a-2": [silent(1), silent(2)]})
    assert verdict.verdict is Outcome.FAIL
    assert "a-2" in verdict.reason
    assert "a-1" not in verdict.reason


# No data


@pytest.mark.parametrize("kind", list(RuleKind))
def test_without_samples_no_rule_passes(kind, baseline):
    for samples in ({}, {NAME: []}, {NAME: [sample(-1)]}):
        late = judge(kind, samples, baseline=baseline, now=20)
        assert late.verdict is Outcome.NO_DATA
        assert late.hold == ("no" if kind is RuleKind.WIN_RATE else "now")
    fresh = judge(kind, {NAME: [sample(-1)]}, baseline=baseline, now=0.3)
    assert (fresh.verdict, fresh.hold == "now") == (Outcome.NO_DATA, False)


@pytest.mark.parametrize("kind", list(RuleKind))
def test_old_samples_are_no_data(kind, baseline):
    samples = Story(7).run(40, trades=4).samples
    assert judge(kind, samples, baseline=baseline, now=44).verdict is Outcome.PASS
    assert judge(kind, samples, baseline=baseline, now=46).verdict is Outcome.NO_DATA


@pytest.mark.parametrize("kind", list(RuleKind))
def test_one_instance_without_samples_is_never_a_pass_of_its_own_rules(kind, baseline):
    samples = {"a-1": Story(7).run(40, trades=4).samples, "a-2": []}
    verdict = judge(kind, samples, baseline=baseline).verdict
    pooled = kind in (RuleKind.ERROR_RATE, RuleKind.LATENCY, RuleKind.WIN_RATE)
    assert verdict is (Outcome.PASS if pooled else Outcome.NO_DATA)


def test_a_fault_once_seen_stays_a_failure_when_the_samples_end():
    samples = [sample(1), sample(2, mismatches=1), sample(3)]
    assert judge(RuleKind.POSITION_MISMATCH, samples, now=60).verdict is Outcome.FAIL


# Events


def test_a_restart_fails():
    verdict = judge(RuleKind.RESTART, Story(8).run(2).restart().run(1).samples, promoted=0.2)
    assert (verdict.verdict, verdict.value, verdict.fault_after) == (Outcome.FAIL, 1, START + 2)
    samples = [sample(-0.5), silent(0.5), sample(1, started_at=START + 0.7)]
    verdict = judge(RuleKind.RESTART, samples)
    assert (verdict.verdict, verdict.fault_after) == (Outcome.FAIL, START)


def test_a_restart_before_the_promotion_is_the_deployment_itself():
    samples = [sample(-9), sample(0.5, started_at=START - 5), sample(1, started_at=START - 5)]
    assert judge(RuleKind.RESTART, samples).verdict is Outcome.PASS


def test_no_start_time_is_no_data():
    verdict = judge(RuleKind.RESTART, [sample(0.5, started_at=None), sample(1, started_at=None)])
    assert (verdict.verdict, verdict.hold) == (Outcome.NO_DATA, "later")


def test_components():
    failed = (Component("exchange:connection", "fail", "no answer for 3 s"), Component("node:blockLag", "pass"))
    verdict = judge(RuleKind.COMPONENT, [sample(1), sample(2, components=failed), sample(3)])
    assert (verdict.verdict, verdict.fault_after) == (Outcome.FAIL, START + 1)
    assert "exchange:connection (no answer for 3 s)" in verdict.reason
    warned = (Component("exchange:connection", "warn"),)
    assert judge(RuleKind.COMPONENT, [sample(1, components=warned)]).verdict is Outcome.WARN
    assert judge(RuleKind.COMPONENT, [sample(1, components=warned), sample(2)]).verdict is Outcome.PASS
    assert judge(RuleKind.COMPONENT, [sample(1, components=())]).verdict is Outcome.NO_DATA


def test_the_first_mismatch_fails_and_says_where_and_how_many():
    instances = {"a-1": [sample(1), sample(2, mismatches=2)], "a-2": [sample(1), sample(2)]}
    verdict = judge(RuleKind.POSITION_MISMATCH, instances)
    assert (verdict.verdict, verdict.value, verdict.unit) == (Outcome.FAIL, 2, "positions")
    assert verdict.reason.startswith("a-1: 2 positions differ")
    assert verdict.fault_after == START + 1
    assert judge(RuleKind.POSITION_MISMATCH, [sample(1, mismatches=None)]).verdict is Outcome.NO_DATA


def test_a_book_in_standby_says_nothing_yet():
    standby = sample(0.5, role="STANDBY", mismatches=3)
    assert judge(RuleKind.POSITION_MISMATCH, [standby]).verdict is Outcome.NO_DATA
    assert judge(RuleKind.POSITION_MISMATCH, [standby, sample(1)]).verdict is Outcome.PASS


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ([{"role": "STANDBY"}, {"role": "ACTIVE"}], Outcome.PASS),
        ([{"role": "ACTIVE"}, {"role": "STANDBY"}], Outcome.FAIL),
        ([{"role": "ACTIVE"}, {"role": "REDUCING"}], Outcome.FAIL),
        ([{"role": "ACTIVE"}, {"role": "STANDBY"}, {"role": "ACTIVE"}], Outcome.FAIL),
        ([{"role": "HALTED"}], Outcome.FAIL),
        ([{"role": "ACTIVE"}, {"breaker_open": True}], Outcome.FAIL),
        ([{"role": "STANDBY"}], Outcome.NO_DATA),
        ([{"role": ""}], Outcome.NO_DATA),
    ],
)
def test_trading_halted(after, outcome):
    samples = [sample(-1), *(sample(i + 1, **values) for i, values in enumerate(after))]
    assert judge(RuleKind.TRADING_HALTED, samples).verdict is outcome


# Shares


def test_one_bad_request_does_not_fail_a_good_release(baseline):
    faultless = summarise(Story(9, at=-5).run(4).samples)
    for before in (baseline, faultless, None):
        samples = [sample(0), sample(1, requests_ok=54, requests_error=1)]
        verdict = judge(RuleKind.ERROR_RATE, samples, baseline=before)
        assert verdict.verdict is Outcome.WARN  # 1.8 % is above the limit, but one request is no proof
        assert not verdict.supported


def test_errors_fail_with_support_and_name_their_beginning(baseline):
    story = Story(10).run(60, errors=0.001).run(3, errors=0.05)
    verdict = judge(RuleKind.ERROR_RATE, story.samples, baseline=baseline, promoted=0.1)
    assert (verdict.verdict, verdict.action, verdict.unit) == (Outcome.FAIL, "rollback", "share")
    assert START + 57 <= verdict.fault_after <= START + 60.5  # it began at 60.0
    assert "1 of 1,000 deployments" in verdict.reason
    assert verdict.limit == 0.01
    assert verdict.baseline == baseline.error_rate


def test_a_long_clean_baseline_makes_ten_times_stricter_than_one_percent():
    clean = summarise(Story(11, at=-301).run(300).samples)
    assert clean.errors == 0
    samples = Story(12).run(10, errors=0.007).samples
    verdict = judge(RuleKind.ERROR_RATE, samples, baseline=clean, promoted=0.1)
    assert verdict.limit == pytest.approx(10 * 8.517 / 74875, rel=1e-3)  # ln(1/0.0002) = 8.517: 0 of 74,875
    assert verdict.verdict is Outcome.FAIL
    assert judge(RuleKind.ERROR_RATE, samples, baseline=None, promoted=0.1).verdict is Outcome.PASS


def test_too_few_requests_are_no_data(baseline):
    samples = [sample(0), sample(1, requests_ok=49)]
    verdict = judge(RuleKind.ERROR_RATE, samples, baseline=baseline)
    assert (verdict.verdict, verdict.hold, verdict.reason) == (Outcome.NO_DATA, "later", "49 of 50 requests")


def test_requests_between_promotion_and_first_sample_count(baseline):
    samples = [sample(-0.4), sample(0.1, requests_ok=0, requests_error=60)]
    assert judge(RuleKind.ERROR_RATE, samples, baseline=baseline).verdict is Outcome.FAIL
    assert judge(RuleKind.ERROR_RATE, samples[1:], baseline=baseline).verdict is Outcome.NO_DATA


@pytest.mark.parametrize(
    ("slower", "seconds", "outcome"), [(1, 20, Outcome.PASS), (4, 6, Outcome.WARN), (6, 20, Outcome.FAIL)]
)
def test_latency(slower, seconds, outcome, baseline):
    samples = Story(13).run(seconds, slower=slower).samples
    verdict = judge(RuleKind.LATENCY, samples, baseline=baseline, promoted=0.1)
    assert verdict.verdict is outcome
    assert verdict.supported is (outcome is not Outcome.PASS)
    assert verdict.action == "recommend"
    assert verdict.limit == pytest.approx(5 * baseline.latency_p99_ms)
    assert verdict.value == pytest.approx(slower * baseline.latency_p99_ms, rel=0.15)


def test_latency_without_support_only_warns(baseline):
    def times(fast, slow):
        """``fast`` requests under 5 ms and ``slow`` ones of about 60 ms."""
        return tuple((bound, fast * (bound > 0.004) + slow * (bound > 0.06)) for bound in BOUNDS)

    samples = [sample(0, latency_buckets=times(0, 0)), sample(1, latency_buckets=times(245, 5))]
    verdict = judge(RuleKind.LATENCY, samples, baseline=baseline)
    assert verdict.value > verdict.limit  # the p99 of 250 requests says so, 5 slow ones do not prove it
    assert (verdict.verdict, verdict.supported) == (Outcome.WARN, False)
    samples.append(sample(1.5, latency_buckets=times(255, 35)))
    assert judge(RuleKind.LATENCY, samples, baseline=baseline).verdict is Outcome.FAIL


def test_latency_beyond_the_last_bucket_warns_since_nobody_knows_how_far():
    slow = summarise(Story(15, at=-21).run(20, slower=60).samples)  # p99 about 0.6 s; five times that is not measured
    assert slow.latency_p99_ms > 400
    verdict = judge(RuleKind.LATENCY, Story(16).run(5, slower=600).samples, baseline=slow, promoted=0.1)
    assert (verdict.verdict, verdict.supported) == (Outcome.WARN, True)


def test_latency_without_a_baseline_is_no_data(baseline):
    samples = Story(17).run(5).samples
    assert judge(RuleKind.LATENCY, samples, baseline=None).verdict is Outcome.NO_DATA
    small = summarise(Story(18, at=-2).run(1, rate=100).samples)
    verdict = judge(RuleKind.LATENCY, samples, baseline=small)
    assert (verdict.verdict, verdict.reason) == (Outcome.NO_DATA, "the baseline has 50 of 200 measured requests")


def test_win_rate_needs_trades():
    many = summarise(Story(19, at=-601).run(600, rate=2, trades=4).samples)
    few = Story(20).run(3.5, rate=2, trades=2).samples
    verdict = judge(RuleKind.WIN_RATE, few, baseline=many)
    assert (verdict.verdict, verdict.reason, verdict.hold) == (Outcome.NO_DATA, "6 of 30 trades", "no")
    verdict = judge(RuleKind.WIN_RATE, Story(21).run(60, rate=2, trades=4).samples, baseline=summarise(few))
    assert verdict.reason == "the baseline has 6 of 30 trades"


@pytest.mark.parametrize(("wins", "outcome"), [(0.57, Outcome.PASS), (0.2, Outcome.FAIL)])
def test_win_rate(wins, outcome):
    before = summarise(Story(22, at=-601).run(600, rate=2, trades=4).samples)
    verdict = judge(RuleKind.WIN_RATE, Story(23).run(120, rate=2, trades=2, wins=wins).samples, baseline=before)
    assert verdict.verdict is outcome
    assert verdict.action == "recommend"
    assert verdict.limit == pytest.approx(0.8 * before.win_rate)


# Rules and numbers that cannot be


def rule(kind, **values):
    return RuleSpec(name="Own", kind=kind, action="rollback", **values)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (rule(RuleKind.ERROR_RATE), "neither fail nor times_baseline"),
        (rule(RuleKind.ERROR_RATE, fail=5), "between 0 and 1"),
        (rule(RuleKind.ERROR_RATE, times_baseline=-1), "above 0"),
        (rule(RuleKind.LATENCY, warn=3), "no fail"),
        (rule(RuleKind.LATENCY, fail=0), "above 0"),
        (rule(RuleKind.WIN_RATE, fail=20), "relative drop"),
    ],
)
def test_a_wrong_rule_is_an_error_that_holds(bad, words, baseline):
    verdict = judge(None, Story(24).run(20, trades=4).samples, baseline=baseline, rule=bad)
    assert (verdict.verdict, verdict.hold) == (Outcome.ERROR, "now")
    assert words in verdict.reason


def test_impossible_numbers_are_an_error(baseline):
    shrinking = ((0.01, 0), (0.02, 900), (0.04, 300), (float("inf"), 300))
    samples = [sample(0, latency_buckets=((0.01, 0), (0.02, 0), (0.04, 0), (float("inf"), 0)))]
    samples.append(sample(1, requests_ok=300, latency_buckets=shrinking))
    negative = [sample(0), sample(1, requests_ok=-5, requests_error=500)]
    assert judge(RuleKind.ERROR_RATE, negative, baseline=baseline).verdict is Outcome.ERROR
    verdicts = assess(
        default_rules(),
        baseline=baseline,
        samples={"a": samples, "b": Story(25).run(1).samples},
        promoted_at=START,
        confirmations=2,
        now=START + 1,
    )
    by_kind = {verdict.kind: verdict for verdict in verdicts}
    assert by_kind[RuleKind.LATENCY].verdict is Outcome.ERROR
    assert "different bucket bounds" in by_kind[RuleKind.LATENCY].reason
    assert by_kind[RuleKind.AVAILABILITY].verdict is Outcome.PASS  # one broken number does not blind the others


def test_the_error_bounds_add_up_to_the_stated_ones():
    rules = default_rules()
    automatic = [r for r in rules if r.kind is RuleKind.ERROR_RATE]
    assert sum(error_bound(r, rules) for r in automatic) == pytest.approx(0.001)
    stricter = [r.model_copy(update={"action": "rollback"}) for r in rules]
    statistical = [r for r in stricter if r.kind in (RuleKind.ERROR_RATE, RuleKind.LATENCY, RuleKind.WIN_RATE)]
    assert sum(error_bound(r, stricter) for r in statistical) == pytest.approx(0.001)


def test_verdicts_come_in_the_order_of_the_rules(baseline):
    verdicts = assess(
        default_rules(),
        baseline=baseline,
        samples={NAME: Story(26).run(20, trades=4).samples},
        promoted_at=START + 0.1,
        confirmations=2,
        now=START + 20,
    )
    assert [v.rule for v in verdicts] == [r.name for r in default_rules()]
    assert {v.verdict for v in verdicts} == {Outcome.PASS}
    assert all(v.fault_after is None and v.hold == "no" for v in verdicts)
