"""The use cases of the circuit breaker: open it by hand, answer the questions, reset it.

What is done at the trading system has its intent committed before and its outcome after, and counts only once it was
read back. A reset acknowledges the trip and nothing more: trading stays halted until it is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.domain import DomainError, InvalidRequest, NotFound
from accounts.roles import RESUME, STOP
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from audit.models import Outcome
from environments import adapters
from environments.models import Environment, Instance
from environments.permissions import require
from environments.secrets import SecretMissing
from environments.target import TargetClient, TargetError, TargetRefused
from trading import breaker_watch, evidence, latch, questions, seen
from trading.clearances import clean_reason
from trading.errors import ChecksBlock, Unreachable, WrongState
from trading.models import BreakerTrip
from trading.questions import Given

ANSWERS_HOLD = timedelta(minutes=30)
"""So long answers say something about how things are."""


def trip(actor: Actor, environment: Environment, reason: str) -> list[BreakerTrip]:
    """Open the circuit breaker of every instance that is to trade; they halt. One that is open stays as it is.

    Raises:
        Forbidden: the actor may not stop trading here.
        InvalidRequest: there is no reason, or it is too long.
        WrongState: no slot has the trading role.
        Unreachable: an instance did not confirm it; the text says which, and what to do.
    """
    instances = _ask_trip(actor, environment, clean_reason(reason))
    problems, trips = [], []
    for instance in instances:
        try:
            client = adapters.client(instance)
            client.trip_breaker(actor=actor.name, reason=reason.strip())
            state, role = client.circuit_breaker(), client.state().role
        except (TargetError, SecretMissing) as error:
            problems.append(f"{instance}: {error}")
            continue
        if not state.is_open or role == "ACTIVE":
            problems.append(f"{instance} is {role}, its breaker is {'open' if state.is_open else 'closed'}")
        else:
            trips.append(breaker_watch.note_open(instance, state, by=actor))
    _note_trip(actor, environment, reason.strip(), trips, problems)
    if problems:
        raise Unreachable(
            f"Not confirmed: {'; '.join(problems)}. Trading may go on there. To stop it now, press the kill switch."
        )
    return trips


@use_case
def _ask_trip(actor: Actor, environment: Environment, reason: str) -> list[Instance]:
    require(actor, STOP, environment)
    instances = list(Instance.objects.filter(slot=environment.writer_slot_id).select_related("slot__environment"))
    if environment.writer_slot_id is None or not instances:
        raise WrongState(f"No slot of {environment.name} has the trading role, so nothing trades. Nothing was done.")
    names = [instance.name for instance in instances]
    record(
        actor,
        "breaker.tripped_by_hand",
        environment,
        environment=environment.name,
        outcome=Outcome.INTENT,
        reason=reason,
        after={"instances": names},
    )
    return instances


@transaction.atomic
def _note_trip(
    actor: Actor, environment: Environment, reason: str, trips: Sequence[BreakerTrip], problems: Sequence[str]
) -> None:
    after = {"open": [one.instance_name for one in trips], "problems": list(problems)}
    outcome = Outcome.FAILED if problems else Outcome.DONE
    record(
        actor,
        "breaker.tripped_by_hand",
        environment,
        environment=environment.name,
        outcome=outcome,
        reason=reason,
        after=after,
    )


@use_case
def validate(actor: Actor, given_trip: BreakerTrip, given: Mapping[str, Given]) -> BreakerTrip:
    """Keep the answers to the three questions, with what the console sees beside each. They may be given again.

    Raises:
        Forbidden: the actor may not resume trading here.
        WrongState: it was reset before.
        InvalidRequest: an answer or a note is missing; the field is the question's key.
    """
    require(actor, RESUME, given_trip.environment)
    instance = given_trip.instance
    now = seen.see(instance, instance.slot) if instance is not None else None
    trip = _lock_open(given_trip)
    beside = evidence.for_validation(trip, now)
    found = questions.check(questions.VALIDATION, given, beside, actor.name, timezone.now().isoformat())
    for key, problem in found.errors.items():
        raise InvalidRequest(key, problem)
    before, trip.answers = trip.answers, found.answers
    trip.save(update_fields=["answers"])
    record(
        actor,
        "breaker.validated",
        trip,
        environment=trip.environment.name,
        before={"answers": before},
        after={"answers": found.answers},
    )
    breaker_watch.ring(trip.environment)
    return trip


def objections(trip: BreakerTrip, now: datetime | None = None) -> list[str]:
    """What stands against a reset: questions without an answer, answered with no, or answered too long ago."""
    found = questions.objections(questions.VALIDATION, trip.answers)
    if not found:
        moments = [datetime.fromisoformat(one["at"]) for one in trip.answers]
        oldest = min(moments)
        if oldest < (now or timezone.now()) - ANSWERS_HOLD:
            return [f"The answers are of {oldest:%Y-%m-%d %H:%M} UTC. Look again, and answer anew."]
    return found


def reset(actor: Actor, given: BreakerTrip, reason: str) -> BreakerTrip:
    """Acknowledge a trip at the trading system, and read back that it is closed and still halted.

    Raises:
        Forbidden: the actor may not resume trading here.
        ChecksBlock: the questions are not answered with yes.
        Latched: the kill switch is engaged.
        WrongState: it was reset before, or the trading system refuses.
        Unreachable: it could not be read back as closed; it counts as open.
    """
    trip = _ask_reset(actor, given, clean_reason(reason))
    instance = trip.instance
    if instance is None:
        raise NotFound(f"{trip.instance_name} is no longer part of {trip.environment.name}; the monitor ends its trip.")
    try:
        _close(adapters.client(instance), actor, trip.reset_reason, instance.name)
    except (DomainError, TargetError, SecretMissing) as error:
        _note_reset(actor, trip, problem=str(error))
        if isinstance(error, DomainError):
            raise
        if isinstance(error, TargetRefused):
            raise WrongState(f"{instance} refuses: {error.detail or error.title}. It counts as open.") from error
        raise Unreachable(f"{instance} did not confirm the reset: {error}. It counts as open; try again.") from error
    return _note_reset(actor, trip)


def _close(client: TargetClient, actor: Actor, reason: str, name: str) -> None:
    client.reset_breaker(actor=actor.name, reason=reason)
    state, role = client.circuit_breaker(), client.state().role
    if state.is_open:
        raise Unreachable(f"{name} still says that its breaker is open ({state.reason}). It counts as open.")
    if role == "ACTIVE":
        raise WrongState(
            f"{name} trades after the reset, which it must not. Press the kill switch if it must stop now."
        )


@use_case
def refuse_reset(actor: Actor, given: BreakerTrip) -> None:
    """Pass, or raise, before somebody is asked for a proof.

    Raises:
        Forbidden, ChecksBlock, Latched, WrongState: as in ``reset``.
    """
    _check_reset(actor, given)


def _check_reset(actor: Actor, given: BreakerTrip) -> BreakerTrip:
    require(actor, RESUME, given.environment)
    latch.refuse_while_engaged(given.environment, "Resetting the circuit breaker")
    trip = _lock_open(given)
    against = objections(trip)
    if against:
        reasons = [{"check": "questions", "reason": text, "todo": "Answer the three questions."} for text in against]
        raise ChecksBlock(f"{' '.join(against)} Nothing was done.", reasons)
    return trip


@use_case
def _ask_reset(actor: Actor, given: BreakerTrip, reason: str) -> BreakerTrip:
    trip = _check_reset(actor, given)
    trip.reset_by, trip.reset_reason = actor.user, reason
    trip.save(update_fields=["reset_by", "reset_reason"])
    _record_reset(actor, trip, Outcome.INTENT, reason)
    return trip


@transaction.atomic
def _note_reset(actor: Actor, given: BreakerTrip, problem: str = "") -> BreakerTrip:
    BreakerTrip.objects.select_for_update().values_list("pk").get(pk=given.pk)
    trip = _loaded(given.pk)
    if problem:
        trip.reset_by, trip.reset_reason = None, ""
    elif trip.reset_at is None:  # else the monitor has read it as closed before us, and kept who asked
        trip.reset_at = timezone.now()
    trip.save(update_fields=["reset_by", "reset_reason", "reset_at"])
    _record_reset(actor, trip, Outcome.FAILED if problem else Outcome.DONE, problem or trip.reset_reason)
    if not problem:
        breaker_watch.clear_alert(trip, actor)
    breaker_watch.ring(trip.environment)
    return trip


def _record_reset(actor: Actor, trip: BreakerTrip, outcome: Outcome, reason: str) -> None:
    record(
        actor,
        "breaker.reset",
        trip,
        environment=trip.environment.name,
        outcome=outcome,
        reason=reason,
        before={"state": "open", "reason_code": trip.reason_code, "observed": trip.observed},
        after={"state": "closed" if outcome == Outcome.DONE else "open", "answers": _short(trip.answers)},
    )


def _short(answers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {one["key"]: f"{one['answer']}: {one['note']}" for one in answers}


def _lock_open(given: BreakerTrip) -> BreakerTrip:
    BreakerTrip.objects.select_for_update().values_list("pk").get(pk=given.pk)
    trip = _loaded(given.pk)
    if not trip.is_open:
        who = trip.reset_by.display_name if trip.reset_by else "the trading system"
        raise WrongState(f"It was reset already, by {who}, {trip.reset_at:%H:%M:%S} UTC. Nothing was done.")
    return trip


def _loaded(pk: int) -> BreakerTrip:
    found = BreakerTrip.objects.select_related("environment", "instance__slot__environment", "reset_by", "tripped_by")
    return found.get(pk=pk)
