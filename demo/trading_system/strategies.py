"""The two strategies. Each makes small round trips: open, hold for a drawn time, close; one market at a time."""

import asyncio
import logging
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from .account import Account
from .breaker import Breaker
from .config import Config, StrategyConfig
from .desk import Desk, Execution, NotPermitted
from .exchange import ExchangeRefused, ExchangeUnreachable, Side
from .records import Records

log = logging.getLogger("trading_system")
# How often the wish of a round trip is to leave with a gain. Where the market does not offer the wished outcome in
# time the trade is closed as it stands, which brings the win rate to about 57 %.
WISH_TO_WIN = 0.78
LOOK_SECONDS = 0.04


@dataclass(frozen=True, slots=True)
class Signal:
    """An inbound signal: which side to prefer, and how strongly (0 to 1)."""

    side: Side
    strength: float


class Strategy:
    """One strategy of one instance. `heartbeat` is the unix time of its last turn."""

    def __init__(self, name: str, seed: str, account: Account, desk: Desk, records: Records, breaker: Breaker) -> None:
        self.name = name
        # False: switched off by a person. An open trade is still closed, none is opened.
        self.switched_on = True
        self.heartbeat = time.time()
        self.running = False
        self.signals: dict[str, Signal] = {}
        self._stopped = asyncio.Event()
        self._account = account
        self._desk = desk
        self._records = records
        self._breaker = breaker
        self._random = random.Random(zlib.crc32(f"{seed}/{name}".encode()))

    def begin(self, stopped: asyncio.Event) -> None:
        """Marks the start of a tenure, which ends when `stopped` is set; `run` follows."""
        self.running, self.heartbeat, self._stopped = True, time.time(), stopped

    async def run(self, config: Callable[[], Config], delay: float) -> None:
        """Trades until the role is taken away. `delay` (seconds) staggers the strategies' first orders."""
        stopped = self._stopped
        try:
            await _pause(stopped, delay)
            while not stopped.is_set():
                self.heartbeat = time.time()
                await self._turn(stopped, config())
        except NotPermitted:
            # The role went away between the decision and the order; that is how it ends.
            log.info("strategy %s stopped", self.name)
        finally:
            # The next tenure may have begun already.
            if self._stopped is stopped:
                self.running = False

    async def _turn(self, stopped: asyncio.Event, config: Config) -> None:
        mine = config.strategies[self.name]
        idle = not self.switched_on and self._held(mine) is None
        if idle or not mine.enabled or not config.trading_enabled:
            await _pause(stopped, mine.max_interval_s)
            return
        symbol = self._held(mine) or self._random.choice(mine.symbols)
        held = self._account.ledger.size(symbol)
        try:
            if held:
                execution = await self._desk.place(symbol, "sell" if held > 0 else "buy", abs(held), reduce_only=True)
                self._records.closed(self.name, execution)
                await self._breaker.trade_closed(execution.profit, config.max_consecutive_losses)
            elif len(config.traded & self._account.ledger.positions.keys()) < config.max_positions:
                usd = min(mine.order_usd, config.max_position_usd)
                execution = await self._open(symbol, usd, mine)
            self._breaker.order_accepted()
        except ExchangeRefused as error:
            self._records.failed(self.name, symbol, str(error))
            await self._breaker.order_rejected(str(error), config.max_rejected_orders)
        except ExchangeUnreachable as error:
            self._records.failed(self.name, symbol, str(error))
        await self._wait(stopped, symbol, mine)

    async def _open(self, symbol: str, usd: float, mine: StrategyConfig) -> Execution:
        signal = self.signals.pop(symbol, None)
        side: Side = "buy" if self._random.random() < 0.5 else "sell"
        if signal is not None and signal.strength >= mine.confidence_min:
            side = signal.side
        return await self._desk.place(symbol, side, self._account.size_for(symbol, usd))

    async def _wait(self, stopped: asyncio.Event, symbol: str, mine: StrategyConfig) -> None:
        """Waits for the next turn; with an open position, as long as allowed for the wished outcome."""
        if not self._account.ledger.size(symbol):
            await _pause(stopped, self._random.uniform(mine.min_interval_s, mine.max_interval_s))
            return
        wish = self._random.random() < WISH_TO_WIN
        until = time.monotonic() + mine.max_interval_s
        await _pause(stopped, mine.min_interval_s)
        while time.monotonic() < until and not stopped.is_set() and self._gains(symbol) is (not wish):
            await _pause(stopped, LOOK_SECONDS)

    def _gains(self, symbol: str) -> bool | None:
        held = self._account.ledger.positions.get(symbol)
        if held is None:
            return None
        return (self._account.mids[symbol] - held.entry) * held.size > Decimal(0)

    def _held(self, mine: StrategyConfig) -> str | None:
        return next((symbol for symbol in mine.symbols if self._account.ledger.size(symbol)), None)


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    """Sleeps, but ends at once when the role is taken away."""
    try:
        async with asyncio.timeout(seconds):
            await stopped.wait()
    except TimeoutError:
        return
