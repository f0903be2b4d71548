"""Steps that move requests. The load balancer refuses whoever lost the lease (environments/traffic/fence.lua)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from audit.actions import record
from audit.actors import system
from audit.models import Outcome as AuditOutcome
from deployments import failpoints
from deployments.clock import db_now
from deployments.models import Deployment
from deployments.steps.base import Context, Done, Outcome, StepCode
from deployments.steps.hand_over import stays_stopped, still_trading
from environments import adapters
from environments.models import Slot
from environments.target import TargetUnreachable

FULL = 100


def want_all_traffic_on(ctx: Context, slot: Slot) -> None:
    """Commit the decision: every new request to one slot, under our epoch."""
    environment = ctx.environment
    weights = {other.name: FULL if other.pk == slot.pk else 0 for other in environment.slots.all()}
    if (environment.desired_weights, environment.traffic_epoch) == (weights, ctx.epoch):
        return
    before = {"weights": environment.desired_weights, "epoch": environment.traffic_epoch}
    environment.desired_weights, environment.traffic_epoch, environment.live_slot = weights, ctx.epoch, slot
    environment.save(update_fields=["desired_weights", "traffic_epoch", "live_slot"])
    record(
        system("engine"),
        "traffic.shift",
        ctx.deployment,
        environment=environment.name,
        outcome=AuditOutcome.INTENT,
        before=before,
        after={"weights": weights, "epoch": ctx.epoch},
    )


def set_and_read_back(ctx: Context) -> dict[str, int]:
    """Bring the load balancer to the desired weights; what it then answers. Raises the errors of traffic/base.py."""
    wanted = adapters.server_weights(ctx.environment, ctx.environment.desired_weights)
    return adapters.router(ctx.environment).shift(wanted, ctx.environment.traffic_epoch).weights


def in_words(weights: Mapping[str, int]) -> str:
    """Weights for a person, the serving ones first: ``production-green-1 100, production-blue-1 0``."""
    return ", ".join(
        f"{name} {weight}" for name, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    )


def note_traffic_back(deployment: Deployment, now: datetime) -> None:
    """In a rollback: the requests are back since now, unless they were before."""
    if deployment.reverts is not None and deployment.traffic_back_at is None:
        deployment.traffic_back_at = deployment.reverts.traffic_back_at = now
        deployment.reverts.save(update_fields=["traffic_back_at"])


class ShiftTraffic(StepCode):
    """Every new request goes to one slot."""

    deadline_seconds = 120.0
    is_promotion = True

    def prepare(self, ctx: Context) -> None:
        """The new desired state, with the roles of the slots that follow from it."""
        slot = ctx.slot("to")
        want_all_traffic_on(ctx, slot)
        slot.role = Slot.Role.LIVE
        slot.save()
        ctx.environment.slots.exclude(pk=slot.pk).exclude(role=Slot.Role.STOPPED).update(role=Slot.Role.STANDBY)
        if ctx.deployment.handover_at is None:
            ctx.deployment.handover_at = ctx.now

    def run(self, ctx: Context) -> Outcome:
        weights = set_and_read_back(ctx)
        failpoints.reach("between-shift-and-commit")
        return Done(f"The load balancer answers {in_words(weights)} under epoch {ctx.epoch}.", {"weights": weights})

    def commit(self, ctx: Context, done: Done) -> None:
        """All new requests are on the slot since now: the moment of promotion, or of the traffic's return."""
        now, deployment = db_now(), ctx.deployment
        decided = deployment.created_at if deployment.is_rollback else ctx.step.started_at
        deployment.promoted_at = now
        deployment.shift_ms = (now - decided).total_seconds() * 1000 if decided else None
        note_traffic_back(deployment, now)
        record(
            system("engine"),
            "traffic.shift",
            deployment,
            environment=ctx.environment.name,
            outcome=AuditOutcome.DONE,
            after={**done.data, "epoch": ctx.epoch},
        )


class RestoreLive(StepCode):
    """After an abort: the live slot has all traffic and the trading role, under an epoch that ends older claims."""

    deadline_seconds = 120.0

    def prepare(self, ctx: Context) -> None:
        """The live slot stays what is wanted, under our epoch."""
        slot = ctx.slot()
        want_all_traffic_on(ctx, slot)
        if ctx.environment.writer_slot_id in (None, slot.pk):
            self.commit(ctx, Done())

    def run(self, ctx: Context) -> Outcome:
        weights = set_and_read_back(ctx)
        writer = ctx.environment.writer_slot
        if writer is not None and writer.pk != ctx.slot().pk:  # a rollback failed before: it may still trade
            for instance in writer.instances.all():
                if trouble := still_trading(ctx, instance):
                    raise TargetUnreachable(trouble)
        if stopped := stays_stopped(ctx):
            return Done(f"The load balancer answers {in_words(weights)}. {stopped}")
        for instance in ctx.instances():
            adapters.client(instance).set_role("ACTIVE", ctx.epoch, actor="engine", reason="abort")
        return Done(f"The load balancer answers {in_words(weights)}; {ctx.slot().name} trades.")

    def commit(self, ctx: Context, done: Done) -> None:
        """The live slot is the one that is to trade."""
        ctx.environment.writer_slot, ctx.environment.writer_epoch = ctx.slot(), ctx.epoch
        ctx.environment.save(update_fields=["writer_slot", "writer_epoch"])
