"""What trading knows for a checklist or a runbook, read at that moment at the trading system and at the exchange.

A side that does not answer is no data, never "0". Each reading ends within three seconds, whatever hangs.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TypeVar
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from environments import adapters, asking
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import count, lasting, lines, moment, worst
from environments.models import Environment
from environments.target import BreakerState, TargetState
from trading import database_pages, evidence_account, latch, reconciliation, sides
from trading.breaker_words import measured, title
from trading.comparing import Settled, compare, plain, settle
from trading.models import BreakerTrip, EmergencyStop
from trading.sides import Held, Resting, Sides

__all__ = ["evidence_account"]
WITHIN_SECONDS = 3.0
PROVED_WITHIN = timedelta(days=7)
"""A backup that was proved to be restorable is not older than this."""
R = TypeVar("R", Held, Resting)


@provider("trading.reconciliation", "Positions against the exchange")
def positions_reconciled(subject: Subject) -> Reading:
    """Both sides compared now; where they differ they are read again, for an order under way does that, too."""
    environment, began = subject.environment, monotonic()
    link = _link("reconciliation", environment)
    reads = []
    while True:
        start = monotonic()
        found = sides.positions(environment)
        if not found.are_known:
            return Reading(_unread(found), Verdict.NO_DATA, link)
        reads.append(compare(*({one.symbol: one.size for one in side.rows} for side in (found.system, found.exchange))))
        settled = settle(reads)
        another = reconciliation.SETTLE_SECONDS + monotonic() - start
        if not settled.is_open or monotonic() - began + another > WITHIN_SECONDS:
            return _compared(settled, len(reads), found, link)
        Event().wait(reconciliation.SETTLE_SECONDS)


@provider("trading.positions", "Open positions")
def open_positions(subject: Subject) -> Reading:
    """What the exchange says; the system's own count beside it."""
    found = sides.positions(subject.environment)
    link = _link("positions", subject.environment)
    if not found.exchange.is_known:
        return Reading(_unread(found), Verdict.NO_DATA, link)
    held = found.exchange.rows
    exposure = sum((abs(one.size) * one.mark for one in held if one.mark is not None), Decimal(0))
    pnl = sum((one.pnl for one in held if one.pnl is not None), Decimal(0))
    value = f"{count(len(held), 'position')} at the exchange"
    if held:
        value += f", worth {exposure:,.2f} USD, unrealised {pnl:+,.2f} USD"
    value, verdict = _beside(value, found)
    return Reading(value, verdict, link, lines([*map(_held, held), *_unknown(found)]))


@provider("trading.orders", "Open orders")
def open_orders(subject: Subject) -> Reading:
    """What the exchange says; the system's own count beside it."""
    found = sides.orders(subject.environment)
    link = _link("orders", subject.environment)
    if not found.exchange.is_known:
        return Reading(_unread(found), Verdict.NO_DATA, link)
    protecting = sum(1 for one in found.exchange.rows if one.trigger)
    value = f"{count(len(found.exchange.rows), 'order')} at the exchange"
    value += f", {protecting} of them wait for a price" if protecting else ""
    value, verdict = _beside(value, found)
    return Reading(value, verdict, link, lines([*map(_resting, found.exchange.rows), *_unknown(found)]))


@provider("trading.breakers", "Circuit breakers")
def breakers(subject: Subject) -> Reading:
    """Each running instance is asked; an open one says why."""
    environment = subject.environment
    answers = asking.ask(
        asking.running(environment),
        lambda one: adapters.client(one, read_timeout=asking.READ_SECONDS).circuit_breaker(),
    )
    trips = list(BreakerTrip.objects.open().filter(environment=environment))
    link = reverse("breaker", args=[trips[0].pk]) if len(trips) == 1 else reverse("breakers")
    if not answers:
        return Reading("Nothing runs here yet", Verdict.NO_DATA, link)
    opened = [(one.instance.name, one.value) for one in answers if one.value and one.value.is_open]
    silent = [f"{one.instance.name} does not answer: {one.problem}" for one in answers if one.value is None]
    told = [f"{name} is open: {_why(state)}" for name, state in opened]
    closed = sum(1 for one in answers if one.value and not one.value.is_open)
    told += [f"{count(closed, 'breaker')} closed"] if closed else []
    verdicts = [Verdict.FAIL] * bool(opened) + [Verdict.NO_DATA] * bool(silent) + [Verdict.PASS] * bool(closed)
    detail = [line for name, state in opened for line in _opened(name, state)] + silent
    return Reading("; ".join(told + silent), worst(verdicts), link, lines(detail))


