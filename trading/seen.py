"""What the console sees of an environment right now: asked directly, all instances at once, each within a second.

Reads only. What does not answer is None, never a guess: no data is a state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Prefetch
from django.utils import timezone

from environments import adapters
from environments.health import Health
from environments.models import Environment, Instance, Slot
from environments.readings import CHECK_TITLES, FRESH_SECONDS, Reading, reading, with_samples
from environments.secrets import SecretMissing
from environments.target import BreakerState, TargetClient, TargetError, TargetState, Trade
from trading import latch, stop_files
from trading.clearance_subject import Facts, InstanceFacts, facts
from trading.models import Comparison, EmergencyStop

READ_SECONDS = 1.0
COMPARISON_HOLDS = timedelta(minutes=5)
"""A comparison with the exchange older than this says nothing any more."""
LAST_TRADES = 10


@dataclass(frozen=True, slots=True)
class Part:
    """One component of an instance's health, with its title."""

    title: str
    status: str
    detail: str


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """One instance, as it answered just now."""

    instance: Instance
    slot: Slot
    state: TargetState | None
    breaker: BreakerState | None
    health: Health | None
    problem: str
    """Why it could not be read; empty when it answered."""

    @property
    def components(self) -> list[Part]:
        """Its health, each part by the title that every page uses."""
        found = self.health.components if self.health else ()
        return [Part(CHECK_TITLES.get(one.name.partition(":")[0], one.name), one.status, one.detail) for one in found]

    @property
    def failing(self) -> list[str]:
        """Components that fail, but for what a halt itself makes fail."""
        components = self.health.components if self.health else ()
        return [one.name for one in components if one.status == "fail" and not one.name.startswith("strategies")]


@dataclass(frozen=True, slots=True)
class Seen:
    """One environment at one moment."""

    environment: Environment
    at: datetime
    latched: bool
    stop: EmergencyStop | None
    """The emergency stop in force: the newest that is not released."""
    stop_runs: bool
    """It still works on orders and positions, its re-checks included."""
    instances: tuple[InstanceSeen, ...]
    mismatches: tuple[str, ...] | None
    """Positions that differ from the exchange; None when nobody knows."""
    compared: str
    """Where that is known from, in words."""

    @property
    def writers(self) -> list[InstanceSeen]:
        """Instances of the slot that has the trading role."""
        return [one for one in self.instances if one.slot.pk == self.environment.writer_slot_id]

    @property
    def others(self) -> list[InstanceSeen]:
        """Instances of the other slot, when it runs."""
        return [one for one in self.instances if one.slot.pk != self.environment.writer_slot_id]

    @property
    def restart_required(self) -> bool:
        """Whether an instance is to be started anew before it may trade; what it counts until then is old."""
        return any(one.state is None or one.state.restart_required or one.state.latched for one in self.writers)

    def facts(self, kind: str) -> Facts:
        """What leave to trade is asked for, as plain data."""
        slot = self.environment.writer_slot
        return facts(
            kind=kind,
            environment=self.environment.name,
            stop=str(self.stop.pk) if self.stop else "",
            latched=self.latched,
            slot=slot.name if slot else "",
            version=slot.version if slot else "",
            instances=[_facts(one) for one in self.writers],
            mismatches=None if self.restart_required else self.mismatches,
        )


def look(environment: Environment) -> Seen:
    """Read an environment: four queries, then every instance of the slots that run, at once."""
    fresh = _loaded(environment)
    found = [(slot, instance) for slot in fresh.slots.all() for instance in slot.instances.all() if _runs(fresh, slot)]
    if found:
        with ThreadPoolExecutor(max_workers=min(8, len(found)), thread_name_prefix="seen") as pool:
            instances = tuple(pool.map(lambda one: see(one[1], one[0]), found))
    else:
        instances = ()
    mismatches, compared = _mismatches(fresh)
    stop = EmergencyStop.objects.filter(environment=fresh, released_at=None).select_related("environment").first()
    return Seen(fresh, timezone.now(), latch.engaged(fresh), stop, _runs_still(stop), instances, mismatches, compared)


def see(instance: Instance, slot: Slot) -> InstanceSeen:
    """Read one instance. Asks no database, so it may run in a thread; never raises for what the instance does."""
    try:
        client = adapters.client(instance, read_timeout=READ_SECONDS)
        return InstanceSeen(instance, slot, client.state(), client.circuit_breaker(), client.health(), "")
    except (TargetError, SecretMissing) as error:
        return InstanceSeen(instance, slot, None, None, None, str(error))


def last_trades(client: TargetClient, count: int = LAST_TRADES) -> list[Trade]:
    """The newest trades, oldest first. The contract lists upwards only, so the end is looked for by halving.

    Raises:
        TargetError: it does not answer.
    """
    low, high = 0, 1
    while client.trades(after=high, limit=1):  # ends: trades are finite, and the step doubles
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if client.trades(after=middle, limit=1) else (low, middle)
    return client.trades(after=max(0, low - count), limit=count) if low else []


def _loaded(environment: Environment) -> Environment:
    instances = Prefetch("instances", with_samples(Instance.objects.all()))
    slots = Prefetch("slots", Slot.objects.prefetch_related(instances))
    return Environment.objects.select_related("writer_slot", "live_slot").prefetch_related(slots).get(pk=environment.pk)


def _runs_still(stop: EmergencyStop | None) -> bool:
    if stop is None:
        return False
    told = stop_files.journal_of(stop.environment.name, stop.pk).state()
    return told.still_running if told is not None else not stop.outcome


def _runs(environment: Environment, slot: Slot) -> bool:
    return slot.role != Slot.Role.STOPPED or slot.pk == environment.writer_slot_id


def _facts(one: InstanceSeen) -> InstanceFacts:
    state, breaker = one.state, one.breaker
    return InstanceFacts(
        name=one.instance.name,
        role=state.role if state else None,
        latched=state.latched if state else None,
        breaker=("open" if breaker.is_open else "closed") if breaker else None,
        version=state.version if state else None,
    )


def _mismatches(environment: Environment) -> tuple[tuple[str, ...] | None, str]:
    """The last comparison with the exchange, and the system's own count; either may find a difference."""
    own = _own_count([reading(one) for one in _writer_instances(environment)])
    latest = Comparison.objects.filter(environment=environment).first()
    if latest is not None and latest.at > timezone.now() - COMPARISON_HOLDS:
        if latest.verdict == Comparison.Verdict.FAIL:
            symbols = tuple(sorted({str(one.get("symbol", "")) for one in latest.differences}))
            return symbols, f"compared with the exchange at {latest.at:%H:%M:%S} UTC"
        if latest.verdict == Comparison.Verdict.PASS and not own:
            return (), f"compared with the exchange at {latest.at:%H:%M:%S} UTC"
    if own is None:
        return None, "no fresh comparison with the exchange"
    return ((f"{own} by the system's own count",) if own else ()), "the trading system's own count"


def _own_count(found: Sequence[Reading]) -> int | None:
    fresh = [one for one in found if one.age_seconds is not None and one.age_seconds <= FRESH_SECONDS]
    counts = [one.values.get("mismatches") for one in fresh]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(found) else None


def _writer_instances(environment: Environment) -> list[Instance]:
    slots = [slot for slot in environment.slots.all() if slot.pk == environment.writer_slot_id]
    return [instance for slot in slots for instance in slot.instances.all()]
