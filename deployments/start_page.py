"""The page that starts a deployment: what would change, the steps it would take, and what blocks it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments import approvals, gate, preflight, starting
from deployments.checks import CheckResult
from deployments.models import Deployment, Freeze, Release
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
    """Those that no policy switches off."""
    gate: list[CheckResult]
    """Those of the deployment gate, what blocks first."""
    gated: bool
    """Whether the environment asks the gate; a freeze counts all the same."""
    freezes: list[Freeze]
    large: bool
    """The change is a large one, which asks for a reason."""
    may_override: bool
    """Who looks may override what the gate asks for."""
    blocking: Deployment | None
    """A deployment of the environment that is not finished."""
    promotion: str
    asks: bool
    """Another person must approve before it starts."""

    @property
    def blocks(self) -> list[CheckResult]:
        """Checks that block the start."""
        return [result for result in (*self.checks, *self.gate) if result.blocks]

    @property
    def gate_blocks(self) -> list[CheckResult]:
        """Checks of the gate that block the start."""
        return [result for result in self.gate if result.blocks]

    @property
    def own_blocks(self) -> list[CheckResult]:
        """Checks that block the start and that nobody overrides."""
        return [result for result in self.checks if result.blocks]

    @property
    def missing(self) -> list[CheckResult]:
        """What blocks and cannot be met on the form: by a reason for the size, or by an override."""
        met = "change_size" if self.large else ""
        return [one for one in self.blocks if one.name != met and not (one.overridable and self.may_override)]

    @property
    def overridable(self) -> list[CheckResult]:
        """What an override would let pass."""
        return [one for one in self.gate_blocks if one.overridable]

    @property
    def asks_override(self) -> bool:
        """Whether only an override is missing, which who looks may give."""
        return bool(self.overridable) and self.can_start

    @property
    def can_start(self) -> bool:
        """Whether nothing blocks it that the form cannot meet."""
        return not self.missing and self.blocking is None

    @property
    def from_version(self) -> str:
        """What serves now, in a word."""
        return self.live.version if self.live else "nothing"

    @property
    def is_older(self) -> bool:
        """Whether the release is an earlier version than the live one."""
        return self.from_release is not None and self.release.sort_key < self.from_release.sort_key


def preview(
    environment: Environment, release: Release, strategy: str, *, asks: bool = False, may_override: bool = False
) -> Preview | None:
    """What a deployment would do now; None for an unknown strategy. Reads archive, load balancer and supervisor."""
    if strategy not in STRATEGIES:
        return None
    found = gate.asked(environment, release)
    size = next((one for one in found if one.name == "change_size"), None)
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
        checks=preflight.own(environment, release, strategy),
        gate=sorted(found, key=lambda one: not one.blocks),
        gated=environment.is_gated,
        freezes=gate.freezes_in_force(environment),
        large=size is not None and not size.ok,
        may_override=may_override,
        blocking=starting.busy(environment),
        promotion=f"{promotion} The watch lasts {seconds_in_words(policy.watch_seconds)}.",
        asks=asks,
    )
