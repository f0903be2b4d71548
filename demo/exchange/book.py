"""Accounts of the paper exchange: orders, fills and positions. Pure: no clock, no files, no network."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from demo.exchange.market import COIN_BY_NAME, MIN_ORDER_USD, Market

Side = Literal["B", "A"]
START_CASH = Decimal(100_000)
MAX_DISTANCE = Decimal("0.8")
KEPT_FILLS = 2_000
KEPT_ORDERS = 5_000


class OrderRejected(Exception):
    """The order cannot be accepted; the text is what the exchange answers."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asks for. `limit` in USD, `size` in coins, `tif` is Ioc or Gtc."""

    coin: str
    side: Side
    size: Decimal
    limit: Decimal
    tif: str
    reduce_only: bool = False
    cloid: str | None = None


@dataclass(slots=True)
class Order:
    """An accepted order and what became of it: open, filled or canceled."""

    oid: int
    request: NewOrder
    remaining: Decimal
    at_ms: int
    status: str = "open"
    status_ms: int = 0


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
    """Everything that belongs to one account address."""

    cash: Decimal = START_CASH
    positions: dict[str, Position] = field(default_factory=dict)
    orders: OrderedDict[int, Order] = field(default_factory=OrderedDict)
    resting: dict[int, Order] = field(default_factory=dict)
    by_cloid: dict[str, int] = field(default_factory=dict)
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=KEPT_FILLS))

    def open_orders(self) -> list[Order]:
        """Resting orders, oldest first."""
        return list(self.resting.values())

    def settle(self, order: Order, status: str, at_ms: int) -> None:
        """Ends an order's life on the book: filled or canceled."""
        order.status, order.status_ms = status, at_ms
        self.resting.pop(order.oid, None)

    def position(self, coin: str) -> Decimal:
        """The net size in coins; zero when there is none."""
        held = self.positions.get(coin)
        return held.size if held else Decimal(0)


class Book:
    """All accounts. Orders match against the market's bid and ask, which have unlimited depth."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.accounts: dict[str, Account] = {}
        self.next_oid = 1
        self.next_tid = 1

    def account(self, name: str) -> Account:
        """The account, made when it is first named."""
        return self.accounts.setdefault(name, Account())

    def place(self, account: str, request: NewOrder, at_ms: int) -> tuple[Order, Fill | None]:
        """Fills the order at once, or lets it rest (Gtc). Raises OrderRejected with the exchange's words."""
        holder = self.account(account)
        self._check(holder, request)
        price = self.market.ask(request.coin) if request.side == "B" else self.market.bid(request.coin)
        crosses = request.limit >= price if request.side == "B" else request.limit <= price
        if not crosses and request.tif == "Ioc":
            raise OrderRejected("Order could not immediately match against any resting orders.")
        order = self.add(holder, Order(self.next_oid, request, request.size, at_ms, status_ms=at_ms))
        return order, self.execute(holder, order, price, at_ms, crossed=True) if crosses else None

    def cancel(self, account: str, coin: str, oid: int, at_ms: int) -> Order:
        """Takes a resting order off the book. Raises OrderRejected when there is none."""
        holder = self.account(account)
        order = holder.resting.get(oid)
        if order is None or order.request.coin != coin:
            raise OrderRejected("Order was never placed, already canceled, or filled.")
        holder.settle(order, "canceled", at_ms)
        return order

    def match_resting(self, at_ms: int) -> list[tuple[str, Fill]]:
        """Fills every resting order that the market has reached, at its limit price; answers (account, fill)."""
        filled = []
        for name, holder in self.accounts.items():
            for order in holder.open_orders():
                request = order.request
                mid = self.market.mid(request.coin)
                reached = mid <= request.limit if request.side == "B" else mid >= request.limit
                if not reached:
                    continue
                if request.reduce_only and not _reduces(holder.position(request.coin), request.side):
                    holder.settle(order, "canceled", at_ms)
                    continue
                filled.append((name, self.execute(holder, order, request.limit, at_ms, crossed=False)))
        return filled

    def add(self, holder: Account, order: Order) -> Order:
        """Keeps an accepted order (also used to rebuild accounts from the log)."""
        holder.orders[order.oid] = holder.resting[order.oid] = order
        if order.request.cloid:
            holder.by_cloid[order.request.cloid] = order.oid
        self.next_oid = max(self.next_oid, order.oid + 1)
        while len(holder.orders) > KEPT_ORDERS:
            _, old = holder.orders.popitem(last=False)
            holder.by_cloid.pop(old.request.cloid or "", None)
        return order

    def execute(self, holder: Account, order: Order, price: Decimal, at_ms: int, *, crossed: bool) -> Fill:
        """Fills all that remains of the order at `price` and moves the position."""
        request, size = order.request, order.remaining
        if request.reduce_only:
            size = min(size, abs(holder.position(request.coin)))
        before = holder.position(request.coin)
        pnl = _move(holder, request.coin, size if request.side == "B" else -size, price)
        order.remaining = Decimal(0)
        holder.settle(order, "filled", at_ms)
        what = (order.oid, request.cloid, request.coin, request.side)
        fill = Fill(self.next_tid, *what, size, price, at_ms, before, pnl, crossed)
        self.next_tid += 1
        holder.fills.append(fill)
        return fill

    def _check(self, holder: Account, request: NewOrder) -> None:
        coin = COIN_BY_NAME.get(request.coin)
        if coin is None:
            raise OrderRejected(f"Unknown asset {request.coin}.")
        if request.cloid and request.cloid in holder.by_cloid:
            raise OrderRejected("Duplicate cloid.")
        if request.size <= 0 or request.size != round(request.size, coin.size_decimals):
            raise OrderRejected("Order has invalid size.")
        mid = self.market.mid(request.coin)
        if request.limit <= 0 or abs(request.limit - mid) > MAX_DISTANCE * mid:
            raise OrderRejected("Order price cannot be more than 80% away from the reference price.")
        held = holder.position(request.coin)
        if request.reduce_only:
            if not _reduces(held, request.side):
                raise OrderRejected("Reduce only order would increase position.")
            return
        if request.size * request.limit < MIN_ORDER_USD:
            raise OrderRejected("Order must have minimum value of $10.")


def _reduces(held: Decimal, side: Side) -> bool:
    return held < 0 if side == "B" else held > 0


def _move(holder: Account, coin: str, change: Decimal, price: Decimal) -> Decimal:
    """Applies a signed size to the position, books what it realises into cash and answers that profit in USD."""
    held = holder.positions.setdefault(coin, Position())
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
        del holder.positions[coin]
    holder.cash += pnl
    return pnl
