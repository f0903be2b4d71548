"""What is held for long beside the strategies: a small position in each symbol, with orders resting around it."""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from decimal import Decimal

from .account import Account
from .desk import Desk, Disconnected, NotPermitted
from .exchange import ExchangeRefused, ExchangeUnreachable, RestingOrder, Side
from .roles import Role

log = logging.getLogger("trading_system")
# The strategies trade first: how long nobody traded at a hand-over is theirs to keep short.
DELAY_SECONDS = 1.0
ATTEMPTS = 5
RETRY_SECONDS = 2.0
# Distances from the mid price, as fractions of it: buy more, take profit, stop the loss.
MORE, PROFIT, STOP = Decimal("0.03"), Decimal("0.04"), Decimal("0.10")


class Holdings:
    """Brings the holdings about once in each tenure: what a person closes or cancels later stays closed."""

    def __init__(self, account: Account, desk: Desk) -> None:
        self._account = account
        self._desk = desk

    async def keep(self, stopped: asyncio.Event, wanted: Mapping[str, float]) -> None:
        """Opens what is missing, lets orders rest, and withdraws those that would open more when trading is halted.

        A change of the role to STANDBY cancels every order itself.
        """
        try:
            await _pause(stopped, DELAY_SECONDS)
            for symbol, usd in wanted.items():
                await self._bring_about(stopped, symbol, usd)
        except NotPermitted:
            pass
        await stopped.wait()
        if self._desk.grant.role is Role.HALTED and self._desk.grant.latch is None:
            await self._withdraw(frozenset(wanted))

    async def _bring_about(self, stopped: asyncio.Event, symbol: str, usd: float) -> None:
        for _ in range(ATTEMPTS):
            try:
                if not self._account.ledger.size(symbol):
                    await self._desk.place(
                        symbol, "buy" if usd > 0 else "sell", self._account.size_for(symbol, abs(usd))
                    )
                for order in self._orders(symbol):
                    await self._desk.rest(order)
                return
            except (ExchangeRefused, ExchangeUnreachable, LookupError) as error:
                log.warning("holding in %s: %s", symbol, error)
                await _pause(stopped, RETRY_SECONDS)

    def _orders(self, symbol: str) -> list[RestingOrder]:
        """One order that adds, one that takes profit, one that stops the loss; those that rest already are left out."""
        size, mid = self._account.ledger.size(symbol), self._account.mids[symbol]
        way = 1 if size > 0 else -1
        adding: Side = "buy" if size > 0 else "sell"
        closing: Side = "sell" if size > 0 else "buy"
        more, profit, stop = mid * (1 - way * MORE), mid * (1 + way * PROFIT), mid * (1 - way * STOP)
        worst = stop * (1 - way * STOP)
        orders = [
            RestingOrder(symbol, adding, abs(size), more, False, _cloid()),
            RestingOrder(symbol, closing, abs(size), profit, True, _cloid()),
            RestingOrder(symbol, closing, abs(size), worst, True, _cloid(), stop),
        ]
        resting = {(o["coin"], o["side"], bool(o.get("isTrigger"))) for o in self._account.open_orders}
        return [o for o in orders if (symbol, "B" if o.side == "buy" else "A", o.trigger is not None) not in resting]

    async def _withdraw(self, symbols: frozenset[str]) -> None:
        """In a halt nothing may be opened any more; what only reduces a position stays and protects it."""
        try:
            client = self._account.client
            orders = [o for o in await client.open_orders() if o["coin"] in symbols and not o["reduceOnly"]]
            if orders and self._desk.grant.role is Role.HALTED:
                count = await client.cancel(orders, self._desk.grant.epoch)
                log.warning("halted: %d resting orders withdrawn, those that only reduce are left", count)
        except (ExchangeRefused, ExchangeUnreachable, Disconnected) as error:
            log.error("halted, but resting orders could not be withdrawn: %s", error)


def _cloid() -> str:
    return "0x" + uuid.uuid4().hex


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopped.wait()
    except TimeoutError:
        return
