"""What may be done with a deployment now, what is advised, and what happens next by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.roles import DEPLOY
from audit.actors import Actor
from deployments.analysis.verdict import Outcome, Recommendation, Verdict, recommend
from deployments.models import Deployment, VerdictRow
from deployments.states import ACTIVE, UNFINISHED, Status, StepStatus
from environments.permissions import allowed
from environments.policy import Policy, RuleKind

BEFORE = (Status.PENDING, Status.RUNNING)
ACTS = ("promote", "hold", "resume", "abort", "roll_back")


@dataclass(frozen=True, slots=True)
class Act:
    """Whether an act is possible, and if not, why."""

    allowed: bool
    why_not: str = ""


def allowed_acts(actor: Actor, deployment: Deployment) -> dict[str, Act]:
    """Every act by name. Without the permission none is possible; the state decides the rest, as in ``actions.py``."""
    if not allowed(actor, DEPLOY, deployment.environment):
        return {name: Act(False, "You may not deploy to this environment.") for name in ACTS}
    return {name: Act(not why, why) for name in ACTS for why in [_why_not(name, deployment)]}


def _why_not(name: str, deployment: Deployment) -> str:
    status, handed_over, rollback = deployment.status, deployment.handover_at is not None, deployment.is_rollback
    promoted = deployment.promoted_at is not None
    if status == Status.AWAITING_APPROVAL:
        return "It waits for approval."
    if name == "promote":
        if status == Status.WATCHING:
            kept = deployment.accepted_at is not None
            return "The new version is kept already." if kept else ""
        return "" if status in BEFORE and not handed_over else "There is nothing to promote."
    if name == "resume":
        return "" if status == Status.HELD else "It is not held."
    if rollback:
        return "A rollback runs to its end."
    if name == "hold":
        possible = status == Status.WATCHING or (status in BEFORE and not handed_over)
        return "" if possible else "It cannot be held now."
    if name == "abort":
        if handed_over and status in ACTIVE:
            return "The hand-over has begun: roll back instead."
        return "" if status in (*BEFORE, Status.HELD) else "It is not running any more."
    if not handed_over:
        return "Nothing was promoted: abort instead." if status in ACTIVE else "Nothing was promoted."
    if deployment.from_release_id is None:
        return "There is no earlier release."
    possible = status in (Status.RUNNING, Status.HELD, Status.WATCHING, Status.SUCCEEDED)
    if not possible or (promoted and deployment.environment.live_slot_id != deployment.to_slot_id):
        return "It is not live any more."
    return "A later deployment is live; roll that one back." if _is_superseded(deployment) else ""


def _is_superseded(deployment: Deployment) -> bool:
    """Whether a later deployment is under way, or was promoted and not taken back."""
    newer = Deployment.objects.filter(environment=deployment.environment_id, pk__gt=deployment.pk)
    promoted = Q(promoted_at__isnull=False, reverts=None) & ~Q(status=Status.ROLLED_BACK)
    return deployment.is_finished and newer.filter(Q(status__in=UNFINISHED) | promoted).exists()


def recommendation(deployment: Deployment) -> Recommendation:
    """The advice that follows from the current verdicts and the running window."""
    if deployment.status not in ACTIVE or deployment.promoted_at is None or deployment.is_rollback:
        return Recommendation("none", "No action needed")
    window = next_event(deployment)
    left = None if window is None else (window[1] - timezone.now()).total_seconds()
    verdicts = [as_verdict(row) for row in deployment.verdicts.all() if row.is_current]
    advice = recommend(verdicts, seconds_left=left, phase=_phase(deployment))
    if advice.verb == "roll_back" and deployment.accepted_at is not None:
        return Recommendation("monitor", "Kept despite a recommendation", advice.reasons)
    return advice


def next_event(deployment: Deployment) -> tuple[str, datetime] | None:
    """What happens next by itself, and when; None when nothing does, or nobody knows when."""
    if deployment.status != Status.WATCHING or deployment.promoted_at is None:
        return None
    policy = Policy.model_validate(deployment.policy_data)
    if _phase(deployment) == "watch":
        return "The watch ends", deployment.promoted_at + timedelta(seconds=policy.watch_seconds)
    return "Marked as successful", deployment.promoted_at + timedelta(seconds=policy.stable_seconds)


def as_verdict(row: VerdictRow) -> Verdict:
    """A kept verdict as the analysis gave it."""
    return Verdict(
        rule=row.rule,
        kind=RuleKind(row.kind),
        verdict=Outcome(row.verdict),
        action="rollback" if row.action == "rollback" else "recommend",
        value=row.value,
        baseline=row.baseline,
        limit=row.limit,
        unit=row.unit,
        reason=row.reason,
        supported=row.supported,
        hold="now" if row.hold == "now" else "later" if row.hold == "later" else "no",
    )


def _phase(deployment: Deployment) -> str:
    open_steps = (StepStatus.RUNNING, StepStatus.PENDING)
    windows = [step for step in deployment.steps.all() if step.name == "watch" and step.status in open_steps]
    return str(windows[0].params["until"]) if windows else "done"
