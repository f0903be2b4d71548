"""A verdict on one rule, and the advice that follows from all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from environments.policy import RuleKind

Hold = Literal["no", "later", "now"]


class Outcome(StrEnum):
    """What a rule found. ``no_data`` is never a pass; ``error``: it could not be judged, though there was data."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of the new live slot since the promotion."""

    rule: str
    """Name of the rule."""
    kind: RuleKind
    verdict: Outcome
    action: Literal["rollback", "recommend"]
    """What a failure leads to."""
    value: float | None
    """What was measured, in ``unit``; None without a number."""
    baseline: float | None
    """The same of the baseline."""
    limit: float | None
    """Fails beyond this."""
    unit: str
    """``share`` (0 to 1), ``ms``, ``positions``, ``probes``, ``restarts``, ``components``, or empty."""
    reason: str
    """One sentence for a person: what was seen, where, and against which limit."""
    fault_after: float | None = None
    """Unix time at which the fault was not yet seen, so that it began after it; None when nothing is wrong."""
    supported: bool = False
    """The finding has the stated certainty: always so for a failure; a warning may rest on few numbers."""
    hold: Hold = "no"
    """What missing data asks for: hold at once (``now``), or if it is still so at the end of the window (``later``)."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the operator is advised to do."""

    verb: Literal["roll_back", "hold", "monitor", "none"]
    title: str
    reasons: tuple[str, ...] = ()


def recommend(verdicts: Sequence[Verdict], *, seconds_left: float | None, phase: str) -> Recommendation:
    """The advice that follows from the verdicts.

    ``seconds_left`` is the rest of the current window, None when none is running. ``phase`` is ``watch`` (monitored
    window after the promotion), ``stable`` (waiting to be marked successful) or ``done``; in ``done`` a finding is
    still told, because rolling back is still possible. Raises ``ValueError`` for another phase.

    A failure advises rolling back. So does a certain warning of a rule that leaves the decision to the operator
    (specification, part 7: manual rollback from 3 x latency and from 15 % fewer wins), in weaker words.
    """
    if phase not in ("watch", "stable", "done"):
        raise ValueError(f"phase must be watch, stable or done, not {phase!r}")
    failed = [verdict for verdict in verdicts if verdict.verdict is Outcome.FAIL]
    if failed:
        return Recommendation("roll_back", "Recommended: roll back", _reasons(failed))
    doubtful = [v for v in verdicts if v.verdict is Outcome.WARN and v.supported and v.action == "recommend"]
    if doubtful:
        return Recommendation("roll_back", "Recommended: consider rolling back", _reasons(doubtful))
    running = seconds_left is not None and seconds_left > 0
    holding = [v for v in verdicts if v.hold == "now" or (v.hold == "later" and not running)]
    if holding and phase != "done":
        broken = any(verdict.verdict is Outcome.ERROR for verdict in holding)
        why = "a rule could not be judged" if broken else "no data"
        return Recommendation("hold", f"Recommended: hold ({why})", _reasons(holding))
    open_points = [v for v in verdicts if v.verdict in (Outcome.WARN, Outcome.NO_DATA, Outcome.ERROR)]
    if running and seconds_left is not None:
        return Recommendation("monitor", f"Monitor for {_more(seconds_left)}", _reasons(open_points))
    return Recommendation("none", "No action needed", _reasons(open_points))


def _reasons(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    return tuple(f"{verdict.rule}: {verdict.reason}" for verdict in verdicts)


def _more(seconds: float) -> str:
    if seconds < 90:
        count, unit = math.ceil(seconds), "second"
    elif seconds < 90 * 60:
        count, unit = math.ceil(seconds / 60), "minute"
    else:
        count, unit = math.ceil(seconds / 3600), "hour"
    return f"{count} more {unit}{'' if count == 1 else 's'}"
