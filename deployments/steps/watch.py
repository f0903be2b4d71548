"""Steps after the shift: the monitored windows, and the check after a rollback."""

from __future__ import annotations

from datetime import timedelta

from deployments.clock import db_now
from deployments.models import VerdictRow
from deployments.states import Status
from deployments.steps.base import Context, Done, Outcome, StepCode, Wait
from deployments.steps.hand_over import stays_stopped
from deployments.steps.shift_traffic import note_traffic_back, set_and_read_back
from environments import adapters
from environments.target import TargetUnreachable

POLL_SECONDS = 0.5
FRESH = timedelta(seconds=5)


class Watch(StepCode):
    """The window after promotion. The guard judges meanwhile (deployments/guard.py); here its end is decided.

    The window does not end while a rollback is recommended and nobody decided, nor without data. The kill switch
    interrupts it; it begins anew when trading was resumed.
    """

    def prepare(self, ctx: Context) -> None:
        """The deployment is being watched."""
        if ctx.deployment.status == Status.RUNNING:
            ctx.deployment.status = Status.WATCHING

    def run(self, ctx: Context) -> Outcome:
        deployment, policy = ctx.deployment, ctx.policy
        if deployment.interrupted_at is not None:
            return Wait(POLL_SECONDS, "Trading is stopped by the kill switch; the watch begins anew when it resumes.")
        seconds = policy.watch_seconds if ctx.step.params["until"] == "watch" else policy.stable_seconds
        assert deployment.promoted_at is not None  # the shift comes before
        left = (deployment.promoted_at + timedelta(seconds=seconds) - ctx.now).total_seconds()
        if left > 0:
            return Wait(min(left + 0.02, POLL_SECONDS), "Watching.")
        return self._hold_back(ctx) or Done("Stable.")

    @staticmethod
    def _hold_back(ctx: Context) -> Wait | None:
        verdicts = list(VerdictRow.objects.filter(deployment=ctx.deployment, is_current=True))
        if not verdicts or max(verdict.at for verdict in verdicts) < ctx.now - FRESH:
            return Wait(POLL_SECONDS, "No data: the monitor has not judged for more than 5 s.")
        if ctx.deployment.accepted_at is not None:
            return None
        doubtful = [verdict.rule for verdict in verdicts if verdict.advises_rollback]
        blind = [verdict.rule for verdict in verdicts if verdict.hold != "no"]
        if doubtful:
            return Wait(POLL_SECONDS, f"Waiting for a decision: {', '.join(doubtful)}.")
        return Wait(POLL_SECONDS, f"Waiting for a decision, no data: {', '.join(blind)}.") if blind else None


class VerifyLive(StepCode):
    """After a rollback: the slot has the requests, the trading role, and is healthy."""

    deadline_seconds = 120.0

    def run(self, ctx: Context) -> Outcome:
        set_and_read_back(ctx)
        if stopped := stays_stopped(ctx):
            return Done(f"{ctx.slot().name} serves. {stopped}")
        for instance in ctx.instances():
            client = adapters.client(instance)
            role, health = client.state().role, client.health()
            if role != "ACTIVE" or health.status == "fail":
                raise TargetUnreachable(f"{instance} is {role} and its health is {health.status}")
        return Done(f"{ctx.slot().name} serves, trades and is healthy.")

    def commit(self, ctx: Context, done: Done) -> None:
        """The requests are back, also when the load balancer did not answer at first."""
        note_traffic_back(ctx.deployment, db_now())
