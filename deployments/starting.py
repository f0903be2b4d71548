"""What every way to start a deployment shares: what refuses it, the row, its steps, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from accounts.domain import InvalidRequest
from audit.actors import Actor
from deployments import events, preflight
from deployments.clock import db_now
from deployments.errors import Blocked, PreflightFailed
from deployments.models import Deployment, Release
from deployments.planning import add_steps, plan_input
from deployments.preflight import CheckResult
from deployments.states import UNFINISHED
from deployments.strategies import StepSpec, Strategy
from environments.models import Environment, Slot

REASON_LIMIT = 2000


def clean_reason(reason: str) -> str:
    """The reason as it is kept.

    Raises:
        InvalidRequest: there is none, or it is too long.
    """
    text = (reason or "").strip()
    if not text:
        raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
    if len(text) > REASON_LIMIT:
        raise InvalidRequest("reason", f"The reason has {len(text)} characters; at most {REASON_LIMIT} are kept.")
    return text


def busy(environment: Environment) -> Deployment | None:
    """The deployment of an environment that is not finished."""
    unfinished = Deployment.objects.filter(environment=environment, status__in=UNFINISHED)
    return unfinished.select_related("to_release").order_by("-id").first()


def refuse_when_busy(environment: Environment) -> None:
    """Pass, or raise.

    Raises:
        Blocked: another deployment of the environment is not finished.
    """
    blocking = busy(environment)
    if blocking is not None:
        raise Blocked(
            f"Deployment {blocking.pk} ({blocking.to_release}) of {environment} is "
            f"{blocking.get_status_display().lower()}. Wait for its end, abort it or roll it back.",
            blocking.pk,
        )


def refuse_when_blocked(environment: Environment, release: Release, strategy: str) -> None:
    """Pass, or raise. Reads the archive, the load balancer and the supervisor (bounded).

    Raises:
        PreflightFailed: checks block it; every reason is in the error.
    """
    refuse_failed(preflight.check(environment, release, strategy))


def refuse_failed(results: Sequence[CheckResult]) -> None:
    """Pass, or raise.

    Raises:
        PreflightFailed: checks block it; every reason is in the error.
    """
    blocks = [result for result in results if not result.ok]
    if blocks:
        raise PreflightFailed([result.as_reason() for result in blocks])


def lock(environment: Environment) -> Environment:
    """The environment's row, locked in the running transaction, as it is now."""
    # First the lock, then the reading: a row that is joined to a locked one may be as old as the wait for the lock.
    Environment.objects.select_for_update().values_list("pk").get(pk=environment.pk)
    return Environment.objects.select_related("live_slot", "service").get(pk=environment.pk)


def target_slot(environment: Environment) -> Slot:
    """The slot that gets the next release: the one that is not live."""
    # Slots are ordered by name; a definition has exactly two.
    return next(slot for slot in environment.slots.all() if slot.pk != environment.live_slot_id)


def create(actor: Actor, strategy: Strategy, **fields: Any) -> Deployment:
    """A new deployment that starts at once, within the caller's transaction and lock of the environment.

    Raises:
        Blocked: another one became active at the same time.
    """
    deployment = new(actor, strategy.name, **fields)
    deployment.due_at = deployment.created_at
    save_active(deployment)
    ring(deployment, strategy.plan(plan_input(deployment)))
    return deployment


def new(actor: Actor, strategy: str, **fields: Any) -> Deployment:
    """A deployment that is not saved yet, asked for by an actor under the environment's present policy."""
    return Deployment(
        strategy=strategy,
        requested_by=actor.user,
        requested_by_name=actor.name,
        policy_data=fields["environment"].policy_data,
        created_at=db_now(),
        **fields,
    )


def save_active(deployment: Deployment) -> None:
    """Save a deployment that is active from now on.

    Raises:
        Blocked: another one is; the unique index of the table held it.
    """
    try:
        with transaction.atomic():
            deployment.save()
    except IntegrityError as error:
        if "one_active_deployment" not in str(error):
            raise
        refuse_when_busy(deployment.environment)
        raise Blocked("Another deployment was started at the same time.", None) from error


def ring(deployment: Deployment, plan: Sequence[StepSpec]) -> None:
    """Keep the plan of a deployment, tell the open pages, and ring the worker of its first step."""
    add_steps(deployment, plan)
    events.publish(deployment)
    events.work(deployment, plan[0].queue)


def summary(deployment: Deployment) -> dict[str, Any]:
    """What the audit trail keeps of a deployment's start."""
    return {
        "from": deployment.from_release.version if deployment.from_release else None,
        "to": deployment.to_release.version,
        "strategy": deployment.strategy,
        "slot": deployment.to_slot.name,
    }
