"""The use cases of deployments. Pages, API, command line and the system itself all come through here.

Each checks the permission, changes state and writes the audit record in one transaction. Safety acts (hold, abort, roll
back) take effect in that transaction: they wait for no worker.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.domain import InvalidRequest
from accounts.roles import DEPLOY, REQUEST
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from deployments import approval_actions, breaches, events, gate, preflight, releases, starting
from deployments.checks import NOTHING, Exceptions
from deployments.clock import db_now
from deployments.errors import WrongState
from deployments.models import Deployment, Release, RollbackReport
from deployments.planning import add_steps, plan_input, skip_open_steps
from deployments.starting import clean_reason
from deployments.states import ACTIVE, UNFINISHED, Status
from deployments.strategies import ROLLBACK, STRATEGIES, by_name
from deployments.strategies.base import CRITICAL
from environments.models import Environment, SampleRow, Service
from environments.permissions import allowed, require, require_anywhere
from trading import latch, queries


@use_case
def start(
    actor: Actor, environment: Environment, release: Release, strategy: str, reason: str, beyond: Exceptions = NOTHING
) -> Deployment:
    """Start a deployment of a release, or ask for it where somebody else must approve (``approval_actions.py``).

    ``beyond`` brings the reasons for a large change and to override the gate (``gate.py``), which takes an approver.

    Returns:
        The deployment: pending, or awaiting approval with its ``approval``.

    Raises:
        Forbidden: the actor may neither deploy here nor ask for it, or may not override.
        InvalidRequest: no reason, or an unknown strategy.
        Blocked: another deployment of the environment is not finished.
        PreflightFailed: checks block it; every reason is in the error.
    """
    may_deploy = allowed(actor, DEPLOY, environment)
    if not may_deploy:
        require(actor, REQUEST, environment)
    reason = clean_reason(reason)
    if strategy not in STRATEGIES:
        raise InvalidRequest("strategy", f"Unknown strategy {strategy!r}. Choose one of: {', '.join(STRATEGIES)}.")
    starting.refuse_when_busy(environment)
    beyond = starting.refuse_when_blocked(actor, environment, release, strategy, beyond)
    locked = starting.lock(environment)
    starting.refuse_when_busy(locked)
    if not may_deploy or locked.needs_second_person:
        return approval_actions.request(actor, locked, release, strategy, reason, beyond)
    deployment = starting.create(
        actor,
        STRATEGIES[strategy],
        environment=locked,
        from_release=preflight.live_release(locked),
        to_release=release,
        from_slot=locked.live_slot,
        to_slot=starting.target_slot(locked),
        reason=reason,
        beyond=beyond,
    )
    return starting.recorded(actor, deployment)


@use_case
def promote(actor: Actor, deployment: Deployment, reason: str, token: str | None = None) -> Deployment:
    """Before the shift: let it go on. In the watch: keep the new version although a rollback is recommended.

    Raises:
        Forbidden, InvalidRequest, WrongState: as the names say; nothing was done.
        Latched: the kill switch is engaged; nothing was done.
    """
    locked = _lock(actor, deployment, token)
    reason = clean_reason(reason)
    _refuse_while_stopped(locked)
    now = db_now()
    if locked.status == Status.WATCHING and locked.accepted_at is None:
        locked.accepted_at = now
        action = "deployment.accepted"
    elif locked.status in (Status.PENDING, Status.RUNNING) and locked.handover_at is None and not locked.is_rollback:
        locked.promote_requested_at = locked.promote_requested_at or now
        action = "deployment.promoted"
    else:
        raise _wrong(locked, "promoted")
    return _save(actor, locked, action, reason, due_at=now)


@use_case
def hold(actor: Actor, deployment: Deployment, reason: str, token: str | None = None) -> Deployment:
    """Pause between steps; a step that is being carried out ends first. After promotion the watch goes on measuring.

    Raises:
        Forbidden, InvalidRequest, WrongState: as the names say; nothing was done.
    """
    locked = _lock(actor, deployment, token)
    reason = clean_reason(reason)
    # Until the new slot trades; between the shift and that nobody does, and a pause there would last.
    in_handover = locked.handover_at is not None and locked.status != Status.WATCHING
    if locked.status not in (Status.PENDING, Status.RUNNING, Status.WATCHING) or locked.is_rollback or in_handover:
        raise _wrong(locked, "held")
    locked.status, locked.held_at = Status.HELD, db_now()
    return _save(actor, locked, "deployment.held", reason, due_at=None)


@use_case
def resume(actor: Actor, deployment: Deployment, reason: str, token: str | None = None) -> Deployment:
    """Go on after a hold.

    Raises:
        Forbidden, InvalidRequest, WrongState: as the names say; nothing was done.
    """
    locked = _lock(actor, deployment, token)
    reason = clean_reason(reason)
    if locked.status != Status.HELD:
        raise _wrong(locked, "resumed")
    latch.refuse_while_engaged(locked.environment, "Going on with a deployment")
    locked.status, locked.held_at = (Status.WATCHING if locked.promoted_at else Status.RUNNING), None
    return _save(actor, locked, "deployment.resumed", reason, due_at=db_now())


@use_case
def abort(actor: Actor, deployment: Deployment, reason: str, token: str | None = None) -> Deployment:
    """Stop before promotion; the live slot keeps serving and the preview slot is stopped.

    Raises:
        Forbidden, InvalidRequest: as the names say.
        WrongState: the hand-over has begun (roll back instead), or it is finished; nothing was done.
    """
    locked = _lock(actor, deployment, token)
    reason = clean_reason(reason)
    if locked.status not in (Status.PENDING, Status.RUNNING, Status.HELD) or locked.handover_at or locked.is_rollback:
        raise _wrong(locked, "aborted")
    begin_abort(locked)
    return _save(actor, locked, "deployment.aborted", reason, due_at=db_now(), queue=CRITICAL)


@use_case
def roll_back(
    actor: Actor, deployment: Deployment, reason: str, token: str | None = None, fault_after: datetime | None = None
) -> Deployment:
    """Return to the earlier release: a deployment of its own, on the fast plan, never gated.

    Args:
        fault_after: the last moment at which the fault was not seen yet, when a rule asks for the rollback.

    Returns:
        The new deployment, whose ``reverts`` is the given one.

    Raises:
        Forbidden, InvalidRequest: as the names say.
        WrongState: nothing was promoted, or something else is live meanwhile; nothing was done.
    """
    locked = _lock(actor, deployment, token)
    reason = clean_reason(reason)
    rollback = _start_rollback(actor, locked, reason, fault_after)
    record(
        actor,
        "deployment.rolled_back",
        locked,
        environment=locked.environment.name,
        reason=reason,
        after={"rollback": rollback.pk, "to": rollback.to_release.version},
    )
    return rollback


@use_case
def restart_watch(actor: Actor, deployment: Deployment, reason: str) -> Deployment:
    """Begin the watch anew, after the trading hosts were stopped and started on purpose: that restart is no fault.

    What was sampled before is forgotten, so that the new processes are not compared with the old ones.

    Raises:
        Forbidden, InvalidRequest: as the names say.
        WrongState: nothing is promoted, or it is finished; nothing was done.
    """
    locked = _lock(actor, deployment, None)
    reason = clean_reason(reason)
    if locked.promoted_at is None or locked.status not in ACTIVE:
        raise _wrong(locked, "watched anew")
    SampleRow.objects.filter(instance__slot__environment=locked.environment).delete()
    locked.promoted_at, locked.interrupted_at = db_now(), None
    return _save(actor, locked, "deployment.watch_restarted", reason, due_at=locked.due_at)


@use_case
def register_release(
    actor: Actor,
    service: Service,
    *,
    version: str,
    artifact: str,
    digest: str,
    notes: str = "",
    commit: str = "",
    changes: dict[str, int] | None = None,
    migrations: list[str] | None = None,
    config_revision: str = "",
    released_at: datetime | None = None,
    reversible: bool | None = None,
    rollback_plan: str = "",
) -> Release:
    """Register a version of a service; it can never be changed afterwards.

    Raises:
        Forbidden: the actor may deploy to no environment of the service.
        InvalidRequest: the version is no semantic version, or the archive is missing or does not match its digest.
        ReleaseExists: the version is registered already.
    """
    require_anywhere(actor, DEPLOY, service)
    release = Release(
        service=service,
        version=releases.clean_version(version),
        artifact=artifact,
        digest=digest,
        notes=notes,
        commit=commit,
        changes=changes or {},
        migrations=migrations or [],
        config_revision=config_revision,
        released_at=released_at,
        reversible=reversible,
        rollback_plan=rollback_plan,
        created_by=actor.user,
    )
    return releases.kept(actor, release)


def begin_abort(locked: Deployment) -> None:
    """Skip what has not begun and plan the clean-up; the caller saves and rings."""
    locked.status = Status.ABORTING
    skip_open_steps(locked)
    add_steps(locked, by_name(locked.strategy).abort_plan(plan_input(locked)))


def next_epoch() -> int:
    """The next fencing epoch: strictly increasing over all environments."""
    with transaction.get_connection().cursor() as cursor:
        cursor.execute("SELECT nextval('opsc_fence')")
        return int(cursor.fetchone()[0])


def _start_rollback(actor: Actor, locked: Deployment, reason: str, fault_after: datetime | None = None) -> Deployment:
    """Fail a locked deployment and create its rollback, within the caller's transaction.

    Raises:
        WrongState: it cannot be rolled back.
    """
    environment = Environment.objects.select_for_update(of=("self",)).get(pk=locked.environment_id)
    _refuse_rollback(locked, environment)
    # A new epoch takes the lease from whoever holds it: from here on its writes and shifts are refused.
    skip_open_steps(locked)
    locked.status, locked.failure_reason, locked.fault_after = Status.FAILING, reason, fault_after
    locked.lease_epoch, locked.lease_expires_at, locked.due_at = next_epoch(), None, None
    locked.save()
    good, bad = locked.from_slot, locked.to_slot
    assert good is not None and locked.from_release is not None  # _refuse_rollback
    events.publish(locked)
    if actor.is_system:
        breaches.failed(locked, reason)
    rollback = starting.create(
        actor,
        ROLLBACK,
        environment=environment,
        from_release=locked.to_release,
        to_release=locked.from_release,
        from_slot=bad,
        to_slot=good,
        reason=reason,
        reverts=locked,
        fault_after=fault_after,
    )
    RollbackReport.objects.create(rollback=rollback)  # owed from here on, see rollback_reports.py
    return rollback


def _refuse_rollback(deployment: Deployment, environment: Environment) -> None:
    rollable = (Status.RUNNING, Status.HELD, Status.WATCHING, Status.SUCCEEDED)
    if deployment.is_rollback:
        raise WrongState("This is a rollback itself. Start a deployment of the release you want.", deployment.status)
    if deployment.status not in rollable or deployment.handover_at is None:
        raise _wrong(deployment, "rolled back")
    if deployment.from_release is None or deployment.from_slot is None:
        raise WrongState("This was the first deployment: there is no earlier release to go back to.", deployment.status)
    if deployment.promoted_at and environment.live_slot_id != deployment.to_slot_id:
        raise WrongState("Another deployment is live meanwhile; roll that one back.", deployment.status)
    newer = Deployment.objects.filter(environment=environment, pk__gt=deployment.pk)
    if newer.filter(status__in=UNFINISHED).exists():
        raise WrongState("Another deployment is running here; abort or roll back that one.", deployment.status)
    if newer.filter(promoted_at__isnull=False, reverts=None).exclude(status=Status.ROLLED_BACK).exists():
        raise WrongState("A later deployment is live; roll that one back.", deployment.status)


def _lock(actor: Actor, deployment: Deployment, token: str | None) -> Deployment:
    require(actor, DEPLOY, deployment.environment)
    found = Deployment.objects.filter(pk=deployment.pk)
    # First the lock, then the reading: a row that is joined to a locked one may be as old as the wait for the lock.
    found.select_for_update().values_list("pk").get()
    locked = found.select_related(
        "environment", "from_release__service", "to_release__service", "from_slot", "to_slot"
    ).get()
    if token is not None and token != locked.state_token:
        raise WrongState(
            f"The state changed to {locked.get_status_display()} meanwhile. Nothing was done.", locked.status
        )
    return locked


def _refuse_while_stopped(deployment: Deployment) -> None:
    latch.refuse_while_engaged(deployment.environment, "Promoting")
    differs = queries.promotion_block(deployment.environment)
    against = differs or gate.against_promotion(deployment)
    if against and deployment.promoted_at is None:
        raise WrongState(f"{against} Nothing was done.", deployment.status)


def _wrong(deployment: Deployment, verb: str) -> WrongState:
    hint = ""
    if verb == "aborted" and deployment.handover_at and deployment.status in ACTIVE:
        hint = " The hand-over has begun: roll back instead."
    if verb == "rolled back" and not deployment.handover_at and deployment.status in ACTIVE:
        hint = " Nothing was promoted yet: abort instead."
    if deployment.status == Status.AWAITING_APPROVAL:
        hint = " Nothing runs yet: reject or withdraw the request."
    status = deployment.get_status_display()
    return WrongState(f"Deployment {deployment.pk} is {status} and cannot be {verb}.{hint}", deployment.status)


def _save(
    actor: Actor, deployment: Deployment, action: str, reason: str, *, due_at: datetime | None, queue: str = "default"
) -> Deployment:
    deployment.due_at = due_at
    deployment.save()
    record(
        actor,
        action,
        deployment,
        environment=deployment.environment.name,
        reason=reason,
        after={"status": deployment.status},
    )
    events.publish(deployment)
    if due_at is not None:
        events.work(deployment, queue)
    return deployment
