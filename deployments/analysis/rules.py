"""The rules that look for events: one occurrence is enough. One judge for each kind of rule; ``JUDGES`` finds it.

A judge is a pure function of the rule, the watch and the error bound it may spend. What was seen once since the
promotion stays a failure: a fault that goes away by itself is still a fault of the new version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deployments.analysis.context import Figures, InstanceView, RuleProblem, Watch, clock, missing, verdict_of
from deployments.analysis.rates import judge_error_rate, judge_latency, judge_win_rate
from deployments.analysis.summary import restarted
from deployments.analysis.verdict import Outcome, Verdict
from environments.policy import RuleKind, RuleSpec
from environments.sample import Sample

Judge = Callable[[RuleSpec, Watch, float], Verdict]
"""(rule, watch, alpha) -> verdict. ``alpha`` is the false-alarm probability that the rule may spend in a deployment."""

_WORST_FIRST = (Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA, Outcome.WARN, Outcome.PASS)
_EARLY_CLOCK_SECONDS = 1.0


def _each(judge: Callable[[RuleSpec, Watch, InstanceView], Verdict]) -> Judge:
    """Judge every instance by itself; the worst verdict stands for the slot, with the reasons of all that share it."""

    def judge_all(rule: RuleSpec, watch: Watch, alpha: float) -> Verdict:
        if not watch.instances:
            return verdict_of(rule, Outcome.NO_DATA, "no instance is sampled", hold="now")
        verdicts = [judge(rule, watch, view) for view in watch.instances]
        worst = min((verdict.verdict for verdict in verdicts), key=_WORST_FIRST.index)
        same = [verdict for verdict in verdicts if verdict.verdict is worst]
        values = [verdict.value for verdict in same if verdict.value is not None]
        faults = [verdict.fault_after for verdict in same if verdict.fault_after is not None]
        return replace(
            same[0],
            reason="; ".join(verdict.reason for verdict in same),
            value=max(values, default=None),
            fault_after=min(faults, default=None),
            hold=max((verdict.hold for verdict in same), key=("no", "later", "now").index),
        )

    return judge_all


def _availability(rule: RuleSpec, watch: Watch, view: InstanceView) -> Verdict:
    """Fails after ``confirmations`` probes in a row without an answer, warns from the first."""
    if watch.confirmations < 1:
        raise RuleProblem(f"confirmations must be at least 1, not {watch.confirmations}")
    row, limit = 0, float(watch.confirmations)
    for position, sample in enumerate(view.after):
        row = 0 if sample.ok else row + 1
        if row >= watch.confirmations:
            first = position - row + 1
            reason = (
                f"{view.name} did not answer {row} probes in a row from {clock(view.after[first].at)} ({sample.error})"
            )
            fault_after = view.clean_before(first, watch.promoted_at)
            return verdict_of(
                rule, Outcome.FAIL, reason, Figures(row, limit=limit, unit="probes"), fault_after=fault_after
            )
    gap = missing(watch, view.after, f"probe of {view.name}")
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], Figures(limit=limit, unit="probes"), hold=gap[1])
    if row:
        reason = (
            f"{view.name} did not answer the last probe ({view.after[-1].error}); {watch.confirmations} in a row fail"
        )
        fault_after = view.clean_before(len(view.after) - row, watch.promoted_at)
        return verdict_of(rule, Outcome.WARN, reason, Figures(row, limit=limit, unit="probes"), fault_after=fault_after)
    return verdict_of(rule, Outcome.PASS, f"{view.name} answers", Figures(0, limit=limit, unit="probes"))


def _first(view: InstanceView, wrong: Callable[[Sample], bool]) -> int | None:
    """Position in ``view.after`` of the first answer for which ``wrong`` is true."""
    return next((i for i, sample in enumerate(view.after) if sample.ok and wrong(sample)), None)


def _restart(rule: RuleSpec, watch: Watch, view: InstanceView) -> Verdict:
    """Fails when the process behind the answers changed after the promotion."""
    reference = view.anchor
    for position, sample in enumerate(view.after):
        if not sample.ok:
            continue
        if reference is not None and restarted(reference, sample) and not _started_before(reference, sample, watch):
            reason = f"{view.name} was restarted between {clock(reference.at)} and {clock(sample.at)}"
            fault_after = view.clean_before(position, watch.promoted_at)
            return verdict_of(rule, Outcome.FAIL, reason, Figures(1, limit=0, unit="restarts"), fault_after=fault_after)
        reference = sample
    gap = missing(watch, view.answers, f"answer of {view.name}")
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], Figures(limit=0, unit="restarts"), hold=gap[1])
    if view.answers[-1].started_at is None:
        reason = f"{view.name} does not report process_start_time_seconds"
        return verdict_of(rule, Outcome.NO_DATA, reason, Figures(limit=0, unit="restarts"), hold="later")
    return verdict_of(rule, Outcome.PASS, f"{view.name} was not restarted", Figures(0, limit=0, unit="restarts"))


def _started_before(reference: Sample, sample: Sample, watch: Watch) -> bool:
    """The last answer before the promotion may be of a process that the deployment itself replaced before promoting."""
    started = sample.started_at
    return (
        reference.at <= watch.promoted_at and started is not None and started < watch.promoted_at - _EARLY_CLOCK_SECONDS
    )


def _component(rule: RuleSpec, watch: Watch, view: InstanceView) -> Verdict:
    """Fails when any health check failed in any answer; warns when one warns in the last answer."""
    position = _first(view, lambda sample: any(part.status == "fail" for part in sample.components))
    if position is not None:
        sample = view.after[position]
        failed = [part for part in sample.components if part.status == "fail"]
        named = ", ".join(f"{part.name} ({part.detail})" if part.detail else part.name for part in failed)
        fault_after = view.clean_before(position, watch.promoted_at)
        return verdict_of(
            rule,
            Outcome.FAIL,
            f"{view.name}: {named} failed at {clock(sample.at)}",
            Figures(len(failed), limit=0, unit="components"),
            fault_after=fault_after,
        )
    gap = missing(watch, view.answers, f"answer of {view.name}")
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], Figures(limit=0, unit="components"), hold=gap[1])
    last = view.answers[-1]
    if not last.components:
        reason = f"{view.name} reports no health checks"
        return verdict_of(rule, Outcome.NO_DATA, reason, Figures(limit=0, unit="components"), hold="later")
    warned = [part.name for part in last.components if part.status == "warn"]
    if warned:
        reason = f"{view.name}: {', '.join(warned)} warns"
        return verdict_of(rule, Outcome.WARN, reason, Figures(0, limit=0, unit="components"))
    reason = f"{view.name}: {len(last.components)} of {len(last.components)} checks pass"
    return verdict_of(rule, Outcome.PASS, reason, Figures(0, limit=0, unit="components"))


def _position_mismatch(rule: RuleSpec, watch: Watch, view: InstanceView) -> Verdict:
    """Fails at the first answer with a position that differs from the exchange.

    In STANDBY an instance does not own the positions (it takes them over from the exchange when it becomes ACTIVE), so
    its book says nothing yet.
    """
    position = _first(view, lambda sample: bool(sample.mismatches) and sample.role != "STANDBY")
    if position is not None:
        sample = view.after[position]
        count = sample.mismatches or 0
        reason = (
            f"{view.name}: {count} position{'' if count == 1 else 's'} differ from the exchange at {clock(sample.at)}"
        )
        if count == 1:
            reason = reason.replace(" differ ", " differs ")
        fault_after = view.clean_before(position, watch.promoted_at)
        return verdict_of(
            rule, Outcome.FAIL, reason, Figures(count, limit=0, unit="positions"), fault_after=fault_after
        )
    gap = missing(watch, view.answers, f"answer of {view.name}")
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], Figures(limit=0, unit="positions"), hold=gap[1])
    last = view.answers[-1]
    if last.mismatches is None:
        reason = f"{view.name} does not report trading_position_mismatches"
        return verdict_of(rule, Outcome.NO_DATA, reason, Figures(limit=0, unit="positions"), hold="later")
    if last.role == "STANDBY":
        reason = f"{view.name} is in STANDBY and does not own the positions yet"
        return verdict_of(rule, Outcome.NO_DATA, reason, Figures(limit=0, unit="positions"), hold="later")
    return verdict_of(rule, Outcome.PASS, f"{view.name}: no position differs", Figures(0, limit=0, unit="positions"))


def _trading_halted(rule: RuleSpec, watch: Watch, view: InstanceView) -> Verdict:
    """Fails when trading stopped unasked: HALTED, an open breaker, or no longer ACTIVE after having been seen so."""
    active = False
    for position, sample in enumerate(view.after):
        if not sample.ok:
            continue
        active = active or sample.role == "ACTIVE"
        why = "its circuit breaker is open" if sample.breaker_open else ""
        if sample.role == "HALTED" or (active and sample.role in ("STANDBY", "REDUCING")):
            why = f"its role is {sample.role}" + (f" and {why}" if why else "")
        if why:
            reason = f"{view.name} stopped trading: {why} (seen {clock(sample.at)})"
            fault_after = view.clean_before(position, watch.promoted_at)
            return verdict_of(rule, Outcome.FAIL, reason, fault_after=fault_after)
    gap = missing(watch, view.answers, f"answer of {view.name}")
    if gap:
        return verdict_of(rule, Outcome.NO_DATA, gap[0], hold=gap[1])
    role = view.answers[-1].role
    if not active or not role:
        shown = f"is {role}, not yet seen ACTIVE since the promotion" if role else "does not report its role"
        return verdict_of(rule, Outcome.NO_DATA, f"{view.name} {shown}", hold="later")
    return verdict_of(rule, Outcome.PASS, f"{view.name} is {role}")


JUDGES: dict[RuleKind, Judge] = {
    RuleKind.ERROR_RATE: judge_error_rate,
    RuleKind.LATENCY: judge_latency,
    RuleKind.WIN_RATE: judge_win_rate,
    RuleKind.AVAILABILITY: _each(_availability),
    RuleKind.RESTART: _each(_restart),
    RuleKind.COMPONENT: _each(_component),
    RuleKind.POSITION_MISMATCH: _each(_position_mismatch),
    RuleKind.TRADING_HALTED: _each(_trading_halted),
}
