"""The use cases of closing by hand: one position, one order, or the orders of a symbol or of an environment.

Two ways, of which the person chooses one: through the trading system, or directly at the exchange when the system does
not answer or refuses. Both need the same permission, both work while the kill switch is engaged, and both end with a
read of the exchange, which alone decides what is left. The intent is kept before the act and the outcome after it, each
in a transaction of its own, so that an act is on record even when the console dies in its midst. A repeat is harmless:
an order that closes can only reduce, and what is closed or cancelled stays so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Any, TypeVar

from django.db import transaction

from accounts.domain import DomainError, InvalidRequest
from accounts.roles import STOP
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from audit.models import Outcome
from environments.models import Environment
from environments.permissions import require
from trading import sides
from trading.comparing import plain
from trading.errors import WrongState
from trading.sides import Held, Reading, Resting
from trading.ways import (
    VIA_WORDS,
    Scope,
    Tried,
    Via,
    ask_exchange,
    ask_system,
    cancel_at_exchange,
    cancel_by_system,
    close_at_exchange,
    close_by_system,
)

REASON_LIMIT = 2000
READ_AGAIN = (0.3, 0.7)
"""Pauses in seconds before the exchange is read again, when something is left that was reported gone."""
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9:@._/-]{0,39}")
_ORDER = re.compile(r"[A-Za-z0-9_-]{1,80}")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Closed:
    """What came of closing a position. Sizes in coins, signed, as the exchange says."""

    symbol: str
    via: Via
    before: Decimal | None
    """None: the exchange could not be read before."""
    remaining: Decimal | None
    """None: the exchange could not be read afterwards, so nothing is confirmed."""
    read_at: datetime
    detail: str
    """What the system or the exchange said to it."""

    @property
    def is_done(self) -> bool:
        """Read back: nothing is left."""
        return self.remaining is not None and not self.remaining

    @property
    def words(self) -> str:
        """For a person, without the time."""
        if self.remaining is None:
            return f"{self.symbol}: asked for, NOT confirmed. The exchange cannot be read. {self.detail}".strip()
        if self.remaining:
            was = "" if self.before is None else f" of {plain(self.before)}"
            left = f"{self.symbol}: {plain(self.remaining)}{was} is left at the exchange."
            return f"{left} {self.detail}".strip()
        return f"{self.symbol}: closed {VIA_WORDS[self.via]}. Read back: nothing is left at the exchange."


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of cancelling orders, as the exchange says."""

    scope: str
    """What was asked for, in words."""
    via: Via
    before: tuple[Resting, ...] | None
    remaining: tuple[Resting, ...] | None
    """Those of the scope that are left; None: the exchange could not be read, so nothing is confirmed."""
    read_at: datetime
    detail: str = ""

    @property
    def is_done(self) -> bool:
        """Read back: none is left."""
        return self.remaining is not None and not self.remaining

    @property
    def words(self) -> str:
        """For a person, without the time."""
        if self.remaining is None:
            return f"{self.scope}: asked for, NOT confirmed. The exchange cannot be read. {self.detail}".strip()
        if self.remaining:
            left = ", ".join(f"{order.id} ({order.symbol})" for order in self.remaining[:5])
            more = f" and {len(self.remaining) - 5} more" if len(self.remaining) > 5 else ""
            return f"{self.scope}: {len(self.remaining)} left at the exchange: {left}{more}. {self.detail}".strip()
        count = "" if self.before is None else f" {len(self.before)} before,"
        return f"{self.scope}: cancelled {VIA_WORDS[self.via]};{count} none is left at the exchange."


def close(actor: Actor, environment: Environment, symbol: str, reason: str, *, via: str) -> Closed:
    """Close one position at the market, reduce-only, and read back at the exchange what is left.

    Raises:
        Forbidden: the actor may not stop trading here.
        InvalidRequest: symbol, reason or way is wrong.
        WrongState: the exchange has no such position, or the system refuses; nothing was done.
        NotConfigured: there is no exchange account to close it at.
        Unreachable: no answer, and the position is still there or cannot be read.
    """
    way, reason = permit(actor, environment, reason, via)
    symbol = clean_symbol(symbol)
    before = _size(sides.positions_at_exchange(environment), symbol)
    if before is not None and not before:
        raise WrongState(
            f"The exchange has no position in {symbol} here. Nothing was done. If the system keeps one, take over the "
            "exchange's position on the reconciliation page."
        )
    intent = {"symbol": symbol, "via": way.value}
    _note(actor, environment, "position.closed", Outcome.INTENT, reason, _sized(symbol, before), intent)
    if way is Via.SYSTEM:
        tried = ask_system(environment, lambda client: close_by_system(client, actor, symbol, reason))
    else:
        tried = ask_exchange(lambda: close_at_exchange(environment, symbol))
    after = _read_back(lambda: sides.positions_at_exchange(environment), lambda found: not _size(found, symbol), tried)
    result = Closed(symbol, way, before, _size(after, symbol), after.at, tried.said)
    outcome = Outcome.DONE if result.is_done else Outcome.FAILED
    kept = {**intent, **tried.fields, **_sized(symbol, result.remaining), "detail": _detail(tried, after)}
    _note(actor, environment, "position.closed", outcome, reason, _sized(symbol, before), kept)
    if tried.error is not None and not result.is_done and not _has_shrunk(before, result.remaining):
        raise _with_remains(tried.error, result.remaining, f"{symbol} is still {plain(result.remaining or Decimal())}")
    return result


