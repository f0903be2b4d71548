"""The remedies of trading: those that run here, and the pages where a fresh sign-in or a second person is asked for."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from accounts.roles import CONFIGURE, RESUME, STOP
from audit.actors import Actor
from environments.evidence import Subject
from environments.evidence_words import count, lasting, moment
from environments.models import Environment
from environments.remedies import Remedy, register
from trading import database_pages, databases, latch, reconciliation, sides
from trading.breaker_words import title
from trading.comparing import compare
from trading.exchange.base import all_orders, all_positions
from trading.models import BreakerTrip, EmergencyStop


def _reconcile_effect(subject: Subject) -> str:
    found = sides.positions(subject.environment)
    if not found.are_known:
        return (
            "Both sides must be read, before and after; now one of them does not answer. "
            f"{found.system.problem} {found.exchange.problem}".strip()
        )
    own, there = ({one.symbol: one.size for one in side.rows} for side in (found.system, found.exchange))
    differing = compare(own, there)
    if not differing:
        return f"Nothing: system and exchange agree now, {count(len(there), 'position')} on each side."
    words = "; ".join(reconciliation.in_words(one.as_json()) for one in differing)
    return (
        f"The system takes over the exchange's {count(len(differing), 'differing position')}: {words}. "
        "No order is sent. Both sides are read again afterwards."
    )


def _reconcile(actor: Actor, subject: Subject, reason: str) -> str:
    done = reconciliation.adopt(actor, subject.environment, reconciliation.ALL, reason)
    return f"Taken over: {', '.join(done.adopted)}. Read back at {done.at:%H:%M:%S} UTC: system and exchange agree."


def _close_effect(subject: Subject) -> str:
    found = sides.positions_at_exchange(subject.environment)
    if not found.is_known:
        return f"The exchange cannot be read: {found.problem} A position is closed at the market, and can only shrink."
    names = ", ".join(one.symbol for one in found.rows)
    listed = f" ({names})" if names else ""
    return f"{count(len(found.rows), 'position')}{listed} at the exchange. You choose one; it is closed at the market."


def _breaker_effect(subject: Subject) -> str:
    found = _trips(subject.environment)
    if not found:
        return "No circuit breaker is open, as far as the monitor saw."
    named = ", ".join(f"{one.instance_name} ({title(one.reason_code).lower()})" for one in found)
    return (
        f"{count(len(found), 'breaker')} open: {named}. Three questions are answered, then the trip is acknowledged. "
        "Trading stays halted until it is resumed."
    )


def _breaker_page(subject: Subject) -> str:
    found = _trips(subject.environment)
    return reverse("breaker", args=[found[0].pk]) if len(found) == 1 else reverse("breakers")


def _trips(environment: Environment) -> list[BreakerTrip]:
    return list(BreakerTrip.objects.open().filter(environment=environment))


def _resume_effect(subject: Subject) -> str:
    engaged = latch.engaged(subject.environment)
    first = "The kill switch is engaged: it is released first. " if engaged else ""
    return f"{first}You ask, another person approves after the checks, and {subject.environment.name} trades again."


def _release_effect(subject: Subject) -> str:
    if not latch.engaged(subject.environment):
        return f"Nothing: the kill switch of {subject.environment.name} is not engaged."
    return "You answer four questions and ask; another person approves. It permits trading and starts nothing."


def _release_page(subject: Subject) -> str:
    stop = _stop(subject.environment)
    return reverse("stop-release", args=[stop.pk]) if stop else reverse("kill-switch")


def _stop(environment: Environment) -> EmergencyStop | None:
    return EmergencyStop.objects.filter(environment=environment, released_at=None).first()


def _stop_effect(subject: Subject) -> str:
    name = subject.environment.name
    if latch.engaged(subject.environment):
        return f"The kill switch of {name} is engaged already; another press joins the stop that goes on."
    found = sides.at_exchange(subject.environment, lambda one: [(len(all_positions(one)), len(all_orders(one)))])
    positions, orders = found.rows[0] if found.is_known else (0, 0)
    counts = f"{count(positions, 'position')} and {count(orders, 'order')}" if found.is_known else "whatever is open"
    return (
        f"Halts every strategy of {name}, cancels and closes {counts} at the exchange, and stays halted until released."
    )


def _backup_effect(subject: Subject) -> str:
    environment = subject.environment
    if not environment.database:
        return f"Nothing: the definition of {environment.name} has no database."
    page = database_pages.page(environment)
    last = f"The newest is {lasting(timezone.now() - page.newest.run.finished_at)} old. " if page.newest else ""
    busy = f"{page.busy} It is refused until that has ended. " if page.busy else ""
    return f"{busy}{last}Another backup is made beside trading; nothing stops."


def _back_up(actor: Actor, subject: Subject, reason: str) -> str:
    run = databases.back_up(actor, subject.environment, reason)
    link = reverse("database-run", args=[run.pk])
    return f"Asked for at {moment(run.requested_at)}; a worker makes it. {link} shows when it is done."


def _restore_effect(subject: Subject) -> str:
    environment = subject.environment
    if not environment.database:
        return f"Nothing: the definition of {environment.name} has no database."
    found = database_pages.page(environment)
    best = f" The one to choose first is of {found.best.when}." if found.best else ""
    trades = " Trading must be halted first; it is not." if found.trades else ""
    return f"The data are replaced by one of {count(len(found.backups), 'backup')}.{best}{trades}"


def _restore_page(subject: Subject) -> str:
    known = subject.environment.database
    return reverse("database", args=[subject.environment.name]) if known else reverse("databases")


def _positions_page(subject: Subject) -> str:
    return f"{reverse('positions')}?{urlencode({'environment': subject.environment.name})}"


register(
    Remedy("trading.reconcile", "Take over the exchange's positions", RESUME, _reconcile_effect, run=_reconcile),
    Remedy("trading.close_position", "Close a position by hand", STOP, _close_effect, page=_positions_page),
    Remedy(
        "trading.reset_breaker", "Validate and reset the circuit breaker", RESUME, _breaker_effect, page=_breaker_page
    ),
    Remedy(
        "trading.resume",
        "Ask to resume trading",
        RESUME,
        _resume_effect,
        page=lambda subject: reverse("resume", args=[subject.environment.name]),
    ),
    Remedy("trading.release", "Ask to release the kill switch", RESUME, _release_effect, page=_release_page),
    Remedy(
        "trading.emergency_stop",
        "Open the kill switch",
        STOP,
        _stop_effect,
        page=lambda subject: reverse("kill-switch"),
    ),
    Remedy("trading.backup", "Back up the trading database now", CONFIGURE, _backup_effect, run=_back_up),
    Remedy("trading.restore", "Restore the trading database", CONFIGURE, _restore_effect, page=_restore_page),
)
