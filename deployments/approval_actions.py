"""The use cases of the review before a deployment: ask, approve, reject, withdraw, and what ends by itself.

Each locks the row of the deployment first, so that of two who decide at once one does, and the other is told. An
approval starts the deployment in its own transaction. An approval ends without a decision when its subject changed or
its time is over: whoever looks first lets it (``settle``), and nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec

from accounts.domain import NotWaiting, RequestExpired, SubjectChanged
from accounts.errors import NotYours, OwnRequest
from accounts.roles import APPROVE, REQUEST
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor, system
from deployments import approvals, events, gate, preflight, starting
from deployments.approval_subject import Change, all_in_words, subject_hash
from deployments.checks import NOTHING, Exceptions
from deployments.clock import db_now
from deployments.models import Approval, Deployment, Release
from deployments.states import ApprovalState, Status
from environments.models import Environment
from environments.permissions import require

REVIEW = system("review")
P = ParamSpec("P")


def settling(decide: Callable[P, Approval]) -> Callable[P, Approval]:
    """Let a decision that finds the request over or changed end it, in a transaction after its own."""

    @wraps(decide)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Approval:
        try:
            return decide(*args, **kwargs)
        except (RequestExpired, SubjectChanged):
            approval = next(one for one in (*args, *kwargs.values()) if isinstance(one, Approval))
            settle(REVIEW, approval)
            raise

    return wrapper


def request(
    actor: Actor, environment: Environment, release: Release, strategy: str, reason: str, beyond: Exceptions = NOTHING
) -> Deployment:
    """Keep a request, within the transaction and the lock of ``actions.start``, which checked everything else.

    Returns:
        A deployment that awaits approval: nobody works on it and it blocks nobody.
    """
    target = starting.target_slot(environment)
    deployment = starting.new(
        actor,
        strategy,
        environment=environment,
        from_release=preflight.live_release(environment),
        to_release=release,
        from_slot=environment.live_slot,
        to_slot=target,
        reason=reason,
        status=Status.AWAITING_APPROVAL,
        beyond=beyond,
    )
    deployment.save()
    live_by = approvals.made_live_by(environment)
    subject = approvals.subject_of(environment, release, strategy, target, live_by, beyond)
    approval = Approval.objects.create(
        deployment=deployment,
        subject=subject,
        subject_hash=subject_hash(subject),
        reason=reason,
        requested_by=actor.user,
        requested_by_name=actor.name,
        created_at=deployment.created_at,
        expires_at=deployment.created_at + timedelta(hours=environment.policy.approval.expires_hours),
    )
    after = _after(approval) | starting.summary(deployment) | {"expires_at": approval.expires_at.isoformat()}
    starting.record_override(actor, deployment)
    record(actor, "deployment.requested", deployment, environment=environment.name, reason=reason, after=after)
    events.publish_request(deployment)
    return deployment


@settling
@use_case
def approve(actor: Actor, approval: Approval, seen_hash: str, reason: str = "") -> Approval:
    """Approve the request of somebody else; the deployment starts at once, in the same transaction.

    Args:
        seen_hash: the hash of what the actor saw and agrees to.

    Raises:
        Forbidden, OwnRequest: the actor may not, or asked for it.
        NotWaiting: somebody decided before.
        RequestExpired, SubjectChanged: it holds no longer, which is kept; or another hash was seen.
        Blocked: another deployment is not finished; the request keeps waiting, as after the next one.
        PreflightFailed: checks block it.
        InvalidRequest: the reason is too long.
    """
    deployment = approval.deployment
    _refuse_decision(actor, approval)
    reason = starting.optional(reason)
    found = _fresh(approval)
    _refuse_ended(found)
    # Before any lock: what looks outside may take seconds.
    _refuse_changes(_changes(found, archive=True))
    allowed = gate.exceptions_of(deployment)
    results = preflight.check(deployment.environment, deployment.to_release, deployment.strategy, allowed)
    _lock_row(approval)
    environment = starting.lock(deployment.environment)
    locked = _fresh(approval)
    _refuse_ended(locked)
    if seen_hash != locked.subject_hash:
        raise SubjectChanged("This is not the request that you saw. Look at it again. Nothing was done.", [])
    _refuse_changes(approvals.changes_since(locked))
    starting.refuse_when_busy(environment)
    starting.refuse_failed(results)
    _decide(actor, locked, ApprovalState.APPROVED, reason)
    _start(actor, locked, environment)
    return locked


def _start(actor: Actor, approval: Approval, environment: Environment) -> None:
    """Start the deployment of an approval whose subject was just compared, within the locks of its environment."""
    deployment = approval.deployment
    deployment.environment = environment
    deployment.status = Status.PENDING
    deployment.due_at = approval.decided_at
    deployment.policy_data = environment.policy_data
    starting.save_active(deployment)
    _record(actor, "deployment.approved", approval, approval.decision_reason)
    after = starting.summary(deployment) | {"approval": approval.pk, "requested_by": approval.requested_by_name}
    record(actor, "deployment.started", deployment, environment=environment.name, reason=approval.reason, after=after)
    plan = approvals.plan_of(environment, deployment.to_release, deployment.strategy, deployment.to_slot)
    starting.ring(deployment, plan)
    events.publish_request(deployment)


@settling
@use_case
def reject(actor: Actor, approval: Approval, reason: str) -> Approval:
    """Refuse the request of somebody else; nothing is started.

    Raises:
        Forbidden, OwnRequest, InvalidRequest, NotWaiting, RequestExpired, SubjectChanged: as in ``approve``.
    """
    _refuse_decision(actor, approval)
    reason = starting.clean_reason(reason)
    locked = _lock(approval)
    _refuse_ended(locked)
    _decide(actor, locked, ApprovalState.REJECTED, reason)
    _end(actor, locked, "deployment.rejected", f"Rejected by {actor.name}: {reason}")
    return locked


@use_case
def withdraw(actor: Actor, approval: Approval, reason: str = "") -> Approval:
    """Take one's own request back; nothing is started.

    Raises:
        Forbidden, NotYours: the actor may not ask here any more, or somebody else asked for it.
        NotWaiting, RequestExpired, SubjectChanged: it ended before.
    """
    environment = approval.deployment.environment
    require(actor, REQUEST, environment)
    if not approval.is_own(actor.user):
        raise NotYours(actor, REQUEST, environment.name, approval.requested_by_name)
    reason = starting.optional(reason)
    locked = _lock(approval)
    if not locked.is_waiting:  # one whose time is over, unseen so far, may still be withdrawn
        _refuse_ended(locked)
    _decide(actor, locked, ApprovalState.WITHDRAWN, reason)
    text = f"Withdrawn by {actor.name}{f': {reason}' if reason else '.'}"
    _end(actor, locked, "deployment.request_withdrawn", text)
    return locked


@use_case
def settle(actor: Actor, approval: Approval, *, archive: bool = True) -> Approval:
    """End a waiting request that holds no longer: its time is over, or its subject changed. Harmless otherwise.

    Args:
        actor: the console itself.
        archive: whether to compare the archive on disk as well, which reads it.
    """
    locked = _lock(approval)
    if not locked.is_waiting:
        return locked
    if locked.is_over:  # type: ignore[attr-defined]
        _decide(actor, locked, ApprovalState.EXPIRED, f"Nobody decided until {locked.expires_at:%Y-%m-%d %H:%M} UTC.")
        _end(actor, locked, "deployment.approval_expired", locked.decision_reason)
        return locked
    found = _changes(locked, archive=archive)
    if found:
        locked.changes = [change.as_json() for change in found]
        _decide(actor, locked, ApprovalState.FALLEN, all_in_words(found))
        _end(actor, locked, "deployment.approval_fell", locked.decision_reason)
    return locked


def settle_all(waiting: Iterable[Approval] | None = None) -> int:
    """End each waiting request that holds no longer, as far as the database tells; how many there were.

    Two queries when all of them hold. The monitor, beat and the lists call it.
    """
    found = approvals.loaded(Approval.objects.waiting()) if waiting is None else waiting
    over = [one for one in found if one.is_waiting and (one.is_over or approvals.changes_since(one))]  # type: ignore[attr-defined]
    for approval in over:
        settle(REVIEW, approval, archive=False)
    return len(over)


def _refuse_decision(actor: Actor, approval: Approval) -> None:
    environment = approval.deployment.environment
    require(actor, APPROVE, environment)
    if approval.is_own(actor.user):
        raise OwnRequest(actor, APPROVE, environment.name)


def _refuse_ended(approval: Approval) -> None:
    state = approval.state
    if state == ApprovalState.EXPIRED or (approval.is_waiting and approval.is_over):  # type: ignore[attr-defined]
        raise RequestExpired(
            f"The time of this request ended at {approval.expires_at:%Y-%m-%d %H:%M} UTC. Nothing was done; ask again."
        )
    if state == ApprovalState.FALLEN:
        raise SubjectChanged(f"{approval.decision_reason} Nothing was started; ask again.", approval.changes)
    if not approval.is_waiting:
        who = approval.decided_by_name
        raise NotWaiting(f"{who} has {approval.get_state_display().lower()} it already. Nothing was done.", state)


def _changes(approval: Approval, *, archive: bool) -> list[Change]:
    found = approvals.changes_since(approval)
    other = approvals.archive_change(approval.deployment.to_release) if archive else None
    return [*found, other] if other else found


def _refuse_changes(found: Sequence[Change]) -> None:
    if found:
        text = f"{all_in_words(found)} Nothing was started; ask again."
        raise SubjectChanged(text, [change.as_json() for change in found])


def _lock(approval: Approval) -> Approval:
    _lock_row(approval)
    return _fresh(approval)


def _lock_row(approval: Approval) -> None:
    # The deployment's row stands for the request, and comes before the environment's everywhere.
    Deployment.objects.select_for_update().values_list("pk").get(pk=approval.deployment_id)


def _fresh(approval: Approval) -> Approval:
    return approvals.loaded(Approval.objects.all()).get(pk=approval.pk)


def _decide(actor: Actor, approval: Approval, state: ApprovalState, reason: str) -> None:
    approval.state, approval.decision_reason = state, reason
    approval.decided_by, approval.decided_by_name, approval.decided_at = actor.user, actor.name, db_now()
    approval.save()


def _end(actor: Actor, approval: Approval, action: str, text: str) -> None:
    """The deployment ends without having begun."""
    deployment = approval.deployment
    deployment.status, deployment.failure_reason = Status.ABORTED, text
    deployment.finished_at = approval.decided_at
    deployment.save()
    _record(actor, action, approval, approval.decision_reason)
    events.publish_request(deployment)


def _record(actor: Actor, action: str, approval: Approval, reason: str) -> None:
    deployment = approval.deployment
    record(
        actor,
        action,
        deployment,
        environment=deployment.environment.name,
        reason=reason,
        before={"status": Status.AWAITING_APPROVAL, "state": ApprovalState.WAITING},
        after=_after(approval) | ({"changes": approval.changes} if approval.changes else {}),
    )


def _after(approval: Approval) -> dict[str, Any]:
    return {
        "status": approval.deployment.status,
        "state": approval.state,
        "approval": approval.pk,
        "subject_hash": approval.subject_hash,
    }
