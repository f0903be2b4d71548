"""What a rule is judged on: the samples since the promotion, put in order once for all rules."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from deployments.analysis.summary import Growth, Summary, growths, total
from deployments.analysis.verdict import Hold, Outcome, Verdict
from environments.policy import RuleSpec
from environments.sample import Sample

STALE_SECONDS = 5.0
"""Without a reading newer than this there is no data."""
START_SECONDS = 0.5
"""A fault may begin at the promotion or at any multiple of this after it."""
_DENSE = 32


class RuleProblem(ValueError):
    """The rule cannot be judged although there is data: the rule is wrong, or the numbers cannot be."""


@dataclass(frozen=True)
class InstanceView:
    """The samples of one instance of the new live slot."""

    name: str
    anchor: Sample | None
    """Its last answer before the promotion: its counters count from there, its start time is compared with it."""
    after: Sequence[Sample]
    """Its samples after the promotion, oldest first."""

    @cached_property
    def answers(self) -> list[Sample]:
        """The samples after the promotion that had an answer."""
        return [sample for sample in self.after if sample.ok]

    def answers_at(self, moments: Sequence[float]) -> list[Sample]:
        """The last answer at or before each moment (rising), and the newest: counters tell what lies between."""
        known = [self.anchor, *self.answers] if self.anchor else self.answers
        times = [sample.at for sample in known]
        places = {bisect_right(times, moment) - 1 for moment in moments} | {len(known) - 1}
        places |= {0} if known else set()
        return [known[place] for place in sorted(places) if place >= 0]

    def clean_before(self, position: int, promoted_at: float) -> float:
        """Unix time of the last answer before ``after[position]``, from which the fault began later.

        The time at which that probe began, since the answer may have been given at any moment of it.
        """
        for sample in reversed(self.after[:position]):
            if sample.ok:
                return max(promoted_at, sample.at - sample.extra.get("probe_seconds", 0.0))
        return promoted_at


@dataclass(frozen=True)
class Watch:
    """Everything the judges look at. Times are unix seconds."""

    baseline: Summary | None
    instances: tuple[InstanceView, ...]
    promoted_at: float
    confirmations: int
    now: float

    @classmethod
    def of(
        cls,
        samples: Mapping[Any, Sequence[Sample]],
        *,
        baseline: Summary | None,
        promoted_at: float,
        confirmations: int,
        now: float,
    ) -> Watch:
        """Put the samples in order."""
        views = []
        for key, listed in samples.items():
            ordered = sorted(listed, key=lambda sample: sample.at)
            after = [sample for sample in ordered if sample.at > promoted_at]
            before = [sample for sample in ordered[: len(ordered) - len(after)] if sample.ok]
            views.append(InstanceView(str(key), before[-1] if before else None, after))
        return cls(baseline, tuple(views), promoted_at, confirmations, now)

    @cached_property
    def starts(self) -> list[int]:
        """The starting points that are tried, in units of ``START_SECONDS`` after the promotion."""
        last = max((view.after[-1].at for view in self.instances if view.after), default=self.promoted_at)
        return starting_points(math.floor((last - self.promoted_at) / START_SECONDS))

    @cached_property
    def growths(self) -> list[Growth]:
        """What all instances counted since the promotion, from starting point to starting point, oldest first."""
        moments = [self.promoted_at + start * START_SECONDS for start in self.starts]
        parts = [growth for view in self.instances for growth in growths(view.answers_at(moments))]
        return sorted(parts, key=lambda part: part.at)

    @cached_property
    def summary(self) -> Summary:
        """The sums over all instances since the promotion. Raises ``ValueError`` as ``summarise_many``."""
        listed = [sample for view in self.instances for sample in view.after]
        times = [sample.at for sample in listed]
        return total(
            self.growths,
            from_at=min(times, default=None),
            to_at=max(times, default=None),
            answered=sum(sample.ok for sample in listed),
            samples=len(listed),
        )


def starting_points(newest: int) -> list[int]:
    """Of the starting points 0 to ``newest`` those that are tried: all recent ones, ever fewer of the older ones.

    So a look costs the same after an hour as after a minute. Leaving some out only lowers the evidence.
    """
    kept, step = {0}, 1
    while True:
        first = max(0, newest - _DENSE * step)
        kept.update(range(first + -first % step, newest + 1, step))
        if first == 0:
            return sorted(kept)
        step *= 2


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a verdict; fields as in ``Verdict``."""

    value: float | None = None
    baseline: float | None = None
    limit: float | None = None
    unit: str = ""


NO_FIGURES = Figures()


def verdict_of(
    rule: RuleSpec,
    outcome: Outcome,
    reason: str,
    figures: Figures = NO_FIGURES,
    *,
    fault_after: float | None = None,
    supported: bool = False,
    hold: Hold = "no",
) -> Verdict:
    """A verdict on ``rule``; fields as in ``Verdict``. A rule that only informs about missing data asks for no hold."""
    return Verdict(
        rule=rule.name,
        kind=rule.kind,
        verdict=outcome,
        action=rule.action,
        value=figures.value,
        baseline=figures.baseline,
        limit=figures.limit,
        unit=figures.unit,
        reason=reason,
        fault_after=fault_after,
        supported=supported or outcome is Outcome.FAIL,
        hold="no" if rule.no_data == "inform" else hold,
    )


def missing(watch: Watch, samples: Sequence[Sample], what: str) -> tuple[str, Hold] | None:
    """Why ``samples`` (oldest first) are no data now, and whether that can wait; None when they are recent.

    ``what`` names them in the sentence, for example ``answer of production-green-1``.
    """
    if not samples:
        waiting = watch.now - watch.promoted_at
        return f"no {what} since the promotion ({waiting:.1f} s ago)", "later" if waiting <= STALE_SECONDS else "now"
    age = watch.now - samples[-1].at
    if age > STALE_SECONDS:
        return f"the last {what} is {age:.1f} s old", "now"
    return None


def clock(at: float) -> str:
    """``14:02:11.2 UTC`` of a unix time in seconds."""
    moment = datetime.fromtimestamp(at, tz=UTC)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000} UTC"
