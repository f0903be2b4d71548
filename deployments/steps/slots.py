"""Steps that start and stop the processes of a slot. They never touch the slot that serves or trades."""

from __future__ import annotations

from audit.redaction import redact
from deployments import preflight
from deployments.steps.base import Context, Done, Failed, Outcome, StepCode, Wait
from environments import adapters
from environments.drivers.base import DriverUnreachable, ProcessStatus, SlotDriver
from environments.models import Instance, Slot
from environments.target import TargetError

POLL_SECONDS = 0.25
LINE_LIMIT = 300
"""Characters of a log line that are quoted in the detail of a step."""


class SlotIsLive(Exception):
    """A step wanted to start or stop the slot that serves; this is a defect, and nothing was done."""


def _refuse_live(ctx: Context, slot: Slot) -> None:
    if slot.pk in (ctx.environment.live_slot_id, ctx.environment.writer_slot_id):
        raise SlotIsLive(f"{slot} serves or trades; it is not started or stopped by a deployment")


class StartSlot(StepCode):
    """Put the release into a slot and start its processes."""

    def prepare(self, ctx: Context) -> None:
        """From now on the slot is to run the release."""
        slot = ctx.slot()
        _refuse_live(ctx, slot)
        release = ctx.deployment.to_release
        slot.role = ctx.step.params.get("role", Slot.Role.PREVIEW)
        slot.version, slot.digest = release.version, release.digest
        slot.save()

    def run(self, ctx: Context) -> Outcome:
        _refuse_live(ctx, ctx.slot())
        driver, artifact = adapters.driver(ctx.environment), preflight.artifact_spec(ctx.deployment.to_release)
        instances = ctx.instances()
        for instance in instances:
            spec = adapters.instance_spec(instance)
            ctx.confirm_lease()
            driver.install(spec, artifact)
            driver.start(spec)
        return Done(f"{ctx.deployment.to_release}: {len(instances)} of {len(instances)} processes started.")


class WaitHealthy(StepCode):
    """N consecutive healthy readings of every instance, with the right version; then STANDBY under our epoch.

    The epoch is raised in the new process before anything else, so that no older grant can reach it.
    """

    def run(self, ctx: Context) -> Outcome:
        needed, passes = ctx.policy.healthy_passes, int(ctx.step.data.get("passes", 0))
        problems = [text for instance in ctx.instances() if (text := self._problem(ctx, instance))]
        if problems:
            return self._not_yet(ctx, "; ".join(problems))
        passes += 1
        if passes < needed:
            return Wait(POLL_SECONDS, f"{passes} of {needed} healthy readings in a row.", {"passes": passes})
        for instance in ctx.instances():
            state = adapters.client(instance).set_role("STANDBY", ctx.epoch, actor="engine", reason=str(ctx.deployment))
            if state.role != "STANDBY":
                return self._not_yet(ctx, f"{instance} is {state.role} instead of STANDBY")
        return Done(f"{needed} healthy readings in a row; in STANDBY.", {"passes": passes})

    def _not_yet(self, ctx: Context, problem: str) -> Outcome:
        driver = adapters.driver(ctx.environment)
        if dead := [text for instance in ctx.instances() if (text := _end(ctx, driver, instance))]:
            return Failed("; ".join(dead))
        if ctx.elapsed > ctx.policy.start_timeout_seconds:
            return Failed(f"not healthy after {ctx.elapsed:.0f} s: {problem}")
        return Wait(POLL_SECONDS, problem, {"passes": 0})

    @staticmethod
    def _problem(ctx: Context, instance: Instance) -> str:
        """Why an instance does not count as healthy; empty when it does."""
        try:
            health = adapters.client(instance, read_timeout=ctx.policy.probe_timeout_seconds).health()
        except TargetError as error:
            return f"{instance}: {error}"
        if health.version != ctx.deployment.to_release.version:
            return f"{instance} reports {health.version or 'no version'} instead of {ctx.deployment.to_release.version}"
        failing = [component.name for component in health.components if component.status == "fail"]
        return f"{instance}: {', '.join(failing)} not healthy" if failing or health.status == "fail" else ""


def _end(ctx: Context, driver: SlotDriver, instance: Instance) -> str:
    """How an instance that was started ended by itself, with the last line of its log; empty while it lives."""
    spec = adapters.instance_spec(instance)
    status = driver.status(spec)
    # The supervisor starts it again: a process that came up only at the second try is no release to go live with.
    if status.state == "stopped" or (status.state not in ("fatal", "exited") and not status.restarts):
        return ""
    how = f"with exit status {status.exit_status}" if status.exit_status is not None else "right after its start"
    began = ctx.deployment.started_at or ctx.deployment.created_at
    said = next((line.strip() for line in reversed(driver.tail(spec, 20, since=began.timestamp())) if line.strip()), "")
    return f"{instance} ended {how}: {redact(said)[:LINE_LIMIT]}" if said else f"{instance} ended {how} without a word"


class StopSlot(StepCode):
    """Stop the processes of a slot that neither serves nor trades, and read back that they are gone."""

    def run(self, ctx: Context) -> Outcome:
        _refuse_live(ctx, ctx.slot())
        driver = adapters.driver(ctx.environment)
        statuses: list[ProcessStatus] = []
        for instance in ctx.instances():
            ctx.confirm_lease()
            statuses.append(driver.stop(adapters.instance_spec(instance)))
        alive = [status for status in statuses if status.pid]
        if alive:
            raise DriverUnreachable(f"{len(alive)} processes are still alive")
        return Done(f"{len(statuses)} of {len(statuses)} processes stopped.")

    def commit(self, ctx: Context, done: Done) -> None:
        """The slot is stopped."""
        slot = ctx.slot()
        slot.role = Slot.Role.STOPPED
        slot.save()
