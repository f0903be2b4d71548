"""How deployments are put into words: titles, results, effects of an act. Plain text from rows, no queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deployments.models import Deployment, Step
from deployments.states import Status, StepStatus


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a deployment, or what it is about now: the first thing to read."""

    title: str
    detail: str
    tone: str
    """``normal``, ``info``, ``warn`` or ``crit``: colour only where something is abnormal or asks for a decision."""
    at: datetime | None = None
    """Moment that the title ends with, drawn as a time after it."""


def title(deployment: Deployment) -> str:
    """``Deploy 42: v1.2.4 to v1.2.5, production``."""
    verb = "Roll back" if deployment.is_rollback else "Deploy"
    return f"{verb} {deployment.pk}: {versions(deployment)}, {deployment.environment.name}"


def versions(deployment: Deployment) -> str:
    """``v1.2.4 to v1.2.5``, or ``v1.2.5`` for the first release of an environment."""
    new = deployment.to_release.version
    return f"{deployment.from_release.version} to {new}" if deployment.from_release else new


def earlier(deployment: Deployment) -> str:
    """The release that a rollback leads to."""
    return deployment.from_release.version if deployment.from_release else "nothing"


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from one moment to another; None unless both are known."""
    return (end - start).total_seconds() if start and end else None


def short(duration: float) -> str:
    """A duration in words: ``0.9 s``, ``42 s``, ``14m 03s``, ``2h 05m``."""
    if duration < 10:
        return f"{duration:.1f} s"
    if duration < 60:
        return f"{duration:.0f} s"
    minutes, rest = divmod(int(duration), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def failed_step(steps: Sequence[Step]) -> Step | None:
    """The last step that failed."""
    return next((step for step in reversed(steps) if step.status == StepStatus.FAILED), None)


def result(deployment: Deployment, steps: Sequence[Step]) -> Result:
    """The sentence on top of the page."""
    return _RESULTS.get(Status(deployment.status), _under_way)(deployment, steps)


def _under_way(deployment: Deployment, steps: Sequence[Step]) -> Result:
    current = next((step for step in steps if step.status == StepStatus.RUNNING), None)
    serving = earlier(deployment) if not deployment.promoted_at else deployment.to_release.version
    what = current.title if current else "Waiting for the next step"
    detail = f"{current.detail} " if current and current.detail else ""
    return Result(what, f"{detail}{serving} serves.", "normal")


def _awaiting(deployment: Deployment, steps: Sequence[Step]) -> Result:
    who = deployment.requested_by_name
    detail = f"{who} asked for it. Nothing starts until another person approves. {earlier(deployment)} serves."
    return Result("Waits for approval since", detail, "info", deployment.created_at)


def _held(deployment: Deployment, steps: Sequence[Step]) -> Result:
    serving = deployment.to_release.version if deployment.promoted_at else earlier(deployment)
    return Result("Held", f"Nothing moves until somebody resumes. {serving} serves.", "info", deployment.held_at)


def _watching(deployment: Deployment, steps: Sequence[Step]) -> Result:
    detail = f"{deployment.to_release.version} serves and is being watched; {earlier(deployment)} stays warm."
    return Result("Live since", detail, "normal", deployment.promoted_at)


def _succeeded(deployment: Deployment, steps: Sequence[Step]) -> Result:
    version = deployment.to_release.version
    since = deployment.promoted_at or deployment.finished_at
    if deployment.is_rollback:
        return Result(f"Back on {version} since", deployment.reason, "normal", since)
    return Result("Live since", f"{version} is marked successful.", "normal", since)


def back_seconds(deployment: Deployment) -> tuple[float | None, str]:
    """How long the way back took and from where it is counted; (None, "") while traffic is not back."""
    if deployment.fault_after and deployment.traffic_back_at:
        return seconds(deployment.fault_after, deployment.traffic_back_at), "from fault to traffic back"
    reverting = getattr(deployment, "reverted_by", None)
    if reverting and reverting.promoted_at:
        return seconds(reverting.created_at, reverting.promoted_at), "from decision to traffic back"
    return None, ""


def _rolled_back(deployment: Deployment, steps: Sequence[Step]) -> Result:
    took, counted = back_seconds(deployment)
    head = f"Rolled back in {short(took)}" if took is not None else "Rolled back"
    why = deployment.failure_reason or "no reason was recorded"
    tail = f" The time is counted {counted}." if counted else ""
    return Result(f"{head}: {why}", f"{earlier(deployment)} serves again.{tail}", "warn")


def _failing(deployment: Deployment, steps: Sequence[Step]) -> Result:
    return Result(f"Rolling back to {earlier(deployment)}", deployment.failure_reason, "crit")


def _failed(deployment: Deployment, steps: Sequence[Step]) -> Result:
    served = (
        "" if deployment.promoted_at else f"{earlier(deployment)} kept serving; no request went to the new version."
    )
    return Result(_failure(deployment, steps), served, "crit")


def _failure(deployment: Deployment, steps: Sequence[Step]) -> str:
    """``Failed at “Smoke tests”: 1 of 6 …``."""
    step = failed_step(steps)
    why = deployment.failure_reason or (step.detail if step else "")
    if step is None:
        return f"Failed: {why}" if why else "Failed"
    return f"Failed at “{step.title}”: {why.removeprefix(f'{step.title}: ')}"


def _aborting(deployment: Deployment, steps: Sequence[Step]) -> Result:
    detail = f"{earlier(deployment)} keeps serving; the new slot is being removed."
    if deployment.failure_reason:
        return Result(_failure(deployment, steps), detail, "crit")
    return Result("Aborting", detail, "warn")


def _aborted(deployment: Deployment, steps: Sequence[Step]) -> Result:
    if deployment.never_began:
        return Result("Not started", f"{deployment.failure_reason} Nothing was changed.", "normal")
    why = f" Reason: {deployment.failure_reason}" if deployment.failure_reason else ""
    return Result(
        "Aborted before promotion", f"{earlier(deployment)} kept serving.{why}", "normal", deployment.finished_at
    )


_RESULTS = {
    Status.AWAITING_APPROVAL: _awaiting,
    Status.HELD: _held,
    Status.WATCHING: _watching,
    Status.SUCCEEDED: _succeeded,
    Status.ROLLED_BACK: _rolled_back,
    Status.FAILING: _failing,
    Status.FAILED: _failed,
    Status.ABORTING: _aborting,
    Status.ABORTED: _aborted,
}


def held(count: int | None, noun: str) -> str:
    """``3 open positions``; says so when the number is not known."""
    if count is None:
        return f"unknown number of {noun}s"
    return f"{count} {noun}" + ("" if count == 1 else "s")


def effects(deployment: Deployment, act: str, open_positions: int | None, open_orders: int | None) -> list[str]:
    """What an act will do, one sentence each, with the names and live counts it concerns."""
    old, new = earlier(deployment), deployment.to_release.version
    from_slot = deployment.from_slot.name if deployment.from_slot else ""
    to_slot = deployment.to_slot.name
    carried = f"{held(open_positions, 'open position')} and {held(open_orders, 'open order')}"
    if deployment.from_slot is None:
        return _first_effects(deployment, act)
    if act == "promote" and deployment.promoted_at:
        return [
            f"{new} on {to_slot} is kept despite the recommendation.",
            "The watch goes on; a hard rule still rolls back.",
        ]
    if act == "promote":
        return [
            f"{from_slot} ({old}) stops trading; {to_slot} ({new}) takes over {carried} from the exchange.",
            f"All new requests go to {to_slot}. {from_slot} stays warm, one click from rollback.",
        ]
    if act == "abort":
        return [
            f"{to_slot} ({new}) is stopped. It never got traffic.",
            f"{from_slot} ({old}) keeps all requests and goes on trading with {carried}.",
        ]
    if act == "rollback":
        return [
            f"All new requests go from {to_slot} ({new}) back to {from_slot} ({old}).",
            f"{to_slot} stops trading; {from_slot} takes over {carried} from the exchange.",
            f"{to_slot} is stopped after {from_slot} is verified. This deployment ends as rolled back.",
        ]
    if act == "hold":
        return ["The current step ends safely, then nothing moves until somebody resumes. Hard rules still roll back."]
    return ["The deployment goes on where it was held."]


def _first_effects(deployment: Deployment, act: str) -> list[str]:
    """The same for the first deployment of an environment: there is nothing to stop and nothing to go back to."""
    place = f"{deployment.to_slot.name} ({deployment.to_release.version})"
    return {
        "promote": [
            f"All requests go to {place}, and it begins to trade.",
            "There is no earlier release to go back to.",
        ],
        "abort": [f"{place} is stopped. Nothing serves, as before."],
        "hold": ["The current step ends safely, then nothing moves until somebody resumes."],
    }.get(act, ["The deployment goes on where it was held."])
