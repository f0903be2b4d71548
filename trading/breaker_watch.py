"""Noticing that a circuit breaker opened or was closed: from the samples at once, and by asking every few seconds.

Only a reading of ``GET /v1/circuit-breaker`` makes or ends a trip here; a sample says where to look, and no answer
changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts import doorbell
from alerts.actions import clear, raise_alert
from audit.actions import record
from audit.actors import Actor, system
from environments import adapters
from environments.models import Environment, Instance, Slot
from environments.readings import reading, with_samples
from environments.secrets import SecretMissing
from environments.target import BreakerState, TargetError
from trading.breaker_words import title
from trading.models import BreakerTrip

logger = logging.getLogger(__name__)
MONITOR = system("monitor")
ASK_ALL_SECONDS = 5.0
READ_SECONDS = 1.0
SAME_TRIP = timedelta(seconds=1)
"""Two times of a trip that are nearer are the same: the system's clock is read to the millisecond."""
GONE = "The instance is no longer part of the environment."
BY_ITSELF = "Read as closed at the trading system; it was not reset from here."


class BreakerWatch:
    """One look each second: what the samples call changed is asked at once, and everything every five seconds."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")

    def look(self) -> None:
        """Two queries when nothing changed, then one read of each instance in question, all at once."""
        opened = {one.instance_name: one for one in BreakerTrip.objects.open().select_related("environment")}
        running = ~Q(slot__role=Slot.Role.STOPPED) | Q(slot=F("slot__environment__writer_slot"))
        instances = list(with_samples(Instance.objects.filter(running)).select_related("slot__environment"))
        if time.monotonic() - self._asked_at >= ASK_ALL_SECONDS:
            self._asked_at = time.monotonic()
            asked = instances
            self._end_gone(opened.values())
        else:
            asked = [one for one in instances if _differs(one, is_open=one.name in opened)]
        for instance, state in read(asked):
            if state is not None:
                _apply(instance, state, opened.get(instance.name))

    @staticmethod
    def _end_gone(opened: Iterable[BreakerTrip]) -> None:
        for trip in opened:
            if trip.instance_id is None:
                note_closed(trip, GONE)


def read(instances: Iterable[Instance]) -> list[tuple[Instance, BreakerState | None]]:
    """Ask each instance, all at once; None for one that does not answer."""
    asked = list(instances)
    if not asked:
        return []
    with ThreadPoolExecutor(max_workers=min(8, len(asked)), thread_name_prefix="breaker") as pool:
        return list(zip(asked, pool.map(_read, asked), strict=True))


def _read(instance: Instance) -> BreakerState | None:
    try:
        return adapters.client(instance, read_timeout=READ_SECONDS).circuit_breaker()
    except (TargetError, SecretMissing) as error:
        logger.debug("breaker of %s not read: %s", instance, error)
        return None


def _differs(instance: Instance, *, is_open: bool) -> bool:
    found = reading(instance)
    said = found.values.get("breaker_open") if found.is_fresh else None
    return said is not None and said != is_open


def _apply(instance: Instance, state: BreakerState, trip: BreakerTrip | None) -> None:
    if state.is_open and (trip is None or not _is_same(trip, state)):
        note_open(instance, state)
    elif not state.is_open and trip is not None:
        note_closed(trip, BY_ITSELF)


def _is_same(trip: BreakerTrip, state: BreakerState) -> bool:
    return state.tripped_at is None or abs(trip.tripped_at - state.tripped_at) < SAME_TRIP


def note_open(instance: Instance, state: BreakerState, by: Actor | None = None) -> BreakerTrip:
    """Keep a trip that was read, with its record and alert; the one that is kept already when it is the same.

    Args:
        by: who opened it by hand.
    """
    try:
        with transaction.atomic():
            return _note_open(instance, state, by)
    except IntegrityError:  # two noticed it at the same time
        return BreakerTrip.objects.open().get(instance_name=instance.name)


def _note_open(instance: Instance, state: BreakerState, by: Actor | None) -> BreakerTrip:
    environment = instance.slot.environment
    kept = BreakerTrip.objects.open().select_for_update().filter(instance_name=instance.name).first()
    if kept is not None and _is_same(kept, state):
        if by is not None and kept.tripped_by_id is None and kept.reason_code == "manual":  # the monitor was faster
            kept.tripped_by = by.user
            kept.save(update_fields=["tripped_by"])
        return kept
    if kept is not None:
        note_closed(kept, BY_ITSELF)
    trip = BreakerTrip.objects.create(
        environment=environment,
        instance=instance,
        instance_name=instance.name,
        reason_code=state.reason_code[:60],
        reason=state.reason,
        observed=state.observed[:60],
        threshold=state.threshold[:60],
        tripped_at=state.tripped_at or timezone.now(),
        tripped_by=by.user if by else None,
    )
    _tell(trip, by)
    return trip


def _tell(trip: BreakerTrip, by: Actor | None) -> None:
    environment = trip.environment
    names = ("instance_name", "reason_code", "reason", "observed", "threshold")
    record(
        by or MONITOR,
        "breaker.tripped",
        trip,
        environment=environment.name,
        reason=trip.reason,
        after={name.removesuffix("_name"): getattr(trip, name) for name in names},
    )
    raise_alert(
        "breaker",
        alert_key(trip),
        severity="critical",
        title=f"{trip.instance_name}: trading stopped by its circuit breaker: {title(trip.reason_code).lower()}",
        environment=environment,
        detail=trip.reason,
        link=f"/breakers/{trip.pk}/",
    )
    ring(environment)


@transaction.atomic
def note_closed(given: BreakerTrip, why: str) -> None:
    """End a trip that was read as closed. Who is resetting it from here just now keeps the credit."""
    trip = BreakerTrip.objects.open().select_for_update().filter(pk=given.pk).first()
    if trip is None:
        return
    trip.reset_at = timezone.now()
    if trip.reset_by_id is None:
        trip.reset_reason = why
        record(MONITOR, "breaker.reset", trip, environment=given.environment.name, reason=why)
    trip.save(update_fields=["reset_at", "reset_reason"])
    clear_alert(trip, MONITOR)
    ring(given.environment)


def clear_alert(trip: BreakerTrip, actor: Actor) -> None:
    """The cause of the alert is gone."""
    clear("breaker", alert_key(trip), actor=actor)


def alert_key(trip: BreakerTrip) -> str:
    """What the alert is about."""
    return f"{trip.environment.name} {trip.instance_name}"


def ring(environment: Environment) -> None:
    """Open pages that show breakers redraw."""
    doorbell.ring_on_commit(("breakers", f"environment.{environment.pk}", "overview"))
