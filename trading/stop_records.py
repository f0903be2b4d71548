"""From the journals of emergency stops to rows, audit records and alerts. The file is the truth; this follows it.

Any process may do it at any time: the row keeps how many entries it has seen, under its lock, so that each press, each
reason and each outcome becomes one audit record.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from accounts import doorbell
from alerts.actions import clear, raise_alert
from audit.actions import record
from audit.actors import Actor, system
from audit.models import Outcome
from environments.models import Environment
from trading import stop_files
from trading.models import EmergencyStop
from trading.stop import journal
from trading.stop import latch as latch_file
from trading.stop.journal import StopState
from trading.stop.latch import Latch
from trading.stop_files import JournalFile
from trading.stop_view import counted, moment

logger = logging.getLogger(__name__)
CONSOLE = ("page", "api")
"""Ways of a press on which the console knows the person."""
_USERNAME = re.compile(r"\(([^()\s]+)\)$")


def name_of(actor: Actor) -> str:
    """How an actor is named in a journal: with the user name, by which the person is found again."""
    return f"{actor.name} ({actor.user.get_username()})" if actor.user is not None else actor.name


def keep(environment: Environment, file: JournalFile, actor: Actor | None = None) -> EmergencyStop | None:
    """Bring the row of a stop to its journal, and record and alert what is new. Harmless to repeat.

    Args:
        actor: who pressed just now, with the request they did it in; others are known by their name alone.

    Returns:
        The row; None while the journal has no press.
    """
    entries = file.entries()
    state = journal.summary(entries)
    if state.pressed_at is None:
        return None
    with transaction.atomic():
        row = _row(environment, file, state)
        known, before = len(row.journal), row.outcome
        if len(entries) <= known:
            return row
        for entry in entries[known:]:
            _record(row, environment, entry, state, actor)
        _copy(row, state, entries)
        row.save()
        if row.outcome != before and row.released_at is None:
            _alert(row, environment, state)
        doorbell.ring_on_commit((f"stop.{row.pk}", f"environment.{environment.pk}", "stops", "overview"))
    return row


def _row(environment: Environment, file: JournalFile, state: StopState) -> EmergencyStop:
    """The row, locked; made when there is none yet."""
    pressed_at = moment(state.pressed_at or 0)
    EmergencyStop.objects.get_or_create(
        pk=file.id, defaults={"environment": environment, "pressed_at": pressed_at, "actor_name": state.actor[:150]}
    )
    row = EmergencyStop.objects.select_for_update().get(pk=file.id)
    row.environment = environment
    return row


def _copy(row: EmergencyStop, state: StopState, entries: list[dict[str, Any]]) -> None:
    row.drill, row.via, row.actor_name = state.drill, state.via[:20], state.actor[:150]
    row.actor = _person(state.actor) if state.via in CONSOLE else None
    row.reason = state.reason
    for name in ("halted_at", "clean_at", "flat_at"):
        at = getattr(state, name)
        setattr(row, name, None if at is None else moment(at))
    # A look after FLAT that finds something takes the outcome back until there is another one.
    lost = state.outcome == "FLAT" and state.flat_at is None
    row.outcome = "" if lost else state.outcome
    row.finished_at = moment(state.outcome_at) if row.outcome and state.outcome_at else None
    row.remaining, row.journal = state.remaining, entries


def _record(
    row: EmergencyStop, environment: Environment, entry: Mapping[str, Any], state: StopState, given: Actor | None
) -> None:
    event, reason = entry["event"], str(entry.get("reason", ""))
    at = moment(float(entry["at"])).isoformat(timespec="milliseconds")
    after: dict[str, Any] = {"stop": str(row.pk), "at": at}
    if event in ("pressed", "joined"):
        drill = bool(entry.get("drill"))
        action = "stop.joined" if event == "joined" else "stop.drill" if drill else "stop.engaged"
        actor = _actor(entry, given)
        after |= {"via": entry.get("via", ""), "drill": drill}
        record(actor, action, row, environment=environment.name, reason=reason, after=after)
    elif event == "reason":
        actor = _actor({"via": "page", **entry}, given)
        record(actor, "stop.reason_given", row, environment=environment.name, reason=reason, after=after)
    elif event == "outcome":
        outcome = str(entry.get("outcome", ""))
        took = round((float(entry["at"]) - (state.pressed_at or 0)) * 1000)
        after |= {"outcome": outcome, "ms_after_the_press": took, "drill": state.drill}
        done = Outcome.DONE if outcome == EmergencyStop.Outcome.FLAT else Outcome.FAILED
        who = system("emergency stop")
        record(who, "stop.finished", row, environment=environment.name, outcome=done, after=after)


def _actor(entry: Mapping[str, Any], given: Actor | None) -> Actor:
    """Who it was: ``given``, when it was them; the person of the name; or somebody at a command line."""
    name, via = str(entry.get("actor", "")), str(entry.get("via", ""))
    if given is not None and name == name_of(given):
        return given
    if via in CONSOLE:
        user = _person(name)
        if user is not None:
            return Actor(user.display_name, "session" if via == "page" else "key", user, user.role)
    return Actor(name=f"{name or 'unknown'} ({via or 'command line'})", via="cli", role="System")


def _person(name: str) -> Any:
    found = _USERNAME.search(name)
    return get_user_model().objects.filter(username=found.group(1)).first() if found else None


def _alert(row: EmergencyStop, environment: Environment, state: StopState) -> None:
    """Critical as long as a stop is not confirmed flat."""
    key = f"{environment.name} {row.pk}"
    if row.outcome == EmergencyStop.Outcome.FLAT:
        clear("stop", key)
        return
    if not row.outcome:
        title, detail = "something is there again after the emergency stop", "The stop goes on by itself."
    elif row.outcome == EmergencyStop.Outcome.UNCONFIRMED:
        title = "emergency stop NOT CONFIRMED, the exchange cannot be read"
        detail = "; ".join(map(str, state.remaining.get("unread", ())))
    else:
        positions, orders = (len(state.remaining.get(what, ())) for what in ("positions", "orders"))
        left = f"{counted(positions, 'position')}, {counted(orders, 'order')} left"
        title = f"emergency stop NOT FLAT, {left}" if positions or orders else "emergency stop: halt not confirmed"
        detail = "Close what is left one by one, on the page of the stop."
    raise_alert(
        "stop",
        key,
        severity="critical",
        title=f"{environment.name}: {'drill: ' if row.drill else ''}{title}",
        environment=environment,
        detail=detail,
        link=f"/kill-switch/stops/{row.pk}/",
    )


def follow_latch(environment: Environment, *, may_restore: bool = False) -> None:
    """Bring ``latched_at`` to the latch file. Harmless to repeat.

    A file that is gone without a release is written again when ``may_restore``: the latch survives the loss of either.

    Raises:
        OSError: the file cannot be written.
    """
    held = stop_files.held_latch(environment.name)
    if (held is None) == (environment.latched_at is None):
        return
    with transaction.atomic():
        # Whoever releases holds the same lock (trading/latch.py), so what is read now belongs together.
        locked = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        held = stop_files.held_latch(environment.name)
        if held is not None and locked.latched_at is None:
            at = moment(held.at) if held.at else timezone.now()
            Environment.objects.filter(pk=environment.pk).update(latched_at=at)
            doorbell.ring_on_commit((f"environment.{environment.pk}", "stops", "overview"))
        elif held is None and locked.latched_at is not None:
            _without_file(locked, may_restore)


def _without_file(environment: Environment, may_restore: bool) -> None:
    newest = EmergencyStop.objects.filter(environment=environment).defer("journal").first()
    if newest is not None and newest.released_at is not None:
        Environment.objects.filter(pk=environment.pk).update(latched_at=None)
        return
    if not may_restore:
        return
    at = environment.latched_at.timestamp() if environment.latched_at else 0.0
    latch = Latch("", environment.name, at, "the database", "monitor")
    if newest is not None:
        latch = Latch(str(newest.pk), environment.name, at, newest.actor_name, newest.via, newest.reason, newest.drill)
    latch_file.engage(stop_files.folder(environment.name), latch)
    logger.error("%s: the latch file was gone without a release; it is there again", environment.name)
