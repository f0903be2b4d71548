"""Steps before the promotion: checks, the system's own smoke tests, and the gate."""

from __future__ import annotations

from deployments import gate, preflight, safety
from deployments.analysis import baseline
from deployments.steps.base import Context, Done, Failed, Outcome, StepCode, Wait
from environments import adapters

POLL_SECONDS = 0.5
FRESH_SECONDS = 5.0
MEASURED_SAMPLES = 2


class Preflight(StepCode):
    """The checks that can block a deployment, once more, now that it runs."""

    def run(self, ctx: Context) -> Outcome:
        found, allowed = ctx.deployment, gate.exceptions_of(ctx.deployment)
        results = preflight.check(ctx.environment, found.to_release, found.strategy, allowed)
        blocks = [result.detail for result in results if result.blocks]
        return Failed(" ".join(blocks)) if blocks else Done(f"{len(results)} checks passed.")


class SmokeTest(StepCode):
    """The trading system's own smoke tests, on every instance of the new slot."""

    def run(self, ctx: Context) -> Outcome:
        data: dict[str, list[dict[str, object]]] = {}
        for instance in ctx.instances():
            results = adapters.client(instance).smoke_test(timeout=ctx.policy.smoke_timeout_seconds)
            data[instance.name] = [
                {"name": r.name, "status": r.status, "detail": r.detail, "duration_ms": r.duration_ms} for r in results
            ]
        failing = [f"{r['name']}: {r['detail']}" for results in data.values() for r in results if r["status"] != "pass"]
        count = sum(len(results) for results in data.values())
        if failing:
            return Failed(f"{len(failing)} of {count} smoke tests failed: {'; '.join(failing)}", data)
        return Failed("the system ran no smoke test", data) if count == 0 else Done(f"{count} of {count} passed.", data)


class AwaitPromotion(StepCode):
    """The gate: by itself, or by a press of Promote. What the live slot did until now becomes the baseline.

    Nothing is promoted blindly: while the monitor does not see the live slot, the gate stays shut. So it does while
    trading is stopped, positions differ from the exchange (``deployments/safety.py``), or something came that the
    deployment gate asks for: a freeze, a report that failed (``deployments/gate.py``).
    """

    def run(self, ctx: Context) -> Outcome:
        pressed = ctx.deployment.promote_requested_at is not None
        if ctx.policy.promotion == "manual" and not pressed:
            return Wait(None, "Waiting for somebody to press Promote.")
        if against := safety.against_promotion(ctx.environment) or gate.against_promotion(ctx.deployment):
            return Wait(POLL_SECONDS, against)
        live = ctx.deployment.from_slot
        if live is None:
            return Done("The first deployment has no baseline.")
        measured = baseline.capture(live, ctx.now, ctx.policy.baseline_seconds)
        if measured["answered"] < MEASURED_SAMPLES or ctx.now.timestamp() - measured["to_at"] > FRESH_SECONDS:
            return Wait(POLL_SECONDS, f"No data: the monitor does not see {live.name}, so nothing could be compared.")
        who = "Somebody pressed Promote." if pressed else "The environment promotes by itself."
        return Done(f"{who} Baseline: {measured['requests']} requests of {live.name}.", {"baseline": measured})

    def commit(self, ctx: Context, done: Done) -> None:
        """Keep the baseline of the live slot."""
        ctx.deployment.baseline = done.data.get("baseline")
