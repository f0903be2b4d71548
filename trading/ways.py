"""The two ways of an act by hand: through the trading system, and directly at the exchange. Effects only.

Each gives what the other side said to it, or the error that it stands for. What is true is decided by whoever reads the
exchange afterwards (``positions.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from accounts.domain import DomainError
from audit.actors import Actor
from environments.models import Environment
from environments.secrets import SecretMissing
from environments.target import TargetClient, TargetError, TargetRefused
from trading import sides
from trading.comparing import plain
from trading.errors import NotConfigured, Unreachable, WrongState
from trading.exchange.base import ExchangeError, ExchangeRefused, all_orders, all_positions
from trading.sides import Resting

SLIPPAGE = Decimal("0.05")
"""How far from the mark a direct close may go at worst, as a fraction."""


class Via(StrEnum):
    """Which way an act takes."""

    SYSTEM = "system"
    EXCHANGE = "exchange"


VIA_WORDS = {Via.SYSTEM: "through the trading system", Via.EXCHANGE: "directly at the exchange"}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which orders are meant: one, those of a symbol, or all."""

    order: str = ""
    symbol: str = ""

    @property
    def words(self) -> str:
        """At the beginning of a sentence."""
        return f"Order {self.order}" if self.order else f"Orders of {self.symbol}" if self.symbol else "All orders"

    def means(self, order: str, symbol: str) -> bool:
        """Whether an order is one of them."""
        return order == self.order if self.order else self.symbol in ("", symbol)

    def of(self, orders: Sequence[Resting]) -> tuple[Resting, ...]:
        """Those that are meant."""
        return tuple(one for one in orders if self.means(one.id, one.symbol))

    def as_json(self) -> dict[str, str]:
        """For the audit trail."""
        return {name: value for name, value in (("order", self.order), ("symbol", self.symbol)) if value}


@dataclass(slots=True)
class Tried:
    """What the act itself answered, before anything was read back."""

    said: str = ""
    error: DomainError | None = None
    fields: dict[str, str] = field(default_factory=dict)


def close_by_system(client: TargetClient, actor: Actor, symbol: str, reason: str) -> Tried:
    """Let the trading system close it. Raises ``TargetError``."""
    done = client.close_position(symbol, actor=actor.name, reason=reason)
    price = "" if done.price is None else f" at {plain(done.price)}"
    said = f"The system says that it closed {plain(done.closed)}{price}."
    return Tried(said, fields={"closed": plain(done.closed), "price": plain(done.price or Decimal())})


def cancel_by_system(client: TargetClient, actor: Actor, scope: Scope, reason: str) -> Tried:
    """Let the trading system cancel them. Raises ``TargetError``."""
    done = client.cancel_orders(actor=actor.name, reason=reason, symbol=scope.symbol, order=scope.order)
    return Tried(f"The system says that it cancelled {done.cancelled}.", fields={"cancelled": str(done.cancelled)})


def close_at_exchange(environment: Environment, symbol: str) -> Tried:
    """One order that can only reduce, and is filled at once as far as it can be. Raises ``ExchangeError``."""
    exchange = sides.exchange_of(environment)
    held = [one for one in all_positions(exchange) if one.coin == symbol]
    if not held:
        return Tried("It was gone before the order was sent.")
    mids = exchange.mids(held[0].section) if held[0].mark is None else None
    done = exchange.close(held, slippage=SLIPPAGE, mids=mids)[0]
    price = "" if done.price is None else f" at {plain(done.price)}"
    said = f"The exchange filled {plain(done.size)}{price}." if done.size else ""
    if done.status == "lost":
        return Tried(error=Unreachable("The exchange did not answer the order."))
    if done.status == "refused":
        return Tried(error=WrongState(f"The exchange refused the order: {done.detail or 'it did not say why'}."))
    # Not filled in full: the reason, and that it may be tried again, belong into the answer.
    more = "" if done.status == "done" else f"The rest found no match within {SLIPPAGE:.0%} of the price; try again."
    return Tried(f"{said} {more}".strip(), fields={"closed": plain(done.size), "price": plain(done.price or Decimal())})


def cancel_at_exchange(environment: Environment, scope: Scope) -> Tried:
    """One batched cancel of what is there now. Raises ``ExchangeError``, ``NotThere``."""
    exchange = sides.exchange_of(environment)
    meant = [one for one in all_orders(exchange) if scope.means(str(one.oid), one.coin)]
    if not meant:
        return Tried("They were gone before the request was sent.")
    results = exchange.cancel(meant)
    refused = sorted({one.detail for one in results if one.status == "refused" and one.detail})
    said = f"The exchange says: {'; '.join(refused)}." if refused else ""
    if all(one.status == "lost" for one in results):
        return Tried(error=Unreachable("The exchange did not answer the request."))
    return Tried(said, fields={"cancelled": str(sum(one.status == "done" for one in results))})


def ask_system(environment: Environment, ask: Callable[[TargetClient], Tried]) -> Tried:
    """What the instance that trades answers to ``ask``, or the error that a person reads."""
    hint = f"Do it {VIA_WORDS[Via.EXCHANGE]}."
    try:
        return ask(sides.writer(environment)[1])
    except TargetRefused as error:
        return Tried(error=WrongState(f"The trading system refused: {error.detail or error.title}. {hint}"))
    except (TargetError, SecretMissing, sides.NotThere) as error:
        return Tried(error=Unreachable(f"The trading system did not do it: {str(error).rstrip('.')}. {hint}"))


def ask_exchange(ask: Callable[[], Tried]) -> Tried:
    """What the exchange answers to ``ask``, or the error that a person reads."""
    try:
        return ask()
    except sides.NotThere as error:
        return Tried(error=NotConfigured(str(error)))
    except ExchangeRefused as error:
        return Tried(error=WrongState(f"The exchange refused: {error}"))
    except (ExchangeError, SecretMissing) as error:
        return Tried(error=Unreachable(f"The exchange did not do it: {error}"))
