"""Leave to trade again: asked for by one person, given by another, then carried out and read back.

A request holds for the state of things that it was made in (``clearance_subject.py``) and for half an hour. What was
approved is carried out by the monitor (``carrying_out.py``), so that it goes on whatever becomes of the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from accounts import doorbell
from accounts.domain import InvalidRequest, NotWaiting, RequestExpired, SubjectChanged
from accounts.errors import NotYours, OwnRequest
from accounts.roles import RESUME
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor, system
from environments.models import Environment
from environments.permissions import environments_with, require
from trading import clearance_checks, evidence, questions, seen
from trading.clearance_checks import Check
from trading.clearance_subject import all_in_words, changes, subject_hash
from trading.errors import ChecksBlock, Latched, WrongState
from trading.models import Clearance, EmergencyStop
from trading.questions import Given
from trading.seen import Seen

REVIEW = system("review")
HOLDS = timedelta(minutes=30)
REASON_LIMIT = 500
P = ParamSpec("P")
Choice = Any
"""A member of a TextChoices, which is a text; the type checker takes it for a pair."""
Status = Clearance.Status
Kind = Clearance.Kind
OPEN_STATUSES = (Status.WAITING, Status.APPROVED)


def waiting_for(user: Any) -> QuerySet[Clearance]:
    """Requests on which a person may decide: those of others, where the person may let trading resume."""
    places = environments_with(Environment.objects.all(), user, RESUME)
    found = Clearance.objects.waiting().filter(environment__in=places, expires_at__gt=timezone.now())
    return found.exclude(requested_by=user)


def visible_waiting(user: Any) -> QuerySet[Clearance]:
    """Requests that wait and that a person may see, what ends first first. One query."""
    found = Clearance.objects.visible_to(user).waiting().filter(expires_at__gt=timezone.now())
    return found.select_related("environment", "requested_by").order_by("expires_at", "pk")


def stamp() -> str:
    """Changes whenever a request comes or ends. One query."""
    found = Clearance.objects.aggregate(
        newest=Max("pk"), waiting=Count("pk", filter=Q(status=Clearance.Status.WAITING))
    )
    return f"{found['newest'] or 0}.{found['waiting']}"


def checks(kind: Choice, now: Seen) -> list[Check]:
    """What has to be true for a kind of request, as it is now."""
    return clearance_checks.for_release(now) if kind == Kind.RELEASE else clearance_checks.for_resume(now)


def settling(decide: Callable[P, Clearance]) -> Callable[P, Clearance]:
    """Let a decision that finds the request over or changed end it, in a transaction after its own."""

    @wraps(decide)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Clearance:
        try:
            return decide(*args, **kwargs)
        except (RequestExpired, SubjectChanged):
            clearance = next(one for one in (*args, *kwargs.values()) if isinstance(one, Clearance))
            settle(REVIEW, clearance)
            raise

    return wrapper


@use_case
def request_resume(actor: Actor, environment: Environment, reason: str) -> Clearance:
    """Ask for leave to let an environment trade again. Nothing starts until another person approves.

    Raises:
        Forbidden: the actor may not.
        InvalidRequest: there is no reason, or it is too long.
        Latched: the kill switch is engaged; release it first.
        ChecksBlock: something else stands against it; every reason is in the error.
        WrongState: somebody asked already.
    """
    require(actor, RESUME, environment)
    text = clean_reason(reason)
    now = seen.look(environment)
    _refuse_checks(Kind.RESUME, now)
    return _keep(actor, Kind.RESUME, now, text, None, [])


@use_case
def request_release(actor: Actor, stop: EmergencyStop, given: Mapping[str, Given], reason: str) -> Clearance:
    """Ask for the release of the kill switch, with the answers to its four questions. It stays engaged until then.

    Raises:
        Forbidden, ChecksBlock, WrongState: as for resuming; also when a question is answered with no.
        InvalidRequest: an answer or the reason is missing; the field is the question's key.
    """
    environment = stop.environment
    require(actor, RESUME, environment)
    text = clean_reason(reason)
    now = seen.look(environment)
    if now.stop is None or now.stop.pk != stop.pk:
        raise WrongState("This emergency stop is not in force (any more). Nothing was asked for: /kill-switch/.")
    _refuse_checks(Kind.RELEASE, now)
    answers = check_answers(given, evidence.for_release(now), actor.name, now.at.isoformat())
    return _keep(actor, Kind.RELEASE, now, text, stop, answers)


@settling
@use_case
def approve(actor: Actor, clearance: Clearance, seen_hash: str, reason: str = "") -> Clearance:
    """Give the leave that somebody else asked for. The monitor carries it out; the page shows it.

    Args:
        seen_hash: the hash of what the actor saw and agrees to.

    Raises:
        Forbidden, OwnRequest: the actor may not, or asked for it.
        NotWaiting: somebody decided before. The same person once more is no error.
        RequestExpired, SubjectChanged: it holds no longer, which is kept; or another hash was seen.
        Latched, ChecksBlock: something stands against it; the request keeps waiting.
    """
    _refuse_decision(actor, clearance)
    text = _optional(reason)
    found = _fresh(clearance)
    if found.status == Status.APPROVED and found.decided_by == actor.user and seen_hash == found.subject:
        return found
    _refuse_ended(found)
    now = seen.look(found.environment)  # before any lock: it may take seconds
    _refuse_changes(found, now)
    _refuse_checks(found.kind, now)
    locked = _lock(found)
    _refuse_ended(locked)
    if seen_hash != locked.subject:
        raise SubjectChanged("This is not the request that you saw. Look at it again. Nothing was done.", [])
    _decide(actor, locked, Status.APPROVED, text, "clearance.approved")
    return locked


@settling
@use_case
def reject(actor: Actor, clearance: Clearance, reason: str) -> Clearance:
    """Refuse the request of somebody else; nothing is done.

    Raises:
        Forbidden, OwnRequest, NotWaiting, RequestExpired: as in ``approve``.
        InvalidRequest: there is no reason, or it is too long.
    """
    _refuse_decision(actor, clearance)
    text = clean_reason(reason)
    locked = _lock(clearance)
    _refuse_ended(locked)
    _decide(actor, locked, Status.REJECTED, text, "clearance.rejected")
    return locked


@use_case
def withdraw(actor: Actor, clearance: Clearance, reason: str = "") -> Clearance:
    """Take one's own request back; nothing is done.

    Raises:
        Forbidden, NotYours: the actor may not ask here any more, or somebody else asked for it.
        NotWaiting, RequestExpired: it ended before.
    """
    require(actor, RESUME, clearance.environment)
    if not clearance.is_own(actor.user):
        raise NotYours(actor, RESUME, clearance.environment.name, clearance.requested_by.display_name)
    text = _optional(reason)
    locked = _lock(clearance)
    _refuse_ended(locked)
    _decide(actor, locked, Status.WITHDRAWN, text, "clearance.withdrawn")
    return locked


@use_case
def settle(actor: Actor, clearance: Clearance, now: Seen | None = None) -> Clearance:
    """End a waiting request that holds no longer: its time is over, or something changed. Harmless otherwise.

    Args:
        actor: the console itself.
        now: what was just seen; by default it is looked at, unless the time is over.
    """
    if clearance.is_waiting and clearance.expires_at > timezone.now():
        now = now or seen.look(clearance.environment)
    locked = _lock(clearance)
    if not locked.is_waiting:
        return locked
    if locked.expires_at <= timezone.now():
        text = f"Nobody decided until {locked.expires_at:%Y-%m-%d %H:%M} UTC."
        _decide(actor, locked, Status.EXPIRED, text, "clearance.expired")
    elif now is not None and (found := changes(locked.facts, now.facts(locked.kind))):
        locked.changes = [one.as_json() for one in found]
        _decide(actor, locked, Status.FELL, all_in_words(found), "clearance.fell")
    return locked


def settle_all(*, look: bool) -> int:
    """End each waiting request that holds no longer; ``look``: also compare with what is now. How many there were."""
    ended = 0
    for clearance in Clearance.objects.waiting().select_related("environment"):
        if look or clearance.expires_at <= timezone.now():
            ended += not settle(REVIEW, clearance).is_waiting
    return ended


def clean_reason(reason: str) -> str:
    """The reason as it is kept.

    Raises:
        InvalidRequest: there is none, or it is too long.
    """
    text = _optional(reason)
    if not text:
        raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
    return text


def _optional(reason: str) -> str:
    text = (reason or "").strip()
    if len(text) > REASON_LIMIT:
        raise InvalidRequest("reason", f"The reason has {len(text)} characters; at most {REASON_LIMIT} are kept.")
    return text


def _keep(
    actor: Actor, kind: Choice, now: Seen, reason: str, stop: EmergencyStop | None, answers: Sequence[dict[str, Any]]
) -> Clearance:
    environment = now.environment
    Environment.objects.select_for_update(no_key=True).values_list("pk").get(pk=environment.pk)
    before = (
        Clearance.objects.waiting().filter(environment=environment, kind=kind).select_related("requested_by").first()
    )
    if before is not None and settle(REVIEW, before, now).is_waiting:
        who = before.requested_by.display_name
        raise WrongState(f"{who} has asked for it already; the request {before.pk} waits for another person.")
    facts = now.facts(kind)
    clearance = Clearance.objects.create(
        environment=environment,
        kind=kind,
        stop=stop,
        facts=facts,
        subject=subject_hash(facts),
        answers=list(answers),
        reason=reason,
        requested_by=actor.user,
        expires_at=timezone.now() + HOLDS,
    )
    after = {"kind": kind, "subject": clearance.subject, "facts": facts, "answers": list(answers)}
    record(actor, "clearance.requested", clearance, environment=environment.name, reason=reason, after=after)
    ring(clearance)
    return clearance


def _refuse_checks(kind: Choice, now: Seen) -> None:
    blocks = [check for check in checks(kind, now) if not check.ok]
    if not blocks:
        return
    text = " ".join(f"{check.detail} {check.todo}".strip() for check in blocks)
    if kind == Kind.RESUME and now.latched:
        raise Latched(f"{text} Nothing was done.")
    raise ChecksBlock(f"{text} Nothing was done.", [check.as_json() for check in blocks])


def check_answers(given: Mapping[str, Given], beside: evidence.Evidence, by: str, at: str) -> list[dict[str, Any]]:
    """The answers to the four questions of a release, as they are kept.

    Raises:
        InvalidRequest: one is missing; the field is the question's key.
        ChecksBlock: one is no; the text says what to do.
    """
    found = questions.check(questions.RELEASE, given, beside, by, at)
    for key, problem in found.errors.items():
        raise InvalidRequest(key, problem)
    against = questions.objections(questions.RELEASE, found.answers)
    if against:
        reasons = [{"check": "questions", "reason": one, "todo": ""} for one in against]
        raise ChecksBlock(f"{' '.join(against)} Nothing was done.", reasons)
    return found.answers


@use_case
def refuse_request(actor: Actor, environment: Environment) -> None:
    """Pass, or raise, before somebody is asked for a proof.

    Raises:
        Forbidden: the actor may not let trading resume here.
    """
    require(actor, RESUME, environment)


@use_case
def refuse_decision(actor: Actor, clearance: Clearance) -> None:
    """Pass, or raise, before somebody is asked for a proof.

    Raises:
        Forbidden, OwnRequest: the actor may not decide on this.
    """
    _refuse_decision(actor, clearance)


def _refuse_decision(actor: Actor, clearance: Clearance) -> None:
    require(actor, RESUME, clearance.environment)
    if clearance.is_own(actor.user):
        raise OwnRequest(actor, RESUME, clearance.environment.name)


def _refuse_ended(clearance: Clearance) -> None:
    if clearance.status == Status.EXPIRED or (clearance.is_waiting and clearance.expires_at <= timezone.now()):
        raise RequestExpired(
            f"The time of this request ended at {clearance.expires_at:%Y-%m-%d %H:%M} UTC. Nothing was done; ask again."
        )
    if clearance.status == Status.FELL:
        raise SubjectChanged(f"{clearance.decision_reason} Nothing was done; ask again.", clearance.changes)
    if not clearance.is_waiting:
        who = clearance.decided_by.display_name if clearance.decided_by else "The console"
        said = clearance.get_status_display().lower()
        raise NotWaiting(f"{who} has decided already: {said}. Nothing was done.", clearance.status)


def _refuse_changes(clearance: Clearance, now: Seen) -> None:
    found = changes(clearance.facts, now.facts(clearance.kind))
    if found:
        text = f"{all_in_words(found)} Nothing was done; ask again."
        raise SubjectChanged(text, [one.as_json() for one in found])


def _lock(clearance: Clearance) -> Clearance:
    Clearance.objects.select_for_update().values_list("pk").get(pk=clearance.pk)
    return _fresh(clearance)


def _fresh(clearance: Clearance) -> Clearance:
    return loaded().get(pk=clearance.pk)


def loaded() -> QuerySet[Clearance]:
    """With what pages and answers show of each; one query."""
    return Clearance.objects.select_related("environment", "requested_by", "decided_by", "stop")


def _decide(actor: Actor, clearance: Clearance, status: Choice, reason: str, action: str) -> None:
    clearance.status, clearance.decision_reason = status, reason
    clearance.decided_by, clearance.decided_at = actor.user, timezone.now()
    clearance.save()
    after = {"status": status, "kind": clearance.kind, "subject": clearance.subject}
    record(
        actor,
        action,
        clearance,
        environment=clearance.environment.name,
        reason=reason,
        before={"status": Status.WAITING},
        after=after | ({"changes": clearance.changes} if clearance.changes else {}),
    )
    ring(clearance)


def ring(clearance: Clearance) -> None:
    """Open pages that show it redraw, once what was written is committed."""
    place = f"environment.{clearance.environment_id}"
    doorbell.ring_on_commit((f"clearance.{clearance.pk}", place, "breakers", "approvals", "overview"))
