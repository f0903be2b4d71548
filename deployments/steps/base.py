"""What a step is: it ensures one thing in the outside world, reads it back, and says how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deployments.lease import LeaseLost
from deployments.models import Deployment, Step
from deployments.states import Status
from environments.models import Environment, Instance, Slot
from environments.policy import Policy


@dataclass(frozen=True, slots=True)
class Done:
    """The step's aim is reached and was read back."""

    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: look again after ``seconds``; None waits for somebody to act."""

    seconds: float | None
    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The step cannot reach its aim."""

    reason: str
    data: dict[str, Any] = field(default_factory=dict)


Outcome = Done | Wait | Failed


@dataclass(slots=True)
class Context:
    """What a step works with. ``now`` is the database's time when this look at the step began."""

    deployment: Deployment
    step: Step
    epoch: int
    now: datetime
    defect: str = ""
    """Why the step must not, or could not even be prepared; it fails then, and is not run."""

    def confirm_lease(self) -> None:
        """To be called right before an effect that nothing outside fences: starting and stopping processes.

        Raises:
            LeaseLost: somebody else took the deployment over while this worker slept.
        """
        if not Deployment.objects.filter(pk=self.deployment.pk, lease_epoch=self.epoch).exists():
            raise LeaseLost(f"deployment {self.deployment.pk}: epoch {self.epoch} is no longer the newest")

    @property
    def environment(self) -> Environment:
        """The environment of the deployment."""
        return self.deployment.environment

    @property
    def returns(self) -> bool:
        """Whether it leads back to what ran before: a rollback or an abort, which nothing forbids."""
        return self.deployment.is_rollback or self.deployment.status == Status.ABORTING

    @property
    def policy(self) -> Policy:
        """The environment's policy as it was when the deployment was started."""
        return Policy.model_validate(self.deployment.policy_data)

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return (self.now - self.step.started_at).total_seconds() if self.step.started_at else 0.0

    def slot(self, parameter: str = "slot") -> Slot:
        """The slot that a parameter of the step names."""
        return self.environment.slots.get(name=self.step.params[parameter])

    def instances(self, parameter: str = "slot") -> list[Instance]:
        """The instances of that slot; none when the parameter is empty."""
        if not self.step.params.get(parameter):
            return []
        return list(self.slot(parameter).instances.all())


class StepCode:
    """Base of the steps. ``run`` works outside transactions and may be run again at any time."""

    deadline_seconds = 30.0
    """How long passing trouble (something does not answer) is tried again before the step fails."""
    is_promotion = False
    """Whether the kill switch forbids it in a deployment that is no rollback."""

    def prepare(self, ctx: Context) -> None:
        """Commit what is about to be wanted, with its audit record, before the outside effect."""

    def run(self, ctx: Context) -> Outcome:
        """Read the world, change what differs, read back."""
        raise TypeError(f"{type(self).__name__} has no run()")

    def commit(self, ctx: Context, done: Done) -> None:
        """Record facts that follow from the outcome, in the transaction that records it."""
