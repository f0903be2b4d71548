"""What an exchange is: the Protocol, its data and its errors. A second exchange is one more file beside this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol

Side = Literal["buy", "sell"]
Status = Literal["done", "partial", "refused", "lost"]
"""What became of an order or a cancel; ``lost``: no answer came, so only a read can tell."""
Markets = dict[str, Any]
"""What an adapter must know of the markets, as JSON: ``sections``, a list with a ``name`` each; the rest is its own."""


class ExchangeError(Exception):
    """The exchange could not be asked, or did not do as asked."""


class ExchangeUnreachable(ExchangeError):
    """No complete answer. After a write it is open whether it was carried out: read."""


class ExchangeRefused(ExchangeError):
    """It answered, and said no to the request as a whole. ``status``: of the HTTP answer, 200 for a refusal in it."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.status = status

    @property
    def busy(self) -> bool:
        """Whether the rate limit is spent (HTTP 429), so that the same request may pass later."""
        return self.status == 429


@dataclass(frozen=True, slots=True)
class Market:
    """A market as the exchange lists it: its asset id and the decimals of a size."""

    asset: int
    size_decimals: int


@dataclass(frozen=True, slots=True)
class Position:
    """A net position. ``size`` in coins, below 0 for a short; prices and pnl in USD; ``section``: see ``Exchange``."""

    coin: str
    size: Decimal
    entry: Decimal | None = None
    mark: Decimal | None = None
    pnl: Decimal | None = None
    section: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account is worth, open positions included, and how much of it backs them; in USD."""

    value: Decimal
    margin: Decimal


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """A resting or a trigger order. ``size`` is what remains, in coins; ``placed_at`` in seconds since 1970."""

    oid: int
    coin: str
    side: Side
    size: Decimal
    price: Decimal
    reduce_only: bool = False
    trigger: bool = False
    kind: str = "Limit"
    placed_at: float = 0.0
    section: str = ""


@dataclass(frozen=True, slots=True)
class CancelResult:
    """What became of one cancel; ``detail`` is the exchange's own text when it was refused."""

    oid: int
    coin: str
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CloseResult:
    """What became of one close. ``size``: filled coins; ``price``: their average in USD."""

    coin: str
    status: Status
    size: Decimal = Decimal(0)
    price: Decimal | None = None
    detail: str = ""


class Exchange(Protocol):
    """One account at an exchange. Calls may come from several threads at once; each ends within its timeout.

    A *section* is a part of the exchange that has to be read by itself (a perp dex at Hyperliquid); "" is the main one.
    Every method raises ``ExchangeUnreachable`` without an answer and ``ExchangeRefused`` when all was refused.
    """

    timeout: float
    """Seconds of one request, connecting included; may be changed."""

    def load_markets(self) -> Markets:
        """Read the markets, also when they are known; in the form that ``open_exchange`` takes."""

    def sections(self) -> tuple[str, ...]:
        """Every section, the main one first. Asks the exchange only when its markets are not known yet."""

    def markets(self) -> dict[str, Market]:
        """Every market by its coin. Asks the exchange only when they are not known yet."""

    def open_orders(self, section: str = "") -> list[OpenOrder]:
        """Every resting order of a section, trigger orders included."""

    def positions(self, section: str = "") -> list[Position]:
        """Every position of a section."""

    def balance(self, section: str = "") -> Balance:
        """What the account is worth in a section."""

    def mids(self, section: str = "") -> dict[str, Decimal]:
        """Mid price in USD by coin."""

    def cancel(self, orders: Sequence[OpenOrder]) -> list[CancelResult]:
        """Cancel orders in one batch; a result for each, in the same order."""

    def close(
        self, positions: Sequence[Position], *, slippage: Decimal, mids: Mapping[str, Decimal] | None = None
    ) -> list[CloseResult]:
        """Close positions in one batch, each reduce-only at the market; a result for each, in the same order.

        ``slippage``: as a fraction of the price, how much worse it may be. The price is the position's ``mark``, else
        that of ``mids``; a position without either, or of an unknown coin, is refused by itself.
        """

    def arm_dead_man(self, at: float | None) -> None:
        """Let the exchange cancel every order at ``at`` (seconds since 1970); None: never mind."""


def all_orders(exchange: Exchange) -> list[OpenOrder]:
    """The open orders of every section. Raises ``ExchangeError``."""
    return [order for section in exchange.sections() for order in exchange.open_orders(section)]


def all_positions(exchange: Exchange) -> list[Position]:
    """The positions of every section. Raises ``ExchangeError``."""
    return [position for section in exchange.sections() for position in exchange.positions(section)]


def whole_balance(exchange: Exchange) -> Balance:
    """What the account is worth over every section. Raises ``ExchangeError``."""
    found = [exchange.balance(section) for section in exchange.sections()]
    return Balance(sum((one.value for one in found), Decimal(0)), sum((one.margin for one in found), Decimal(0)))
