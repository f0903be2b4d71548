"""The order desk: the only way an order leaves this process, and the only place that knows what is in flight."""

import asyncio
import uuid
from dataclasses import dataclass
from decimal import Decimal

from .account import Account
from .exchange import Fill, Order, Side
from .roles import Grant, Role

# Longer than an order can stay unresolved: reply time, expiry and one last read (see exchange.py).
DRAIN_SECONDS = 1.3
SLIPPAGE = Decimal("0.01")


class NotPermitted(Exception):
    """The role does not allow this now; the text says why."""


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
        self._in_flight: set[asyncio.Task[Execution]] = set()
        account.busy = lambda: bool(self._in_flight)

    async def place(self, symbol: str, side: Side, size: Decimal, *, reduce_only: bool = False) -> Execution:
        """Sends one immediate-or-cancel order near the last price and books its fill.

        Raises NotPermitted unless ACTIVE at the moment of sending, ExchangeRefused, ExchangeUnreachable.
        """
        if not self.grant.may_trade:
            raise NotPermitted(f"role is {self.grant.role}")
        return await self._send(symbol, side, size, reduce_only, SLIPPAGE)

    async def close(self, symbol: str, slippage: Decimal = SLIPPAGE) -> Execution:
        """Closes the whole position with a reduce-only order; for a person or an emergency, in ACTIVE and HALTED.

        Raises NotPermitted in STANDBY (another slot owns the account), LookupError without a position,
        ExchangeRefused, ExchangeUnreachable.
        """
        self.check_ownership()
        size = self.account.ledger.size(symbol)
        if not size:
            raise LookupError(f"no open position in {symbol}")
        return await self._send(symbol, "sell" if size > 0 else "buy", abs(size), True, slippage)

    async def cancel(self, symbol: str | None = None) -> int:
        """Cancels resting orders, all or of one symbol; answers how many were cancelled.

        Raises NotPermitted in STANDBY, ExchangeRefused, ExchangeUnreachable.
        """
        self.check_ownership()
        client = self.account.client
        orders = [order for order in await client.open_orders() if symbol in (None, order["coin"])]
        return await client.cancel(orders, self.grant.epoch)

    def check_ownership(self) -> None:
        """Raises NotPermitted in STANDBY: another slot trades this account."""
        if self.grant.role is Role.STANDBY:
            raise NotPermitted("this instance is in STANDBY; use the instance that trades")

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
        # No await between the caller's check of the role and the entry in _in_flight: whoever takes the role away
        # afterwards sees this order and waits for it.
        limit = self.account.limit(symbol, side, slippage)
        order = Order(symbol, side, size, limit, reduce_only, "0x" + uuid.uuid4().hex)
        task = asyncio.create_task(self._execute(order, self.grant.epoch))
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
