"""Blue/green: the new release starts beside the live one, is tested, and takes over in one shift."""

from __future__ import annotations

from deployments.strategies.base import CRITICAL, PlanInput, StepSpec


def words(seconds: float) -> str:
    """A duration for a title: ``20 s``, ``5 min``, ``1 h``."""
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


class BlueGreen:
    """Blue/green (specification, part 2, strategy 1)."""

    name = "blue_green"
    title = "Blue/green"

    def plan(self, given: PlanInput) -> list[StepSpec]:
        """Prepare, promote (hand over, shift, activate), watch, and bring the old slot to the new release."""
        new, old = given.preview, given.live
        prepare = [
            StepSpec("preflight", "Pre-checks"),
            StepSpec("start_slot", f"Start {new}", params={"slot": new}),
            StepSpec("wait_healthy", f"Wait until {new} is healthy", params={"slot": new}),
            StepSpec("smoke_test", "Smoke tests", params={"slot": new}),
            StepSpec("await_promotion", "Promote"),
        ]
        promote = [
            StepSpec("hand_over", "Hand over trading", CRITICAL, {"from": old, "to": new}),
            StepSpec("shift_traffic", "Shift traffic", CRITICAL, {"to": new}),
            StepSpec("activate", f"Trading on {new}", CRITICAL, {"slot": new, "fence": old}),
        ]
        if not old:  # the first deployment: nothing to watch against, nothing to go back to
            return prepare + promote
        spare = {"slot": old, "role": "standby", "on_failure": "continue"}
        return [
            *prepare,
            *promote,
            StepSpec("watch", f"Watch {words(given.watch_seconds)}", params={"until": "watch"}),
            StepSpec("watch", f"Stable {words(given.stable_seconds)}", params={"until": "stable"}),
            StepSpec("start_slot", f"Update {old}", params=spare),
            StepSpec("wait_healthy", f"{old.capitalize()} in standby", params=spare),
        ]

    def abort_plan(self, given: PlanInput) -> list[StepSpec]:
        """The live slot keeps traffic and role; the preview slot stops."""
        restore = (
            [StepSpec("restore_live", "Live slot confirmed", CRITICAL, {"slot": given.live})] if given.live else []
        )
        return [*restore, StepSpec("stop_slot", f"Stop {given.preview}", params={"slot": given.preview})]


GO_ON = {"deadline": 2, "on_failure": "continue"}
"""A load balancer that does not answer must not keep the bad slot trading: the shift is made up for at the end."""


class Rollback:
    """Back to the earlier release: warm within the watch (traffic first, then the role), else started again."""

    name = "rollback"
    title = "Roll back"

    def plan(self, given: PlanInput) -> list[StepSpec]:
        """Traffic goes first: it takes a millisecond, and needs nothing of the bad slot."""
        good, bad = given.preview, given.live
        start = (
            []
            if given.warm
            else [
                StepSpec("start_slot", f"Start {good}", CRITICAL, {"slot": good}),
                StepSpec("wait_healthy", f"Wait until {good} is healthy", CRITICAL, {"slot": good}),
            ]
        )
        return [
            *start,
            StepSpec("shift_traffic", "Shift traffic back", CRITICAL, {"to": good, **GO_ON}),
            StepSpec("hand_over", "Stop trading on " + bad, CRITICAL, {"from": bad, "to": good, "force": True}),
            StepSpec("activate", f"Trading on {good}", CRITICAL, {"slot": good, "fence": bad}),
            StepSpec("verify_live", f"Verify {good}", params={"slot": good}),
            StepSpec("stop_slot", f"Stop {bad}", params={"slot": bad}),
        ]

    def abort_plan(self, given: PlanInput) -> list[StepSpec]:
        """A rollback is not aborted."""
        return []
