"""Emergency stop: halt, latch, cancel, close reduce-only, disconnect; and the operation that reports on it."""

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .account import Account
from .desk import Desk, Unresolved
from .exchange import ExchangeRefused, ExchangeUnreachable
from .health import rfc3339
from .roles import Grant, Role

log = logging.getLogger("trading_system")
SLIPPAGE_LADDER = (Decimal("0.02"), Decimal("0.05"), Decimal("0.10"), Decimal("0.25"))
ROUND_PAUSES = (0.0, 0.3, 0.5, 1.0, 2.0)


@dataclass(slots=True)
class Operation:
    """A long operation. Status running, succeeded or failed; times are unix seconds."""

    id: str
    kind: str
    started_at: float
    status: str = "running"
    finished_at: float | None = None
    detail: str = ""
    log: list[str] = field(default_factory=list)
    remaining_positions: int | None = None
    remaining_orders: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The operation as the ops contract shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "status": self.status,
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at) if self.finished_at else None,
            "detail": self.detail,
            "log": list(self.log),
            "remaining_positions": self.remaining_positions,
            "remaining_orders": self.remaining_orders,
        }


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What an emergency stop is to do, by whom and why."""

    close_positions: bool
    cancel_orders: bool
    disconnect: bool
    actor: str
    reason: str


class Emergency:
    """Carries out emergency stops. A second press joins the one that runs.

    An instance that does not own the account (STANDBY) halts, latches and disconnects, and sends no order: two writers
    at once would break the fence.
    """

    def __init__(self, grant: Grant, account: Account, desk: Desk) -> None:
        self._grant = grant
        self._account = account
        self._desk = desk
        self.operations: dict[str, Operation] = {}
        self._task: asyncio.Task[None] | None = None
        self._current: Operation | None = None

    @property
    def running(self) -> bool:
        """Whether a stop is still being carried out."""
        return self._current is not None and self._current.status == "running"

    async def stop(self, order: StopOrder) -> Operation:
        """Halts and latches before it answers; the rest goes on in the operation. Raises StoreError (halted anyway)."""
        self._grant.become(Role.HALTED)
        if self._current is not None and self.running:
            return self._current
        log.critical("emergency stop by %s: %s", order.actor, order.reason)
        operation = Operation(uuid.uuid4().hex, "emergency-stop", time.time())
        self._current = self.operations[operation.id] = operation
        try:
            await self._grant.latch_now({"at": rfc3339(time.time()), "actor": order.actor, "reason": order.reason})
        finally:
            self._task = asyncio.create_task(self._flatten(order, operation))
        return operation

    async def release(self, actor: str, reason: str) -> None:
        """Takes the latch off; permits nothing by itself. Raises StoreError (still latched)."""
        if self._grant.latch is not None:
            log.warning("emergency latch released by %s: %s", actor, reason)
            await self._grant.release()

    async def _flatten(self, order: StopOrder, operation: Operation) -> None:
        done = False
        try:
            await self._desk.drain()
        except Unresolved as error:
            operation.log.append(str(error))
        try:
            done = await self._act(order, operation)
            if order.disconnect:
                # Also when something is left: what a person or the console does now must not meet orders from here.
                await self._account.client.close()
                operation.log.append("disconnected from the exchange")
                operation.detail += ", disconnected"
        except Exception as error:
            log.exception("emergency stop %s", operation.id)
            operation.log.append(f"failed: {error!r}")
        finally:
            operation.finished_at = time.time()
            operation.status = "succeeded" if done else "failed"

    async def _act(self, order: StopOrder, operation: Operation) -> bool:
        """Flattens when the account is ours; True when nothing is left to do here. Says what was done in `detail`."""
        if not self._grant.owns:
            operation.detail = "halted; the account belongs to the other slot"
            return True
        if not self._account.client.connected:
            operation.detail = "halted; an earlier stop disconnected this instance, so nothing could be read or sent"
            return self._grant.clean
        done = await self._rounds(order, operation)
        operation.detail = "halted" + (" and flat" if done and order.close_positions else "" if done else ", not flat")
        return done

    async def _rounds(self, order: StopOrder, operation: Operation) -> bool:
        for number, pause in enumerate(ROUND_PAUSES):
            await asyncio.sleep(pause)
            slippage = SLIPPAGE_LADDER[min(number, len(SLIPPAGE_LADDER) - 1)]
            if await self._round(order, operation, slippage):
                self._grant.clean = operation.remaining_orders == 0
                return True
        return False

    async def _round(self, order: StopOrder, operation: Operation, slippage: Decimal) -> bool:
        """One attempt; True when a fresh read of the exchange shows that nothing is left to do."""
        account = self._account
        try:
            await asyncio.gather(account.refresh_prices(), account.adopt())
            if order.cancel_orders:
                operation.log.append(f"cancelled {await self._desk.cancel()} orders")
            if order.close_positions:
                await asyncio.gather(*(self._close(symbol, slippage, operation) for symbol in account.ledger.positions))
            await account.adopt()
        except (ExchangeUnreachable, ExchangeRefused) as error:
            operation.log.append(f"failed: {error}")
            return False
        operation.remaining_positions = len(account.ledger.positions)
        operation.remaining_orders = len(account.open_orders)
        flat = not (order.close_positions and account.ledger.positions)
        return flat and not (order.cancel_orders and account.open_orders)

    async def _close(self, symbol: str, slippage: Decimal, operation: Operation) -> None:
        try:
            execution = await self._desk.close(symbol, slippage)
        except (ExchangeRefused, ExchangeUnreachable, LookupError) as error:
            operation.log.append(f"{symbol} not closed: {error}")
        else:
            operation.log.append(f"{symbol} closed {execution.fill.size} at {execution.fill.price}")
