"""Use cases of the kill switch: press, say why, end a drill."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from accounts.domain import DomainError, InvalidRequest
from accounts.roles import STOP
from accounts.use_case import use_case
from alerts.actions import raise_alert
from audit.actions import record
from audit.actors import Actor
from environments.models import Environment
from environments.permissions import environments_with, require
from trading import latch, resuming, stop_files, stop_records
from trading.errors import WrongState
from trading.models import EmergencyStop
from trading.stop import engine, journal, tasks
from trading.stop.engine import Press
from trading.stop.settings import StopSettings
from trading.stop_pages import REASON_WITHIN

logger = logging.getLogger(__name__)
RECORD_TRIES, RECORD_PAUSE = 40, 0.05
"""How often, and after how many seconds, the journal of a press is looked for; then the monitor records it."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a press came to. ``joined``: a stop was under way already."""

    id: UUID
    joined: bool
    drill: bool


def press(actor: Actor, environment: Environment, reason: str, *, drill: bool = False, via: str) -> Pressed:
    """Stop trading in an environment, now. Returns at once; a second press joins the stop that runs.

    The one act that may happen before its record: it asks the database only whether the actor may, then latches in the
    file and begins. The journal, brought to the disk line by line, is the record; ``stop_records.keep`` writes it into
    the audit trail as soon as the database answers.

    Args:
        reason: empty when it is not stated yet.
        drill: does the same, marked as a rehearsal; never in production.
        via: ``page`` or ``api``.

    Raises:
        Forbidden: the actor may not stop this environment.
        NotConfigured: its definition names no exchange.
        WrongState: a drill in production, or where the kill switch is engaged for real.
    """
    _permit(actor, environment)
    settings = stop_files.settings_for_press(environment)
    if drill:
        _refuse_drill(environment)
    wanted = Press(stop_records.name_of(actor), via, reason.strip(), drill)
    try:
        pressed = engine.press(settings, wanted)
    except engine.DrillRefused as error:
        raise WrongState(f"{error}. Nothing was done.") from error
    if not pressed.joined:
        tasks.start(run, settings, pressed, name=f"stop-{environment.name}")
    tasks.start(_record_soon, environment, pressed.id, actor, name="stop-record")
    return Pressed(UUID(pressed.id), pressed.joined or pressed.taken_over, pressed.press.drill)


@use_case
def _permit(actor: Actor, environment: Environment) -> None:
    require(actor, STOP, environment)


def _refuse_drill(environment: Environment) -> None:
    held = stop_files.held_latch(environment.name)
    if held is not None and not held.drill:
        raise WrongState(
            f"The kill switch of {environment.name} is engaged for real. A drill begins from normal trading; release "
            "it first. Nothing was done."
        )


def run(settings: StopSettings, pressed: engine.Pressed) -> None:
    """Run a stop to its end in this thread. What goes wrong with it is logged; the monitor takes over."""
    try:
        engine.run(settings, pressed)
    except Exception:
        logger.exception("the emergency stop %s of %s broke off; it is taken over", pressed.id, settings.environment)
        if pressed.lock is not None:
            pressed.lock.close()


