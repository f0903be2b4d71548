"""Strategies plan; the engine carries out. A plan is a list of StepSpec: plain data, kept with the deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

CRITICAL, DEFAULT = "critical", "default"


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step to be: ``name`` finds its code in ``deployments/steps``, ``title`` is for people."""

    name: str
    title: str
    queue: str = DEFAULT
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What a strategy may know: names only."""

    live: str
    """Slot that serves now; empty when none does."""
    preview: str
    """Slot that gets the new release."""
    version: str
    warm: bool = False
    """Whether the target slot already runs the release in STANDBY (a rollback within the watch)."""
    watch_seconds: float = 300
    stable_seconds: float = 3600


class Strategy(Protocol):
    """A way to bring a release live."""

    name: str
    title: str

    def plan(self, given: PlanInput) -> list[StepSpec]:
        """The steps, in order."""
        ...

    def abort_plan(self, given: PlanInput) -> list[StepSpec]:
        """The steps that leave the live slot serving and remove the preview."""
        ...
