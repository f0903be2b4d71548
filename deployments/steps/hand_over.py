"""Steps that hand over the trading role, so that never two slots trade.

A slot becomes ACTIVE only after every instance of the other was read back as STANDBY, or its process as gone.
"""

from __future__ import annotations

from audit.actions import record
from audit.actors import system
from deployments import safety
from deployments.clock import db_now
from deployments.steps.base import Context, Done, Failed, Outcome, StepCode
from environments import adapters
from environments.drivers.base import DriverUnreachable
from environments.models import Instance
from environments.target import TargetError, TargetUnreachable

QUIET_ROLES = frozenset({"STANDBY", "HALTED"})
FORCED_TIMEOUT_SECONDS = 0.5


class HandOver(StepCode):
    """The old slot stops trading and resolves its orders; the new one reconciles its positions with the exchange.

    With ``force`` (a rollback) a slot that does not obey at once is killed: safety does not wait for a bad release.
    """

    is_promotion = True

    def prepare(self, ctx: Context) -> None:
        """From here on only a rollback leads back; the gap without a writer begins."""
        ctx.deployment.handover_at = ctx.deployment.handover_at or ctx.now
        if ctx.step.params["from"] and ctx.deployment.writer_stopped_at is None:
            ctx.deployment.writer_stopped_at = db_now()

    def run(self, ctx: Context) -> Outcome:
        how = [self._silence(ctx, instance) for instance in ctx.instances("from")]
        if stopped := stays_stopped(ctx, "to"):
            return Done(f"{'; '.join(how)}. {stopped}")
        corrected = 0
        for instance in ctx.instances("to"):
            client = adapters.client(instance)
            corrected += len(client.reconcile(actor="engine", reason=str(ctx.deployment)))
            left = client.reconcile(actor="engine", reason=str(ctx.deployment))
            if left:
                return Failed(f"{instance} still differs from the exchange in {', '.join(d.symbol for d in left)}")
        before = "; ".join(how) or "Nothing traded before"
        return Done(f"{before}. Positions reconciled, {corrected} corrected.")

    def _silence(self, ctx: Context, instance: Instance) -> str:
        force = bool(ctx.step.params.get("force"))
        timeout = FORCED_TIMEOUT_SECONDS if force else 2.0
        try:
            client = adapters.client(instance, read_timeout=timeout)
            client.set_role("STANDBY", ctx.epoch, actor="engine", reason=str(ctx.deployment), timeout=timeout)
            state = client.state()
            if state.role in QUIET_ROLES:
                return f"{instance} is {state.role}"
            raise TargetUnreachable(f"{instance} is {state.role} after it was asked for STANDBY")
        except TargetError:
            if not force:
                raise
        ctx.confirm_lease()
        status = adapters.driver(ctx.environment).stop(adapters.instance_spec(instance), force=True)
        if status.pid:
            raise DriverUnreachable(f"{instance} did not obey and is still alive (process {status.pid})")
        return f"{instance} did not obey and was killed"


class Activate(StepCode):
    """Grant the trading role to a slot, under our epoch, once the other slot is read as quiet.

    A rollback while trading is stopped grants nothing: the slot gets the role when trading is resumed.
    """

    deadline_seconds = 60.0
    is_promotion = True

    def prepare(self, ctx: Context) -> None:
        """The slot is the one that is to trade."""
        environment = ctx.environment
        environment.writer_slot, environment.writer_epoch = ctx.slot(), ctx.epoch
        environment.save(update_fields=["writer_slot", "writer_epoch"])

    def run(self, ctx: Context) -> Outcome:
        for instance in ctx.instances("fence"):
            if trouble := still_trading(ctx, instance):
                raise TargetUnreachable(trouble)
        if stopped := stays_stopped(ctx):
            return Done(stopped, {"stopped": True})
        for instance in ctx.instances():
            client = adapters.client(instance)
            client.set_role("ACTIVE", ctx.epoch, actor="engine", reason=str(ctx.deployment))
            state = client.state()
            if (state.role, state.epoch) != ("ACTIVE", ctx.epoch):
                raise TargetUnreachable(
                    f"{instance} is {state.role} under epoch {state.epoch} after it was asked to trade"
                )
        return Done(f"{ctx.slot().name} trades under epoch {ctx.epoch}.")

    def commit(self, ctx: Context, done: Done) -> None:
        """The gap without a writer ends; measured from before the old slot was asked to stop."""
        deployment = ctx.deployment
        if done.data.get("stopped"):
            return
        if deployment.writer_stopped_at is not None:
            deployment.writer_gap_ms = (db_now() - deployment.writer_stopped_at).total_seconds() * 1000
        record(
            system("engine"),
            "writer.role",
            deployment,
            environment=ctx.environment.name,
            after={"slot": ctx.slot().name, "role": "ACTIVE", "epoch": ctx.epoch},
        )


def stays_stopped(ctx: Context, parameter: str = "slot") -> str:
    """Why the slot to which we return does not trade yet, in words; empty when it may.

    The kill switch is engaged, or it was released and nobody has resumed trading since.
    """
    why = ctx.returns and (safety.kill_switch(ctx.environment) or safety.halted(ctx.slot(parameter)))
    return f"{why} Trading stays stopped until it is resumed." if why else ""


def still_trading(ctx: Context, instance: Instance) -> str:
    """Why an instance may still trade; empty when it is read as quiet or its process as gone."""
    try:
        role = adapters.client(instance, read_timeout=FORCED_TIMEOUT_SECONDS).state().role
        return "" if role in QUIET_ROLES else f"{instance} is still {role}"
    except TargetError as error:
        status = adapters.driver(ctx.environment).status(adapters.instance_spec(instance))
        return f"{instance} does not answer ({error}) and its process is alive" if status.pid else ""
