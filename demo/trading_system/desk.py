"""The order desk: the only way an order leaves this process, and the only place that knows what is in flight."""

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from .account import Account
from .exchange import Fill, Order, RestingOrder, Side
from .roles import Grant

# Longer than an order can stay unresolved: reply time, expiry and one last read (see exchange.py).
DRAIN_SECONDS = 1.3
T = TypeVar("T")
SLIPPAGE = Decimal("0.01")


class NotPermitted(Exception):
    """The role does not allow this now; the text says why."""


class Disconnected(Exception):
    """This instance has disconnected from the exchange for good; the text says what to do."""


class Unresolved(Exception):
    """Trading was stopped, but it could not be verified at the exchange that nothing of it remains."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill and the profit in USD that it realised."""

    fill: Fill
    profit: Decimal


class Desk:
    """Sends orders while the role permits it. `double_next_fill` is the defect of one release."""

    def __init__(self, grant: Grant, account: Account) -> None:
        self.grant = grant
        self.account = account
        self.double_next_fill = False
        self._in_flight: set[asyncio.Task[Any]] = set()
        account.busy = lambda: bool(self._in_flight)

    async def place(self, symbol: str, side: Side, size: Decimal, *, reduce_only: bool = False) -> Execution:
        """Sends one immediate-or-cancel order near the last price and books its fill.

        Raises NotPermitted unless ACTIVE at the moment of sending, ExchangeRefused, ExchangeUnreachable.
        """
        if not self.grant.may_trade:
            raise NotPermitted(f"role is {self.grant.role}")
        return await self._send(symbol, side, size, reduce_only, SLIPPAGE)

    async def rest(self, order: RestingOrder) -> int:
        """Sends one order that rests at the exchange until it is filled or the role goes; answers its id there.

        Raises NotPermitted unless ACTIVE at the moment of sending, ExchangeRefused, ExchangeUnreachable.
        """
        if not self.grant.may_trade:
            raise NotPermitted(f"role is {self.grant.role}")
        # Before it is sent: it may be filled before the reply is here, and rest though the reply was lost.
        self.account.resting.add(order.cloid)
        return await self._follow(self.account.client.rest(order, self.grant.epoch))

    async def close(self, symbol: str, slippage: Decimal = SLIPPAGE) -> Execution:
        """Closes the whole position with a reduce-only order; for a person or an emergency, in ACTIVE and HALTED.

        Raises NotPermitted in STANDBY (another slot owns the account), Disconnected, LookupError without a position,
        ExchangeRefused, ExchangeUnreachable.
        """
        self.check_ownership()
        size = self.account.ledger.size(symbol)
        if not size:
            raise LookupError(f"no open position in {symbol}")
        return await self._send(symbol, "sell" if size > 0 else "buy", abs(size), True, slippage)

    async def cancel(self, symbol: str | None = None, oid: str | None = None) -> int:
        """Cancels resting orders, all, of one symbol or the one with this id; answers how many were cancelled.

        Raises NotPermitted in STANDBY, Disconnected, LookupError when no such order rests, ExchangeRefused,
        ExchangeUnreachable.
        """
        self.check_ownership()
        client = self.account.client
        orders = [order for order in await client.open_orders() if symbol in (None, order["coin"])]
        if oid is not None:
            orders = [order for order in orders if str(order["oid"]) == oid]
            if not orders:
                raise LookupError(f"no resting order has the id {oid}")
        return await client.cancel(orders, self.grant.epoch)

    def check_ownership(self) -> None:
        """Raises NotPermitted while another slot may trade this account, and Disconnected."""
        if not self.grant.owns:
            raise NotPermitted(f"this instance is {self.grant.role} and the account is not its own; use the other slot")
        if not self.account.client.connected:
            raise Disconnected(
                "this instance disconnected from the exchange in an emergency stop; act directly at the exchange, or"
                " release the stop and restart the process"
            )

    async def drain(self) -> None:
        """Waits until no order is in flight. Raises Unresolved after DRAIN_SECONDS, having dropped the connections.

        Every order expires at the exchange before that, so none can execute after this has returned or raised.
        """
        if not self._in_flight:
            return
        _, late = await asyncio.wait(set(self._in_flight), timeout=DRAIN_SECONDS)
        for task in late:
            task.cancel()
        if late:
            raise Unresolved(f"trading is stopped, but {len(late)} orders in flight could not be resolved")

    async def _send(self, symbol: str, side: Side, size: Decimal, reduce_only: bool, slippage: Decimal) -> Execution:
        limit = self.account.limit(symbol, side, slippage)
        order = Order(symbol, side, size, limit, reduce_only, "0x" + uuid.uuid4().hex)
        return await self._follow(self._execute(order, self.grant.epoch))

    async def _follow(self, sending: Coroutine[Any, Any, T]) -> T:
        # No await between the caller's check of the role and the entry in _in_flight: whoever takes the role away
        # afterwards sees this order and waits for it.
        task = asyncio.create_task(sending)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return await asyncio.shield(task)

    async def _execute(self, order: Order, epoch: int) -> Execution:
        fill = await self.account.client.place(order, epoch)
        profit = self.account.ledger.apply(fill)
        if self.double_next_fill:
            self.double_next_fill = False
            self.account.ledger.apply(fill)
        return Execution(fill, profit)