def _record_soon(environment: Environment, stop: str, actor: Actor) -> None:
    """Write the row and the audit record of a press, once its journal is there; else the monitor does."""
    file, pause = stop_files.journal_of(environment.name, stop), threading.Event()
    try:
        for _ in range(RECORD_TRIES):
            if stop_records.keep(environment, file, actor) is not None:
                stop_records.follow_latch(Environment.objects.get(pk=environment.pk))
                return
            pause.wait(RECORD_PAUSE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the monitor records it
        logger.warning("emergency stop %s is recorded later: %s", stop, error)
    finally:
        connections.close_all()


def usual(user: Any) -> Environment | None:
    """The environment that a press without a name means: the only one the person may stop, else production.

    None when they may see neither.
    """
    stoppable = list(environments_with(Environment.objects.all(), user, STOP))
    if len(stoppable) == 1:
        return stoppable[0]
    seen = stoppable or list(Environment.objects.visible_to(user))
    return next((one for one in seen if one.is_production), None)


@use_case
def give_reason(actor: Actor, stop: EmergencyStop, reason: str) -> None:
    """Say why trading was stopped, within fifteen minutes after the press.

    Raises:
        Forbidden: the actor may not stop this environment.
        InvalidRequest: the reason is empty.
        WrongState: it was said before, or it is too late.
    """
    environment, reason = stop.environment, reason.strip()
    require(actor, STOP, environment)
    if not reason:
        raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
    file = stop_files.journal_of(environment.name, stop.pk)
    state = file.state()
    if (state.reason if state else stop.reason) != "":
        raise WrongState("The reason was given before; it is kept as it is. Nothing was changed.")
    if timezone.now() > stop.pressed_at + REASON_WITHIN:
        raise WrongState("A reason can be given within 15 minutes after the press. Nothing was changed.")
    if state is not None:
        journal.give_reason(file.path.parent, str(stop.pk), stop_records.name_of(actor), reason)
        stop_records.keep(environment, file, actor)
        return
    # The journal is gone, for example with the disk: the row is what is left of it.
    EmergencyStop.objects.filter(pk=stop.pk).update(reason=reason)
    record(actor, "stop.reason_given", stop, environment=environment.name, reason=reason)


def release_drill(actor: Actor, stop: EmergencyStop) -> str:
    """End a drill: release the latch, and bring trading back as it was, in the background. STOP is enough for it.

    Returns:
        What was done, and what follows.

    Raises:
        Forbidden: the actor may not stop this environment.
        WrongState: the stop is no drill, or was released before.
        Latched: the kill switch was engaged for real meanwhile.
    """
    environment = _release_drill(actor, stop)
    tasks.start(_resume, environment, actor, stop, name=f"resume-{environment.name}")
    return f"The drill is over. Trading of {environment.name} is being resumed; this page says when it is."


@use_case
def _release_drill(actor: Actor, stop: EmergencyStop) -> Environment:
    environment = Environment.objects.get(pk=stop.environment_id)
    require(actor, STOP, environment)
    if not stop.drill:
        raise WrongState("This was no drill: an Admin releases it, with a second person. Nothing was done.")
    if stop.released_at is not None or not latch.engaged(environment):
        raise WrongState("The kill switch is not engaged any more. Nothing was done.")
    record(actor, "stop.released", environment, environment=environment.name, reason="End of a drill")
    latch.release(environment, actor.name, drill_only=True)
    return environment


def _resume(environment: Environment, actor: Actor, stop: EmergencyStop) -> None:
    reason, path = "End of a drill", stop_files.journal_of(environment.name, stop.pk).path
    try:
        said = f"Trading goes on. {resuming.resume(environment, actor, reason)}"
    except DomainError as error:
        said = f"Trading of {environment.name} was not resumed after the drill: {error}"
        _tell(environment, stop, said)
    except Exception as error:
        logger.exception("trading of %s was not resumed after a drill", environment)
        said = f"Trading of {environment.name} was not resumed after the drill: {type(error).__name__}"
        _tell(environment, stop, said)
    finally:
        connections.close_all()
    try:
        journal.append(path, "note", drill=True, text=said)
    except OSError as error:
        logger.warning("%s (not noted in %s: %s)", said, path, error)


def _tell(environment: Environment, stop: EmergencyStop, said: str) -> None:
    try:
        with transaction.atomic():
            raise_alert(
                "stop",
                f"{environment.name} drill {stop.pk}",
                severity="warning",
                title=f"{environment.name}: trading was not resumed after a drill",
                environment=environment,
                detail=said,
                link=f"/kill-switch/stops/{stop.pk}/",
            )
    except DatabaseError:
        logger.exception("no alert could be raised: %s", said)
