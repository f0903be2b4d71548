"""The page that starts a deployment: what would change, the steps it would take, and what blocks it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments import approvals, preflight, starting
from deployments.models import Deployment, Release
from deployments.preflight import CheckResult
from deployments.strategies import STRATEGIES, StepSpec
from environments.models import Environment, Slot
from environments.pages import seconds_in_words


@dataclass(frozen=True, slots=True)
class Preview:
    """What starting would do now."""

    environment: Environment
    release: Release
    live: Slot | None
    target: Slot
    from_release: Release | None
    steps: list[StepSpec]
    checks: list[CheckResult]
    blocking: Deployment | None
    """A deployment of the environment that is not finished."""
    promotion: str
    asks: bool
    """Another person must approve before it starts."""

    @property
    def blocks(self) -> list[CheckResult]:
        """Checks that block the start."""
        return [result for result in self.checks if not result.ok]

    @property
    def can_start(self) -> bool:
        """Whether nothing blocks it."""
        return not self.blocks and self.blocking is None

    @property
    def from_version(self) -> str:
        """What serves now, in a word."""
        return self.live.version if self.live else "nothing"

    @property
    def is_older(self) -> bool:
        """Whether the release is an earlier version than the live one."""
        return self.from_release is not None and self.release.sort_key < self.from_release.sort_key


def preview(environment: Environment, release: Release, strategy: str, asks: bool = False) -> Preview | None:
    """What a deployment would do now; None for an unknown strategy. Reads archive, load balancer and supervisor."""
    if strategy not in STRATEGIES:
        return None
    live, policy = environment.live_slot, environment.policy
    target = starting.target_slot(environment)
    promotion = (
        "Promotion follows the smoke tests by itself."
        if policy.promotion == "auto"
        else "It waits after the smoke tests until somebody presses Promote."
    )
    return Preview(
        environment=environment,
        release=release,
        live=live,
        target=target,
        from_release=preflight.live_release(environment),
        steps=approvals.plan_of(environment, release, strategy, target),
        checks=preflight.check(environment, release, strategy),
        blocking=starting.busy(environment),
        promotion=f"{promotion} The watch lasts {seconds_in_words(policy.watch_seconds)}.",
        asks=asks,
    )