@provider("trading.kill_switch", "Kill switch")
def kill_switch(subject: Subject) -> Reading:
    """Whether it is engaged, and how its last use or drill ended."""
    environment = subject.environment
    used = EmergencyStop.objects.filter(environment=environment)
    last = used.first()
    detail = [] if last is None else [_stopped(last)]
    if latch.engaged(environment):
        stop = used.filter(released_at=None).first()
        link = reverse("stop", args=[stop.pk]) if stop else reverse("kill-switch")
        who = f" by {stop.actor_name}, {moment(stop.pressed_at)}: {stop.reason or 'no reason yet'}" if stop else ""
        return Reading(f"Engaged{who}", Verdict.FAIL, link, lines(detail))
    if not environment.exchange:
        return Reading("Not engaged, and it cannot be pressed: no exchange account is defined", Verdict.WARN)
    value = f"Not engaged; {_stopped(last).lower()}" if last else "Not engaged; never pressed, not even in a drill"
    return Reading(value, Verdict.PASS, reverse("kill-switch"), lines(detail))


@provider("trading.halted", "Trading role")
def halted(subject: Subject) -> Reading:
    """Whether the instances that are to trade do so."""
    answers = asking.ask(
        sides.writers(subject.environment),
        lambda one: adapters.client(one, read_timeout=asking.READ_SECONDS).state(),
    )
    link = reverse("breakers")
    if not answers:
        return Reading(sides.NO_WRITER, Verdict.NO_DATA, link)
    states = [(one.instance.name, one.value) for one in answers if one.value is not None]
    silent = [f"{one.instance.name} does not answer: {one.problem}" for one in answers if one.value is None]
    stopped = any(state.role == "HALTED" or state.latched for _, state in states)
    active = any(state.role == "ACTIVE" for _, state in states)
    verdict = Verdict.NO_DATA if silent else Verdict.WARN
    verdict = Verdict.FAIL if stopped else Verdict.PASS if active else verdict
    told = [_role(name, state) for name, state in states]
    detail = [f"{name}: {one.id} {one.state}" for name, state in states for one in state.strategies]
    return Reading("; ".join(told + silent), verdict, link, lines([*told, *silent, *detail]))


@provider("trading.backup", "Backup of the trading database")
def backup(subject: Subject) -> Reading:
    """Age of the newest backup, and of the newest that was proved to be restorable."""
    environment, now = subject.environment, timezone.now()
    if not environment.database:
        return Reading("The database of this environment is not operated from here", Verdict.NO_DATA)
    page, link = database_pages.page(environment), reverse("database", args=[environment.name])
    newest = page.newest
    if newest is None:
        return Reading("There is no backup", Verdict.FAIL, link)
    proved = next((one for one in page.backups if one.proved_at), None)
    age = lasting(now - newest.run.finished_at)
    value = f"The newest is {age} old ({newest.size}, {count(newest.rows or 0, 'row')})"
    if proved is None:
        value += "; none was verified"
    else:
        value += f"; the newest verified one is {lasting(now - proved.run.finished_at)} old"
    gone = [one.file for one in page.backups if not Path(one.run.path).exists()]
    if gone:
        value += f"; {count(len(gone), 'file')} of them cannot be found"
    fresh = proved is not None and now - proved.run.finished_at <= PROVED_WITHIN
    verdict = (
        Verdict.FAIL if page.is_old or newest.file in gone else Verdict.PASS if fresh and not gone else Verdict.WARN
    )
    detail = [
        f"{one.when} {one.file} {one.size}, "
        + (f"verified {moment(one.proved_at)}" if one.proved_at else "not verified")
        for one in page.backups
    ]
    return Reading(value, verdict, link, lines(detail))


