"""Trades: counted in the metrics, kept in the database, off the event loop. Trading never waits for the database."""

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from .book import Book, BookUnavailable, HeldPosition, Trade, UsedConfig
from .desk import Execution
from .metrics import Metrics

log = logging.getLogger("trading_system")
T = TypeVar("T")
BATCH = 100
# About an hour of trades of both strategies; beyond it the oldest are given up.
WAITING_TRADES = 10_000
LOOK_SECONDS = 0.5
RETRY_SECONDS = 0.25
# A server that takes the connection and then says nothing is given up after this time.
CALL_SECONDS = 2.0
SNAPSHOT_SECONDS = 10.0
PRUNE_SECONDS = 3_600.0
FLUSH_SECONDS = 0.5
Held = Callable[[], tuple[list[HeldPosition], UsedConfig] | None]


class Records:
    """The book behind one worker thread. What cannot be written waits here and is written when the database is back."""

    def __init__(self, book: Book, metrics: Metrics, directory: Path) -> None:
        self._book = book
        self._metrics = metrics
        self._spill = directory / "unwritten-trades.json"
        self._thread = ThreadPoolExecutor(1, "book")
        self._waiting: deque[Trade] = deque(read_spill(self._spill), WAITING_TRADES)
        self._work = asyncio.Event()
        self._answered_at = time.monotonic()
        self._response_seconds = 0.0
        self._error: str | None = None
        self._kept_at = -SNAPSHOT_SECONDS
        self._pruned_at = -PRUNE_SECONDS

    def closed(self, strategy: str, execution: Execution) -> None:
        """Counts and keeps a closing trade: a win when it realised a profit, else a loss."""
        fill, profit = execution.fill, round(execution.profit, 6)
        outcome = "win" if execution.profit > 0 else "loss"
        key = uuid.uuid4()
        self._add(Trade(key, time.time(), strategy, fill.symbol, outcome, fill.side, fill.size, fill.price, profit))

    def failed(self, strategy: str, symbol: str, reason: str) -> None:
        """Counts and keeps an order that was not executed."""
        log.warning("strategy %s: order in %s failed: %s", strategy, symbol, reason)
        self._add(Trade(uuid.uuid4(), time.time(), strategy, symbol, "failed"))

    async def after(self, trade_id: int, limit: int) -> list[dict[str, Any]]:
        """Stored trades of this instance with a higher id, oldest first. Raises BookUnavailable."""
        return await self._call(lambda: self._book.after(trade_id, limit))

    async def check_writable(self) -> None:
        """Raises BookUnavailable when the database cannot be written."""
        await self._call(self._book.check_writable)

    def condition(self) -> tuple[float, str]:
        """Milliseconds for the health check, and its words: of the last answer, or since the last when none comes."""
        if self._error is None:
            milliseconds = self._response_seconds * 1000
            return milliseconds, f"{milliseconds:.1f} ms to answer a read"
        away = time.monotonic() - self._answered_at
        waiting = f"; {len(self._waiting)} trades wait to be stored" if self._waiting else ""
        return away * 1000, f"no answer for {away:.1f} s: {self._error}{waiting}"

    async def keep(self, held: Held) -> None:
        """Writes what waits and looks how the database is, for ever. `held`: positions to keep now and then, or None
        while another instance keeps them."""
        while True:
            self._work.clear()
            try:
                await self._turn(held)
                self._error, self._answered_at = None, time.monotonic()
            except BookUnavailable as error:
                if self._error is None:
                    log.error("%s", error)
                self._error = str(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._work.wait()

    async def close(self) -> None:
        """Stores what waits, here or (when the database is away) in the state directory, and closes the database."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._write()
        except (BookUnavailable, TimeoutError):
            self._book.interrupt()
        write_spill(self._spill, list(self._waiting))
        self._thread.submit(self._book.close)
        self._thread.shutdown(wait=False)

    def _add(self, trade: Trade) -> None:
        self._metrics.trades.labels(trade.strategy, trade.outcome).inc()
        if len(self._waiting) == WAITING_TRADES:
            log.error("the database was away for too long: the oldest trade that waited is given up")
        self._waiting.append(trade)
        self._work.set()

    async def _turn(self, held: Held) -> None:
        await self._write()
        self._response_seconds = await self._call(self._book.response_time)
        now = time.monotonic()
        if now - self._kept_at >= SNAPSHOT_SECONDS and (kept := held()) is not None:
            await self._call(lambda: self._book.snapshot(time.time(), *kept))
            self._kept_at = now
        if now - self._pruned_at >= PRUNE_SECONDS:
            await self._call(self._book.prune)
            self._pruned_at = now

    async def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting[number] for number in range(min(BATCH, len(self._waiting)))]
            await self._call(lambda batch=batch: self._book.add(batch))  # type: ignore[misc]
            # Meanwhile new ones may have pushed out old ones.
            stored = {trade.key for trade in batch}
            while self._waiting and self._waiting[0].key in stored:
                self._waiting.popleft()

    async def _call(self, work: Callable[[], T]) -> T:
        """Runs a call on the database in its thread. Raises BookUnavailable, also when it hangs."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait({future}, timeout=CALL_SECONDS)
        if not done:
            self._book.interrupt()
            raise BookUnavailable(f"the database did not answer within {CALL_SECONDS:g} s")
        return future.result()


def read_spill(path: Path) -> list[Trade]:
    """Trades that could not be stored before the last end of this instance. A damaged file is set aside and logged."""
    try:
        rows = json.loads(path.read_text())
        return [_trade(row) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        log.error("%s cannot be read (%r); it is left beside as .damaged", path, error)
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return []


def write_spill(path: Path, trades: list[Trade]) -> None:
    """Keeps trades for the next start; none: the file goes. A failure is logged, nothing else can be done."""
    try:
        if not trades:
            path.unlink(missing_ok=True)
            return
        path.write_text(json.dumps([asdict(trade) for trade in trades], default=str))
        log.warning("%d trades wait in %s for the next start", len(trades), path)
    except OSError as error:
        log.error("%d trades are lost: %s cannot be written: %s", len(trades), path, error)


def _trade(row: dict[str, Any]) -> Trade:
    amounts = {name: None if row[name] is None else Decimal(row[name]) for name in ("size", "price", "pnl")}
    return Trade(**(row | amounts | {"key": uuid.UUID(row["key"])}))
