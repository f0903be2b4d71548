"""What belongs to one account of the paper exchange: its orders, fills, positions and cash. Pure."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Side = Literal["B", "A"]
START_CASH = Decimal(100_000)
KEPT_FILLS = 2_000


@dataclass(frozen=True, slots=True)
class Trigger:
    """When an order comes to life: `price` in USD, `tpsl` is tp (take profit) or sl (stop loss)."""

    price: Decimal
    is_market: bool
    tpsl: str


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asks for. `limit` in USD, `size` in coins, `tif` is Ioc, Gtc or Alo."""

    coin: str
    side: Side
    size: Decimal
    limit: Decimal
    tif: str
    reduce_only: bool = False
    cloid: str | None = None
    trigger: Trigger | None = None
    position_tpsl: bool = False

    @property
    def trigger_above(self) -> bool:
        """Whether the trigger fires when the price rises to it: profit of a long position, loss of a short one."""
        return self.trigger is not None and (self.trigger.tpsl == "tp") == (self.side == "A")


@dataclass(slots=True)
class Order:
    """An accepted order and what became of it. Armed: a trigger order whose price was not reached yet."""

    oid: int
    request: NewOrder
    remaining: Decimal
    at_ms: int
    status: str = "open"
    status_ms: int = 0
    armed: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `price` in USD, `start_position` and `size` in coins, `closed_pnl` in USD."""

    tid: int
    oid: int
    cloid: str | None
    coin: str
    side: Side
    size: Decimal
    price: Decimal
    at_ms: int
    start_position: Decimal
    closed_pnl: Decimal
    crossed: bool


@dataclass(slots=True)
class Position:
    """A net position: `size` in coins (negative is short), `entry` the average price in USD."""

    size: Decimal = Decimal(0)
    entry: Decimal = Decimal(0)


@dataclass(slots=True)
class Account:
    """Everything that belongs to one account. `leverage` by coin: (times, cross); `scheduled_ms`: cancel all then."""

    cash: Decimal = START_CASH
    positions: dict[str, Position] = field(default_factory=dict)
    orders: OrderedDict[int, Order] = field(default_factory=OrderedDict)
    resting: dict[int, Order] = field(default_factory=dict)
    by_cloid: dict[str, int] = field(default_factory=dict)
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=KEPT_FILLS))
    leverage: dict[str, tuple[int, bool]] = field(default_factory=dict)
    scheduled_ms: int | None = None

    def open_orders(self) -> list[Order]:
        """Resting and armed orders, oldest first."""
        return list(self.resting.values())

    def settle(self, order: Order, status: str, at_ms: int) -> None:
        """Ends an order's life on the book: filled or canceled."""
        order.status, order.status_ms, order.armed = status, at_ms, False
        self.resting.pop(order.oid, None)

    def position(self, coin: str) -> Decimal:
        """The net size in coins; zero when there is none."""
        held = self.positions.get(coin)
        return held.size if held else Decimal(0)

    def forget_oldest(self) -> None:
        """Forgets the order that was settled longest ago; orders that rest are kept."""
        oldest = next((oid for oid in self.orders if oid not in self.resting), None)
        if oldest is not None:
            self.by_cloid.pop(self.orders.pop(oldest).request.cloid or "", None)

    def move(self, coin: str, change: Decimal, price: Decimal) -> Decimal:
        """Applies a signed size to the position, books what it realises into cash and answers that profit in USD."""
        held = self.positions.setdefault(coin, Position())
        pnl = Decimal(0)
        if held.size * change >= 0:
            total = held.size + change
            if total:
                held.entry = (held.entry * held.size + price * change) / total
            held.size = total
        else:
            closing = min(abs(change), abs(held.size))
            pnl = (price - held.entry) * closing * (1 if held.size > 0 else -1)
            flips = abs(change) > abs(held.size)
            held.size += change
            if flips:
                held.entry = price
        if not held.size:
            del self.positions[coin]
        self.cash += pnl
        return pnl
