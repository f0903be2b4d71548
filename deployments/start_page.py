"""The page that starts a deployment: what would change, the steps it would take, and what blocks it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments import preflight
from deployments.models import Deployment, Release
from deployments.preflight import CheckResult
from deployments.states import UNFINISHED
from deployments.strategies import STRATEGIES, PlanInput, StepSpec
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


def preview(environment: Environment, release: Release, strategy: str) -> Preview | None:
    """What a deployment would do now; None for an unknown strategy. Reads archive, load balancer and supervisor."""
    if strategy not in STRATEGIES:
        return None
    live = environment.live_slot
    slots = list(environment.slots.all())
    target = next(slot for slot in slots if live is None or slot.pk != live.pk)
    policy = environment.policy
    given = PlanInput(
        live=live.name if live else "",
        preview=target.name,
        version=release.version,
        watch_seconds=policy.watch_seconds,
        stable_seconds=policy.stable_seconds,
    )
    unfinished = Deployment.objects.filter(environment=environment, status__in=UNFINISHED)
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
        steps=STRATEGIES[strategy].plan(given),
        checks=preflight.check(environment, release, strategy),
        blocking=unfinished.select_related("to_release").order_by("-id").first(),
        promotion=f"{promotion} The watch lasts {seconds_in_words(policy.watch_seconds)}.",
    )
