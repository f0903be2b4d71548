"""What a person is advised to do: the analysis' advice, and words for every state of which it says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments import queries, words
from deployments.models import Deployment, Step
from deployments.states import ACTIVE, Status, StepStatus


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommendation with its reasons."""

    verb: str
    """``roll_back``, ``hold``, ``promote``, ``resume``, ``monitor`` or ``none``."""
    title: str
    reasons: tuple[str, ...] = ()

    @property
    def tone(self) -> str:
        """``crit`` and ``warn`` ask for a decision about something abnormal."""
        return {"roll_back": "crit", "hold": "warn"}.get(self.verb, "plain")


def advice(deployment: Deployment, steps: Sequence[Step]) -> Advice:
    """The advice for a deployment whose steps and verdicts are loaded."""
    status = deployment.status
    if status == Status.AWAITING_APPROVAL:
        return Advice("none", "Another person decides", ("The request shows exactly what will happen.",))
    if status == Status.HELD:
        back = "roll it back" if deployment.handover_at else "abort it"
        return Advice("resume", f"Held: resume it, or {back}", _open_points(deployment))
    if status in ACTIVE and deployment.promoted_at is not None and not deployment.is_rollback:
        found = queries.recommendation(deployment)
        return Advice(found.verb, found.title, found.reasons)
    if status in (Status.PENDING, Status.RUNNING):
        return _before_promotion(deployment, steps)
    if status in (Status.FAILING, Status.ABORTING):
        return Advice("none", "No action needed: it ends by itself")
    if status in (Status.ROLLED_BACK, Status.FAILED):
        return Advice(
            "none", "Find out why before the next try", ("Fix it and register a new version; this one stays as it is.",)
        )
    return Advice("none", "No action needed")


def _before_promotion(deployment: Deployment, steps: Sequence[Step]) -> Advice:
    current = next((step for step in steps if step.status == StepStatus.RUNNING), None)
    waits = current is not None and current.name == "await_promotion" and not deployment.promote_requested_at
    if current is None or not waits:
        return Advice("none", "No action needed")
    done = tuple(f"{step.title}: {step.detail}" for step in steps if step.name == "smoke_test" and step.detail)
    return Advice("promote", f"Your decision: promote {deployment.to_release.version}, or abort", done)


def _open_points(deployment: Deployment) -> tuple[str, ...]:
    if deployment.promoted_at is None:
        return (f"{words.earlier(deployment)} serves; nothing moves meanwhile.",)
    return queries.recommendation(deployment).reasons or ("The watch goes on; hard rules still roll back.",)
