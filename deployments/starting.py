"""What every way to start a deployment shares: what refuses it, the row, its steps, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from accounts.domain import InvalidRequest
from accounts.roles import APPROVE
from audit.actions import record
from audit.actors import Actor
from deployments import events, preflight
from deployments.checks import NOTHING, CheckResult, Exceptions
from deployments.clock import db_now
from deployments.errors import Blocked, PreflightFailed
from deployments.models import Deployment, Release
from deployments.planning import add_steps, plan_input
from deployments.states import UNFINISHED
from deployments.strategies import StepSpec, Strategy
from environments.models import Environment, Slot
from environments.permissions import require

REASON_LIMIT = 2000


def clean_reason(reason: str) -> str:
    """The reason as it is kept.

    Raises:
        InvalidRequest: there is none, or it is too long.
    """
    text = optional(reason)
    if not text:
        raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
    return text


def optional(reason: str, field: str = "reason") -> str:
    """A reason that may be missing, as it is kept.

    Raises:
        InvalidRequest: it is too long.
    """
    text = (reason or "").strip()
    if len(text) > REASON_LIMIT:
        raise InvalidRequest(field, f"The reason has {len(text)} characters; at most {REASON_LIMIT} are kept.")
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


def refuse_when_blocked(
    actor: Actor, environment: Environment, release: Release, strategy: str, given: Exceptions
) -> Exceptions:
    """Pass, or raise. Reads the archive, the load balancer and the supervisor (bounded).

    Args:
        given: reasons that the actor gave: for a large change, and to override checks of the gate.

    Returns:
        What the deployment is allowed beyond the gate: the reasons, and each check that was overridden.

    Raises:
        Forbidden: a reason to override was given by somebody who may not approve here.
        InvalidRequest: a reason is too long.
        PreflightFailed: checks block it; every reason is in the error.
    """
    large = optional(given.large_change_reason, "large_change_reason")
    override = optional(given.override_reason, "override_reason")
    if override:
        require(actor, APPROVE, environment)
    results = preflight.check(environment, release, strategy, Exceptions(large_change_reason=large))
    if override:
        names = frozenset(one.name for one in results if one.blocks)
        results = [one.after(names) for one in results]
    refuse_failed(results)
    overrides = tuple(one.as_override() for one in results if one.overridden)
    return Exceptions(large, override if overrides else "", overrides)


def refuse_failed(results: Sequence[CheckResult]) -> None:
    """Pass, or raise.

    Raises:
        PreflightFailed: checks block it; every reason is in the error.
    """
    blocks = [result for result in results if result.blocks]
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


def new(actor: Actor, strategy: str, *, beyond: Exceptions = NOTHING, **fields: Any) -> Deployment:
    """A deployment that is not saved yet, asked for by an actor under the environment's present policy."""
    return Deployment(
        strategy=strategy,
        requested_by=actor.user,
        requested_by_name=actor.name,
        policy_data=fields["environment"].policy_data,
        created_at=db_now(),
        large_change_reason=beyond.large_change_reason,
        override_reason=beyond.override_reason,
        overrides=list(beyond.overrides),
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


def recorded(actor: Actor, deployment: Deployment) -> Deployment:
    """A deployment that was just created, its start kept in the audit trail, and what was overridden before it."""
    record_override(actor, deployment)
    place, reason = deployment.environment.name, deployment.reason
    record(actor, "deployment.started", deployment, environment=place, reason=reason, after=summary(deployment))
    return deployment


def record_override(actor: Actor, deployment: Deployment) -> None:
    """Keep in the audit trail which checks of the gate the actor overrode, and why; nothing when none was."""
    if deployment.overrides:
        after = {"release": deployment.to_release.version, "checks": deployment.overrides}
        place, reason = deployment.environment.name, deployment.override_reason
        record(actor, "deployment.gate_overridden", deployment, environment=place, reason=reason, after=after)


def summary(deployment: Deployment) -> dict[str, Any]:
    """What the audit trail keeps of a deployment's start."""
    return {
        "from": deployment.from_release.version if deployment.from_release else None,
        "to": deployment.to_release.version,
        "strategy": deployment.strategy,
        "slot": deployment.to_slot.name,
    }
