"""Taking and giving back the trading role."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from .account import Account
from .desk import Desk, NotPermitted, Unresolved
from .exchange import ExchangeRefused, ExchangeUnreachable
from .roles import Grant, Role

log = logging.getLogger("trading_system")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a change of role left behind: resting orders, cancelled orders, and since when (unix seconds) it holds."""

    open_orders: int
    cancelled: int
    since: float


class Handover:
    """Changes the role, one request at a time. Every change carries the fencing epoch."""

    def __init__(self, grant: Grant, account: Account, desk: Desk, on_active: Callable[[], None]) -> None:
        """`on_active` is called in the moment the instance becomes ACTIVE; it starts the strategies."""
        self._grant = grant
        self._account = account
        self._desk = desk
        self._on_active = on_active
        self._turn = asyncio.Lock()

    async def change(self, role: Role, epoch: int) -> Answer:
        """Makes the instance ACTIVE or STANDBY.

        Raises StaleEpoch, StoreError, NotPermitted (halted), ExchangeUnreachable or ExchangeRefused (could not read
        the account, stays STANDBY) and Unresolved (stopped, but the exchange could not confirm it).
        """
        async with self._turn:
            return await (self._activate(epoch) if role is Role.ACTIVE else self._stand_down(epoch))

    async def _activate(self, epoch: int) -> Answer:
        grant, account = self._grant, self._account
        grant.check(epoch)
        self._refuse_halted()
        await grant.accept(epoch)
        if grant.role is not Role.ACTIVE:
            await asyncio.gather(account.refresh_prices(), account.adopt())
            # Strategies only send orders that never rest: whatever rests was left by a writer that died.
            cancelled = await account.client.cancel(account.open_orders, epoch) if account.open_orders else 0
            account.open_orders = [] if cancelled else account.open_orders
            # An emergency stop does not wait for its turn: a halt that came in between must not be overwritten.
            self._refuse_halted()
            grant.clean = False
            grant.become(Role.ACTIVE)
            self._on_active()
            log.info("role ACTIVE epoch=%d", epoch)
            return Answer(len(account.open_orders), cancelled, grant.since)
        return Answer(len(account.open_orders), 0, grant.since)

    async def _stand_down(self, epoch: int) -> Answer:
        grant, account = self._grant, self._account
        grant.check(epoch)
        if grant.role is Role.ACTIVE:
            grant.become(Role.STANDBY)
        await grant.accept(epoch)
        await self._desk.drain()
        grant.owns = False
        cancelled = 0
        if not grant.clean:
            try:
                # Straight to the client: the desk's own cancel is closed in STANDBY.
                cancelled = await account.client.cancel(await account.client.open_orders(), epoch)
                account.open_orders = await account.client.open_orders()
            except (ExchangeUnreachable, ExchangeRefused) as error:
                raise Unresolved(f"trading is stopped, but resting orders could not be read: {error}") from error
            if account.open_orders:
                raise Unresolved(f"trading is stopped, but {len(account.open_orders)} orders still rest")
            grant.clean = True
            grant.since = time.time()
            log.info("role %s epoch=%d", grant.role, epoch)
        return Answer(0, cancelled, grant.since)

    def _refuse_halted(self) -> None:
        if self._grant.role is Role.HALTED:
            raise NotPermitted(f"this instance is halted: {what_holds(self._grant)}")


def what_holds(grant: Grant) -> str:
    """Why a halted instance may not trade, and what comes next."""
    if grant.latch is not None:
        return "the emergency latch holds; release the emergency stop, restart the process, then resume"
    if grant.restart_required:
        return "it was stopped in an emergency; restart the process, then resume"
    if grant.breaker is not None:
        return "the circuit breaker is open; reset it, then resume"
    return "resume it first"
