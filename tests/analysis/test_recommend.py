"""The advice that follows from verdicts."""

import pytest

from deployments.analysis.context import Figures, verdict_of
from deployments.analysis.verdict import Outcome, recommend
from environments.policy import RuleKind, default_rules

RULES = {rule.kind: rule for rule in default_rules()}


def verdict(kind, outcome, **values):
    return verdict_of(RULES[kind], outcome, "because", Figures(), **values)


GOOD = [verdict(kind, Outcome.PASS) for kind in (RuleKind.ERROR_RATE, RuleKind.AVAILABILITY)]
LATENCY = RuleKind.LATENCY


@pytest.mark.parametrize(
    ("seconds", "title"),
    [
        (170, "Monitor for 3 more minutes"),
        (180, "Monitor for 3 more minutes"),
        (90, "Monitor for 2 more minutes"),
        (60, "Monitor for 60 more seconds"),
        (0.4, "Monitor for 1 more second"),
        (6000, "Monitor for 2 more hours"),
    ],
)
def test_all_is_well_so_watch_on(seconds, title):
    advice = recommend(GOOD, seconds_left=seconds, phase="watch")
    assert (advice.verb, advice.title, advice.reasons) == ("monitor", title, ())


def test_a_failure_advises_rolling_back_whatever_else_is_there():
    verdicts = [*GOOD, verdict(LATENCY, Outcome.FAIL), verdict(RuleKind.COMPONENT, Outcome.NO_DATA, hold="now")]
    for phase, left in (("watch", 100), ("stable", None), ("done", None)):
        advice = recommend(verdicts, seconds_left=left, phase=phase)
        assert (advice.verb, advice.title) == ("roll_back", "Recommended: roll back")
        assert advice.reasons == ("Latency p99: because",)


def test_a_certain_warning_of_an_advising_rule_suggests_it():
    advice = recommend([*GOOD, verdict(LATENCY, Outcome.WARN, supported=True)], seconds_left=100, phase="watch")
    assert (advice.verb, advice.title) == ("roll_back", "Recommended: consider rolling back")


def test_an_uncertain_warning_is_watched():
    for warning in (verdict(LATENCY, Outcome.WARN), verdict(RuleKind.ERROR_RATE, Outcome.WARN)):
        advice = recommend([*GOOD, warning], seconds_left=100, phase="watch")
        assert advice.verb == "monitor"
        assert len(advice.reasons) == 1


def test_no_data_holds_at_once_or_at_the_end():
    later = [*GOOD, verdict(RuleKind.ERROR_RATE, Outcome.NO_DATA, hold="later")]
    assert recommend(later, seconds_left=10, phase="watch").verb == "monitor"
    for left in (0, None):
        advice = recommend(later, seconds_left=left, phase="watch")
        assert (advice.verb, advice.title) == ("hold", "Recommended: hold (no data)")
    now = [*GOOD, verdict(RuleKind.ERROR_RATE, Outcome.NO_DATA, hold="now")]
    assert recommend(now, seconds_left=10, phase="watch").verb == "hold"
    assert recommend(now, seconds_left=None, phase="done").verb == "none"


def test_a_rule_that_only_informs_never_holds():
    informs = [*GOOD, verdict(RuleKind.WIN_RATE, Outcome.NO_DATA, hold="now")]
    advice = recommend(informs, seconds_left=0, phase="stable")
    assert (advice.verb, advice.title, advice.reasons) == ("none", "No action needed", ("Win rate: because",))


def test_a_rule_that_cannot_be_judged_holds():
    advice = recommend([verdict(LATENCY, Outcome.ERROR, hold="now")], seconds_left=10, phase="watch")
    assert (advice.verb, advice.title) == ("hold", "Recommended: hold (a rule could not be judged)")


def test_an_unknown_phase_is_refused():
    with pytest.raises(ValueError, match="phase must be"):
        recommend(GOOD, seconds_left=None, phase="holiday")
