"""The engine: claim a deployment, carry out its steps, record each outcome by compare-and-swap on the epoch.

One look at a step is: commit the intent → act on the world and read back → commit the outcome. It may be interrupted
anywhere; the next holder of the lease runs the step again and converges.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from audit.actions import record
from audit.actors import system
from audit.models import Outcome as AuditOutcome
from deployments import actions, breaches, events, failpoints, safety
from deployments.clock import db_now
from deployments.lease import Lease, LeaseLost, claim
from deployments.models import Deployment, Step
from deployments.planning import skip_open_steps
from deployments.states import Status, StepStatus
from deployments.steps import STEPS
from deployments.steps.base import Context, Done, Failed, Outcome, StepCode, Wait
from environments.drivers.base import DriverUnreachable
from environments.target import StaleEpoch as StaleRole
from environments.target import TargetMalformed, TargetUnreachable
from environments.traffic.base import ReadBackDiffers, RouterUnreachable, StaleEpoch

logger = logging.getLogger(__name__)

ENGINE = system("engine")
PASSING = (DriverUnreachable, RouterUnreachable, ReadBackDiffers, TargetMalformed, TargetUnreachable)
"""Trouble that may pass: the step is tried again until its deadline."""
DATABASE_GONE = (OperationalError, InterfaceError)
"""The lease runs out and the step is run again; any other error of the database is a defect of the step."""
RETRY_SECONDS = 0.3


def advance(deployment_id: int, queue: str | None = None) -> bool:
    """Carry on with a deployment as far as it goes now.

    Args:
        queue: stop before a step of another queue and ring its worker; None carries out every step (the monitor).

    Returns:
        Whether there was something to do here.
    """
    lease = claim(deployment_id)
    if lease is None:
        return False
    try:
        with lease.kept_alive():
            while _look(lease, queue):
                pass
        lease.release()
    except LeaseLost as lost:
        logger.info("%s", lost)
    except DatabaseError as error:
        # The lease runs out by itself and the step is run again.
        logger.warning("deployment %s: the database did not answer: %s", deployment_id, error)
        connection.close()
    return True


def _look(lease: Lease, queue: str | None) -> bool:
    """One look at the next step; whether to go on with the one after it."""
    ctx = _begin(lease, queue)
    if ctx is None:
        return False
    failpoints.reach(f"before-{ctx.step.name}")
    outcome = _carry_out(ctx)
    failpoints.reach(f"after-{ctx.step.name}")
    try:
        return _finish(lease, ctx, outcome)
    except (LeaseLost, *DATABASE_GONE):
        raise
    except Exception as error:  # a defect; left alone it would be met again for ever
        logger.exception("deployment %s: step %s could not be recorded", lease.deployment_id, ctx.step.name)
        return _finish(lease, ctx, Failed(str(error) or type(error).__name__))


def _begin(lease: Lease, queue: str | None) -> Context | None:
    """Commit the intent of the next step; None when there is nothing (more) to do for this worker."""
    with transaction.atomic():
        deployment = lease.lock()
        if deployment.status == Status.HELD:
            return None
        now = db_now()
        deployment.started_at = deployment.started_at or now
        if deployment.status == Status.PENDING:
            deployment.status = Status.RUNNING
        step = deployment.steps.filter(status__in=(StepStatus.RUNNING, StepStatus.PENDING)).first()
        if step is None:
            _complete(deployment)
            return None
        if queue is not None and step.queue != queue:
            deployment.lease_expires_at = None
            deployment.save()
            events.work(deployment, step.queue)
            return None
        ctx = Context(deployment, step, lease.epoch, now)
        _intend(ctx)
        return ctx


def _intend(ctx: Context) -> None:
    deployment, step = ctx.deployment, ctx.step
    if step.status == StepStatus.PENDING:
        step.status, step.started_at = StepStatus.RUNNING, ctx.now
        _audit(ctx, "deployment.step_started", AuditOutcome.INTENT)
        events.publish(deployment)
    step.attempts += 1
    code = STEPS[step.name]
    if code.is_promotion and not ctx.returns:
        ctx.defect = safety.kill_switch(ctx.environment)
    if not ctx.defect:
        _prepare(ctx, code)
    step.save()
    deployment.save()


def _prepare(ctx: Context, code: StepCode) -> None:
    try:
        with transaction.atomic():
            code.prepare(ctx)
    except DATABASE_GONE:
        raise
    except Exception as error:  # a defect; left alone it would be met again for ever
        logger.exception("deployment %s: step %s could not be prepared", ctx.deployment.pk, ctx.step.name)
        ctx.defect = str(error) or type(error).__name__


def _carry_out(ctx: Context) -> Outcome:
    if ctx.defect:
        return Failed(ctx.defect)
    code = STEPS[ctx.step.name]
    try:
        return code.run(ctx)
    except (StaleEpoch, StaleRole) as stale:
        ctx.confirm_lease()
        return Failed(f"{stale}. It was not given by this console: was its database replaced?")
    except (LeaseLost, *DATABASE_GONE):
        raise
    except PASSING as error:
        if ctx.elapsed < ctx.step.params.get("deadline", code.deadline_seconds):
            return Wait(RETRY_SECONDS, f"Trying again: {error}", ctx.step.data)
        return Failed(f"{error} (tried for {ctx.elapsed:.0f} s)")
    except Exception as error:
        logger.exception("deployment %s: step %s failed", ctx.deployment.pk, ctx.step.name)
        return Failed(str(error) or type(error).__name__)


def _finish(lease: Lease, ctx: Context, outcome: Outcome) -> bool:
    """Commit the outcome; whether to go on with the next step."""
    with transaction.atomic():
        deployment = lease.lock()
        step = Step.objects.get(pk=ctx.step.pk)
        if step.status != StepStatus.RUNNING:  # skipped meanwhile by an abort
            return True
        ctx = replace(ctx, deployment=deployment, step=step)
        if isinstance(outcome, Wait):
            _wait(ctx, outcome)
            return False
        step.finished_at, step.data = db_now(), outcome.data
        if isinstance(outcome, Done):
            step.status, step.detail = StepStatus.SUCCEEDED, outcome.detail
            STEPS[step.name].commit(ctx, outcome)
            _audit(ctx, "deployment.step_succeeded", AuditOutcome.DONE, outcome.detail)
        else:
            step.status, step.detail = StepStatus.FAILED, outcome.reason
            _audit(ctx, "deployment.step_failed", AuditOutcome.FAILED, outcome.reason)
        step.save()
        deployment.save()
        events.publish(deployment)
        return isinstance(outcome, Done) or _fail(ctx, outcome)


def _wait(ctx: Context, wait: Wait) -> None:
    deployment, step = ctx.deployment, ctx.step
    if wait.detail != step.detail:
        events.publish(deployment)
    step.data, step.detail = wait.data, wait.detail
    step.save()
    # Somebody acted while the step ran: look again now.
    acted = deployment.due_at is not None and deployment.due_at > ctx.now
    if deployment.status != Status.HELD and not acted:
        deployment.due_at = None if wait.seconds is None else db_now() + timedelta(seconds=wait.seconds)
    deployment.save()


def _fail(ctx: Context, failed: Failed) -> bool:
    """What a failed step leads to; whether the deployment goes on with its next step here and now."""
    deployment, step = ctx.deployment, ctx.step
    if step.params.get("on_failure") == "continue":
        return True
    reason = f"{step.title}: {failed.reason}"
    if deployment.status == Status.ABORTING or deployment.is_rollback:
        _end(deployment, Status.FAILED, reason)
        return False
    if deployment.handover_at is not None and deployment.from_release is not None:
        actions.roll_back(ENGINE, deployment, reason)
        return False
    deployment.failure_reason = reason
    actions.begin_abort(deployment)
    breaches.failed(deployment, reason)
    record(ENGINE, "deployment.failing", deployment, environment=deployment.environment.name, reason=reason)
    deployment.save()
    return True


def _complete(deployment: Deployment) -> None:
    """No step is left."""
    if deployment.status == Status.ABORTING:
        _end(deployment, Status.FAILED if deployment.failure_reason else Status.ABORTED)
    else:
        _end(deployment, Status.SUCCEEDED)


def _end(deployment: Deployment, status: Status, reason: str = "") -> None:
    deployment.status, deployment.finished_at, deployment.due_at = status, db_now(), None
    deployment.failure_reason = deployment.failure_reason or reason
    deployment.lease_expires_at = None
    deployment.save()
    skip_open_steps(deployment)
    _audit_end(deployment)
    reverted = deployment.reverts
    if reverted is not None:
        reverted = Deployment.objects.select_for_update(of=("self",)).select_related("environment").get(pk=reverted.pk)
        reverted.status = Status.ROLLED_BACK if status == Status.SUCCEEDED else Status.FAILED
        reverted.finished_at = deployment.finished_at
        reverted.save()
        _audit_end(reverted)
        events.publish(reverted)
    events.publish(deployment)


def _audit_end(deployment: Deployment) -> None:
    good = deployment.status in (Status.SUCCEEDED, Status.ABORTED, Status.ROLLED_BACK)
    if good:
        breaches.over(deployment)
    elif deployment.is_rollback:
        breaches.failed(deployment, deployment.failure_reason)
    record(
        ENGINE,
        "deployment.finished",
        deployment,
        environment=deployment.environment.name,
        outcome=AuditOutcome.DONE if good else AuditOutcome.FAILED,
        reason=deployment.failure_reason,
        after={"status": deployment.status, "version": deployment.to_release.version},
    )


def _audit(ctx: Context, action: str, outcome: AuditOutcome, detail: str = "") -> None:
    record(
        ENGINE,
        action,
        ctx.deployment,
        environment=ctx.environment.name,
        outcome=outcome,
        reason=detail,
        after={"step": ctx.step.name, "title": ctx.step.title, "epoch": ctx.epoch},
    )
