"""Accounts of the paper exchange: orders, fills and positions. Pure: no clock, no files, no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from demo.exchange.account import Account, Fill, NewOrder, Order, Side
from demo.exchange.depth import Depth
from demo.exchange.market import ASSET_BY_NAME, COIN_BY_NAME, MIN_ORDER_USD, Market, on_tick

MAX_DISTANCE = Decimal("0.8")
# How far from the mid a trigger order that fires "at market" may execute.
TRIGGER_SLIPPAGE = Decimal("0.1")
KEPT_ORDERS = 5_000


class OrderRejected(Exception):
    """The order cannot be accepted; the text is what the exchange answers."""


@dataclass(frozen=True, slots=True)
class Event:
    """What became of an order by itself: `kind` is fill, trigger or cancel. Its new status is in the order."""

    kind: str
    account: str
    order: Order
    fills: tuple[Fill, ...] = ()


class Book:
    """All accounts. Orders match against the synthetic depth, never against each other."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.depth = Depth(market)
        self.accounts: dict[str, Account] = {}
        self.next_oid = 1
        self.next_tid = 1

    def account(self, name: str) -> Account:
        """The account, made when it is first named."""
        return self.accounts.setdefault(name, Account())

    def place(self, account: str, request: NewOrder, at_ms: int) -> tuple[Order, list[Fill]]:
        """Fills what the depth gives at once; the rest is dropped (Ioc) or rests (Gtc, Alo, triggers).

        Raises OrderRejected with the exchange's words.
        """
        holder = self.account(account)
        self._check(holder, request)
        order = Order(self.next_oid, request, request.size, at_ms, status_ms=at_ms)
        if request.trigger is not None:
            order.armed = True
            return self.add(holder, order), []
        crosses = next(self.depth.levels(request.coin, request.side), None)
        if request.tif == "Alo" and crosses is not None and _reaches(request, crosses[0]):
            bid, ask = self.market.bid(request.coin), self.market.ask(request.coin)
            raise _rejected(f"Post only order would have immediately matched, bbo was {bid}@{ask}.", request.coin)
        order.remaining = _trimmed(holder, order)
        taken = self.depth.take(request.coin, request.side, order.remaining, request.limit)
        if not taken and request.tif == "Ioc":
            raise _rejected("Order could not immediately match against any resting orders.", request.coin)
        self.add(holder, order)
        fills = [self.execute(holder, order, price, size, at_ms, crossed=True) for price, size in taken]
        if order.status == "open" and request.tif == "Ioc":
            holder.settle(order, "canceled", at_ms)
        return order, fills

    def inject(self, account: str, coin: str, change: Decimal, at_ms: int) -> tuple[Order, list[Fill]]:
        """A fill at the mid that nobody asked for: signed size in coins. For faults."""
        holder, side = self.account(account), ("B" if change > 0 else "A")
        mid = self.market.mid(coin)
        order = Order(self.next_oid, NewOrder(coin, side, abs(change), mid, "Ioc"), abs(change), at_ms, status_ms=at_ms)  # type: ignore[arg-type]
        self.add(holder, order)
        return order, [self.execute(holder, order, mid, abs(change), at_ms, crossed=True)]

    def cancel(self, account: str, coin: str, key: int | str, at_ms: int) -> Order:
        """Takes the resting order with this oid (int) or client id off the book. Raises OrderRejected for none."""
        holder = self.account(account)
        order = holder.resting.get(holder.by_cloid.get(key, 0) if isinstance(key, str) else key)
        if order is None or order.request.coin != coin:
            raise _rejected("Order was never placed, already canceled, or filled.", coin)
        holder.settle(order, "canceled", at_ms)
        return order

    def advance(self, at_ms: int) -> list[Event]:
        """What happens by itself at this moment: scheduled cancels, triggers, resting orders that are reached."""
        self.depth.refill()
        events: list[Event] = []
        for name, holder in self.accounts.items():
            if holder.scheduled_ms is not None and holder.scheduled_ms <= at_ms:
                holder.scheduled_ms = None
                for order in holder.open_orders():
                    holder.settle(order, "scheduledCancel", at_ms)
                    events.append(Event("cancel", name, order))
            for order in holder.open_orders():
                events.extend(self._advance_order(name, holder, order, at_ms))
        return events

    def add(self, holder: Account, order: Order) -> Order:
        """Keeps an accepted order (also used to rebuild accounts from the log)."""
        holder.orders[order.oid] = holder.resting[order.oid] = order
        if order.request.cloid:
            holder.by_cloid[order.request.cloid] = order.oid
        self.next_oid = max(self.next_oid, order.oid + 1)
        if len(holder.orders) > KEPT_ORDERS:
            holder.forget_oldest()
        return order

    def execute(
        self, holder: Account, order: Order, price: Decimal, size: Decimal, at_ms: int, *, crossed: bool
    ) -> Fill:
        """Fills `size` coins of the order at `price` and moves the position; a complete fill ends the order."""
        request = order.request
        before = holder.position(request.coin)
        pnl = holder.move(request.coin, size if request.side == "B" else -size, price)
        order.remaining -= size
        if order.remaining <= 0:
            holder.settle(order, "filled", at_ms)
        what = (order.oid, request.cloid, request.coin, request.side)
        fill = Fill(self.next_tid, *what, size, price, at_ms, before, pnl, crossed)
        self.next_tid += 1
        holder.fills.append(fill)
        return fill

    def _advance_order(self, name: str, holder: Account, order: Order, at_ms: int) -> Iterator[Event]:
        request, mid = order.request, self.market.mid(order.request.coin)
        if not (_fires(request, mid) if order.armed else _reaches(request, mid)):
            return
        if request.reduce_only and not _reduces(holder.position(request.coin), request.side):
            holder.settle(order, "reduceOnlyCanceled", at_ms)
            yield Event("cancel", name, order)
        elif order.armed:
            yield Event("trigger", name, order, tuple(self._fire(holder, order, mid, at_ms)))
        else:
            size = self.depth.reached(request.coin, request.side, _trimmed(holder, order))
            if size:
                fill = self.execute(holder, order, request.limit, size, at_ms, crossed=False)
                yield Event("fill", name, order, (fill,))

    def _fire(self, holder: Account, order: Order, mid: Decimal, at_ms: int) -> list[Fill]:
        """Turns a trigger order into the order it stands for."""
        request = order.request
        order.armed, order.remaining = False, _trimmed(holder, order)
        at_market = request.trigger is not None and request.trigger.is_market
        limit = mid * (1 + TRIGGER_SLIPPAGE * (1 if request.side == "B" else -1)) if at_market else request.limit
        taken = self.depth.take(request.coin, request.side, order.remaining, limit)
        fills = [self.execute(holder, order, price, size, at_ms, crossed=True) for price, size in taken]
        if at_market and order.status == "open":
            holder.settle(order, "canceled", at_ms)
        return fills

    def _check(self, holder: Account, request: NewOrder) -> None:
        coin = COIN_BY_NAME.get(request.coin)
        if coin is None:
            raise OrderRejected(f"Unknown asset {request.coin}.")
        if request.cloid and request.cloid in holder.by_cloid:
            raise _rejected("Duplicate cloid.", request.coin)
        if request.size <= 0 or request.size != round(request.size, coin.size_decimals):
            raise _rejected("Order has invalid size.", request.coin)
        mid = self.market.mid(request.coin)
        if request.limit <= 0 or abs(request.limit - mid) > MAX_DISTANCE * mid:
            raise _rejected("Order price cannot be more than 80% away from the reference price.", request.coin)
        if not on_tick(coin, request.limit) or (request.trigger and not on_tick(coin, request.trigger.price)):
            raise _rejected("Price must be divisible by tick size.", request.coin)
        if request.trigger is not None and (request.trigger.price <= 0 or _fires(request, mid)):
            raise _rejected("Invalid TP/SL price.", request.coin)
        if request.reduce_only:
            if not _reduces(holder.position(request.coin), request.side):
                raise _rejected("Reduce only order would increase position.", request.coin)
            return
        if request.size * request.limit < MIN_ORDER_USD:
            raise _rejected("Order must have minimum value of $10.", request.coin)


def _rejected(words: str, coin: str) -> OrderRejected:
    return OrderRejected(f"{words} asset={ASSET_BY_NAME[coin]}")


def _reduces(held: Decimal, side: Side) -> bool:
    return held < 0 if side == "B" else held > 0


def _reaches(request: NewOrder, price: Decimal) -> bool:
    """Whether an order with this limit would trade at `price`."""
    return price <= request.limit if request.side == "B" else price >= request.limit


def _fires(request: NewOrder, mid: Decimal) -> bool:
    """Whether a trigger's price is reached."""
    trigger = request.trigger
    return trigger is not None and (mid >= trigger.price if request.trigger_above else mid <= trigger.price)


def _trimmed(holder: Account, order: Order) -> Decimal:
    """What remains of the order; of a reduce-only order never more than the position."""
    if not order.request.reduce_only:
        return order.remaining
    return min(order.remaining, abs(holder.position(order.request.coin)))
