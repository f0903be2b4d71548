"""Trades: counted in the metrics, kept in the database, off the event loop."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .desk import Execution
from .metrics import Metrics
from .store import TradeBook

log = logging.getLogger("trading_system")
T = TypeVar("T")


class Records:
    """The trade book behind one worker thread. `response_seconds` is None while the database does not answer."""

    def __init__(self, book: TradeBook, metrics: Metrics) -> None:
        self._book = book
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "trades")
        self.response_seconds: float | None = 0.0

    async def closed(self, strategy: str, execution: Execution) -> None:
        """Counts and keeps a closing trade: a win when it realised a profit, else a loss."""
        fill, profit = execution.fill, execution.profit
        outcome = "win" if profit > 0 else "loss"
        row = {"symbol": fill.symbol, "side": fill.side, "size": format(fill.size, "f")}
        row |= {"price": format(fill.price, "f"), "pnl": format(round(profit, 6), "f")}
        await self._add(strategy, outcome, row)

    async def failed(self, strategy: str, symbol: str, reason: str) -> None:
        """Counts and keeps an order that was not executed."""
        log.warning("strategy %s: order in %s failed: %s", strategy, symbol, reason)
        empty: dict[str, str | None] = dict.fromkeys(("side", "size", "price", "pnl"))
        await self._add(strategy, "failed", {"symbol": symbol, **empty})

    async def after(self, trade_id: int, limit: int) -> list[dict[str, Any]]:
        """Trades with a higher id, oldest first. Raises sqlite3.Error."""
        return await self.run(lambda: self._book.after(trade_id, limit))

    async def measure(self) -> None:
        """Measures the response time of the database."""
        try:
            self.response_seconds = await self.run(self._book.response_time)
        except sqlite3.Error as error:
            log.error("database: %s", error)
            self.response_seconds = None

    async def check_writable(self) -> None:
        """Raises sqlite3.Error when the database cannot be written."""
        await self.run(self._book.check_writable)

    async def run(self, work: Callable[[], T]) -> T:
        """Runs a call on the database in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Finishes pending writes and closes the database."""
        await self.run(self._book.close)
        self._thread.shutdown()

    async def _add(self, strategy: str, outcome: str, row: Mapping[str, str | None]) -> None:
        self._metrics.trades.labels(strategy, outcome).inc()
        try:
            await self.run(lambda: self._book.add(time.time(), {"strategy": strategy, "outcome": outcome, **row}))
        except sqlite3.Error as error:
            # Trading goes on: the exchange holds the truth, and database:responseTime shows the failure.
            log.error("trade not stored: %s", error)
            self.response_seconds = None
