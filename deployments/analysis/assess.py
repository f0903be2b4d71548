"""Judge the new live slot: samples and rules in, verdicts out. Pure, with no clock and no database of its own.

Error bounds of one deployment, however long it is watched and however often it is looked at: all rules that roll back
by themselves together raise a false alarm with probability at most ``AUTOMATIC_ALPHA``, all rules that only recommend
with at most ``ADVICE_ALPHA``. Rules about events (mismatch, restart, ...) need no bound: what they report has happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.analysis.context import Watch, verdict_of
from deployments.analysis.rules import JUDGES
from deployments.analysis.summary import Summary, since_promotion, summarise, summarise_many
from deployments.analysis.verdict import Outcome, Recommendation, Verdict, recommend
from environments.policy import RuleKind, RuleSpec
from environments.sample import Sample

__all__ = [
    "ADVICE_ALPHA",
    "AUTOMATIC_ALPHA",
    "Outcome",
    "Recommendation",
    "Summary",
    "Verdict",
    "assess",
    "error_bound",
    "recommend",
    "since_promotion",
    "summarise",
    "summarise_many",
]

AUTOMATIC_ALPHA = 0.001
ADVICE_ALPHA = 0.01
_STATISTICAL = frozenset({RuleKind.ERROR_RATE, RuleKind.LATENCY, RuleKind.WIN_RATE})


def error_bound(rule: RuleSpec, rules: Sequence[RuleSpec]) -> float:
    """The false-alarm probability that ``rule`` may spend: an equal part for each rule of its action that is a test."""
    sharing = sum(other.kind in _STATISTICAL and other.action == rule.action for other in rules)
    return (AUTOMATIC_ALPHA if rule.action == "rollback" else ADVICE_ALPHA) / max(sharing, 1)


def assess(
    rules: Sequence[RuleSpec],
    *,
    baseline: Summary | None,
    samples: Mapping[Any, Sequence[Sample]],
    promoted_at: float,
    confirmations: int,
    now: float,
) -> list[Verdict]:
    """One verdict for each rule, in the order of the rules.

    ``samples`` are those of each instance of the new live slot, by its name as it shall appear in reasons; only those
    after ``promoted_at`` are judged, but the last answer before it should be among them: counters count from there.
    ``confirmations``: probes without an answer in a row that fail. Times are unix seconds; ``now`` is that of the look.

    Never raises for bad rules or impossible numbers: such a rule gets the verdict ``error``, which asks for a hold.
    """
    watch = Watch.of(samples, baseline=baseline, promoted_at=promoted_at, confirmations=confirmations, now=now)
    return [_judge(rule, watch, error_bound(rule, rules)) for rule in rules]


def _judge(rule: RuleSpec, watch: Watch, alpha: float) -> Verdict:
    try:
        return JUDGES[rule.kind](rule, watch, alpha)
    except (ValueError, ArithmeticError) as problem:
        return verdict_of(rule, Outcome.ERROR, f"could not be judged: {problem}", hold="now")