def cancel(
    actor: Actor, environment: Environment, reason: str, *, order: str = "", symbol: str = "", via: str
) -> Cancelled:
    """Cancel one order, those of a symbol, or all, and read back at the exchange which are left.

    Raises:
        Forbidden, InvalidRequest, WrongState, NotConfigured, Unreachable: as in ``close``.
    """
    way, reason = permit(actor, environment, reason, via)
    scope = clean_scope(order, symbol)
    read = sides.orders_at_exchange(environment)
    before = scope.of(read.rows) if read.is_known else None
    if before is not None and not before:
        raise WrongState(f"The exchange has no such order here ({scope.words.lower()}). Nothing was done.")
    intent = {"scope": scope.words, **scope.as_json(), "via": way.value}
    _note(actor, environment, "orders.cancelled", Outcome.INTENT, reason, _listed(before), intent)
    if way is Via.SYSTEM:
        tried = ask_system(environment, lambda client: cancel_by_system(client, actor, scope, reason))
    else:
        tried = ask_exchange(lambda: cancel_at_exchange(environment, scope))
    after = _read_back(lambda: sides.orders_at_exchange(environment), lambda found: not scope.of(found.rows), tried)
    left = scope.of(after.rows) if after.is_known else None
    result = Cancelled(scope.words, way, before, left, after.at, tried.said)
    outcome = Outcome.DONE if result.is_done else Outcome.FAILED
    kept = {**intent, **tried.fields, **_listed(left), "detail": _detail(tried, after)}
    _note(actor, environment, "orders.cancelled", outcome, reason, _listed(before), kept)
    if tried.error is not None and not result.is_done and (not left or before is None or len(left) >= len(before)):
        raise _with_remains(tried.error, left, f"{_counted(left or ())} still open")
    return result


@use_case
def permit(actor: Actor, environment: Environment, reason: str, via: str) -> tuple[Via, str]:
    """Way and reason of an act that stops trading here, checked; a denial is audited.

    Raises:
        Forbidden: the actor may not stop trading here.
        InvalidRequest: the reason or the way is wrong.
    """
    require(actor, STOP, environment)
    if via not in list(Via):
        raise InvalidRequest("via", f"Unknown way {via!r}. Known: {', '.join(Via)}.")
    return Via(via), clean_reason(reason)


def clean_reason(reason: str) -> str:
    """The reason as it is kept.

    Raises:
        InvalidRequest: there is none, or it is too long.
    """
    text = (reason or "").strip()
    if not text:
        raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
    if len(text) > REASON_LIMIT:
        raise InvalidRequest("reason", f"The reason has {len(text)} characters; at most {REASON_LIMIT} are kept.")
    return text


def clean_symbol(symbol: str) -> str:
    """A symbol as exchanges write them.

    Raises:
        InvalidRequest: it is none.
    """
    if not _SYMBOL.fullmatch(symbol or ""):
        raise InvalidRequest("symbol", f"{symbol!r:.60} is no symbol. Write it as the exchange does, for example BTC.")
    return symbol


def clean_scope(order: str, symbol: str) -> Scope:
    """Which orders are meant.

    Raises:
        InvalidRequest: both are given, or one is written wrongly.
    """
    if order and symbol:
        raise InvalidRequest("order", "Name one order, or a symbol, not both.")
    if order and not _ORDER.fullmatch(order):
        raise InvalidRequest("order", f"{order!r:.60} is no order id.")
    return Scope(order, clean_symbol(symbol) if symbol else "")


def _read_back(read: Callable[[], Reading[R]], is_gone: Callable[[Reading[R]], bool], tried: Tried) -> Reading[R]:
    """The exchange after the act; read again for a moment when the act said it is done and something is left."""
    found = read()
    for pause in READ_AGAIN:
        if tried.error is not None or (found.is_known and is_gone(found)):
            break
        Event().wait(pause)  # an exchange may answer a read from a moment ago
        found = read()
    return found


def _size(found: Reading[Held], symbol: str) -> Decimal | None:
    """Size of a position; zero without one, None when it could not be read."""
    if not found.is_known:
        return None
    return next((one.size for one in found.rows if one.symbol == symbol), Decimal(0))


def _counted(orders: Sequence[Resting]) -> str:
    return f"{len(orders)} order{' is' if len(orders) == 1 else 's are'}"


def _has_shrunk(before: Decimal | None, after: Decimal | None) -> bool:
    return before is not None and after is not None and abs(after) < abs(before)


def _with_remains(error: DomainError, remaining: object, words: str) -> DomainError:
    left = "The exchange cannot be read either: it is NOT confirmed." if remaining is None else f"Read back: {words}."
    return type(error)(f"{error} {left}")


def _sized(symbol: str, size: Decimal | None) -> dict[str, str]:
    return {"symbol": symbol, "size": "unknown" if size is None else plain(size)}


def _listed(orders: Sequence[Resting] | None) -> dict[str, Any]:
    if orders is None:
        return {"orders": "unknown"}
    return {"orders": [f"{one.id} {one.symbol} {one.side} {plain(one.size)}" for one in orders]}


def _detail(tried: Tried, after: Reading[Any]) -> str:
    return " ".join(part for part in (tried.said, str(tried.error or ""), after.problem) if part)


def _note(
    actor: Actor, environment: Environment, action: str, outcome: str, reason: str, before: Any, after: Any
) -> None:
    with transaction.atomic():
        record(
            actor,
            action,
            environment,
            environment=environment.name,
            outcome=outcome,
            reason=reason,
            before=before,
            after=after,
        )