def _compared(settled: Settled, reads: int, found: Sides[Held], link: str) -> Reading:
    equal = f"System and exchange agree: {count(len(found.exchange.rows), 'position')}"
    if settled.is_open:
        return Reading(f"They differ, each time otherwise, in {count(reads, 'read')}; look again", Verdict.WARN, link)
    if not settled.differences:
        return Reading(equal, Verdict.PASS, link, lines(map(_held, found.exchange.rows)))
    words = [reconciliation.in_words(one.as_json()) for one in settled.differences]
    names = ", ".join(one.symbol for one in settled.differences)
    value = f"{count(len(words), 'symbol')} differ{'s' * (len(words) == 1)} from the exchange: {names}"
    return Reading(value, Verdict.FAIL, link, lines([*words, *_both("positions", found)]))


def _both(what: str, found: Sides[Held]) -> list[str]:
    return [
        f"The system's {what} ({found.instance or 'no instance'}):",
        *([f"  {_held(one)}" for one in found.system.rows] or ["  none"]),
        f"The exchange's {what}:",
        *([f"  {_held(one)}" for one in found.exchange.rows] or ["  none"]),
    ]


def _beside(value: str, found: Sides[R]) -> tuple[str, Verdict]:
    """The value with the system's own count; it warns when that cannot be read, or is another one."""
    if not found.system.is_known:
        return f"{value}; the trading system cannot be read: {found.system.problem.rstrip('.')}", Verdict.WARN
    own, there = len(found.system.rows), len(found.exchange.rows)
    if own != there:
        return f"{value}, {own} in the system (one read; trading may be under way)", Verdict.WARN
    return f"{value}, the same number in the system", Verdict.PASS


def _unread(found: Sides[R]) -> str:
    named = (("The trading system", found.system), ("The exchange", found.exchange))
    return " ".join(f"{name} cannot be read: {one.problem.rstrip('.')}." for name, one in named if not one.is_known)


def _unknown(found: Sides[R]) -> list[str]:
    return [] if found.are_known else [_unread(found)]


def _held(one: Held) -> str:
    parts = [f"{one.symbol} {plain(one.size)}"]
    parts += [f"entry {plain(one.entry)}"] if one.entry is not None else []
    parts += [f"mark {one.mark:,.4f}"] if one.mark is not None else []
    parts += [f"unrealised {one.pnl:+,.2f} USD"] if one.pnl is not None else []
    return ", ".join(parts)


def _resting(one: Resting) -> str:
    price = "at the market" if one.price is None else f"at {plain(one.price)}"
    only = ", can only reduce" if one.reduce_only else ""
    return f"{one.id} {one.symbol} {one.side} {plain(one.size)} {price} {one.kind}{only}".rstrip()


def _why(state: BreakerState) -> str:
    numbers = ""
    if state.observed and state.threshold:
        code = state.reason_code
        numbers = f" ({measured(code, state.observed)} against a limit of {measured(code, state.threshold)})"
    return f"{title(state.reason_code)}{numbers}"


def _opened(name: str, state: BreakerState) -> list[str]:
    since = f" since {moment(state.tripped_at)}" if state.tripped_at else ""
    return [f"{name}: open{since}", f"  {_why(state)}", f"  {state.reason or 'The system gives no reason.'}"]


def _role(name: str, state: TargetState) -> str:
    since = f" since {moment(state.since)}" if state.since else ""
    more = ", emergency latch engaged" if state.latched else ", wants a restart" if state.restart_required else ""
    return f"{name} is {state.role}{since}{more}"


def _stopped(stop: EmergencyStop) -> str:
    what = "Last drill" if stop.drill else "Last press"
    took = f" in {lasting(stop.flat_at - stop.pressed_at)}" if stop.flat_at else ""
    return f"{what} {moment(stop.pressed_at)}: {stop.outcome or 'no outcome yet'}{took}"


def _link(name: str, environment: Environment) -> str:
    return f"{reverse(name)}?{urlencode({'environment': environment.name})}"
