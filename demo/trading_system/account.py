"""What this instance knows of its account: prices, positions, resting orders; and how the exchange differs."""

import asyncio
import time
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Any

from .exchange import AccountState, ExchangeClient, Fill, Side
from .ledger import Difference, Ledger

QUIET_ATTEMPTS = 20


class NotQuiet(Exception):
    """No moment between two orders was found in which the positions could be compared."""


class Account:
    """The account as read from the exchange, next to the positions kept from own fills.

    Times are unix seconds, prices and equity USD. `busy` tells whether an order of ours is under way.
    """

    def __init__(self, client: ExchangeClient) -> None:
        self.client = client
        self.ledger = Ledger()
        self.busy: Callable[[], bool] = lambda: False
        self.mids: dict[str, Decimal] = {}
        self.mids_at = 0.0
        self.synced_at = 0.0
        self.exchange_time = 0.0
        self.equity = Decimal(0)
        self.day_start: tuple[int, Decimal] | None = None
        self.open_orders: list[dict[str, Any]] = []
        self.differences: list[Difference] = []
        # Our resting orders by cloid. They are filled without our doing, so that their fills are booked afterwards.
        self.resting: set[str] = set()
        self.on_resting_fill: Callable[[Fill, Decimal], None] = lambda fill, profit: None
        self._booked: set[int] = set()
        self._taken_at: dict[str, float] = {}
        # False until the positions were taken from the exchange once: what differs before that is no mismatch.
        self.known = False

    async def refresh_prices(self) -> None:
        """Reads every mid price. Raises ExchangeUnreachable."""
        if not self.client.markets:
            await self.client.load_markets()
        self.mids = await self.client.mids()
        self.mids_at = time.time()

    async def adopt(self) -> list[Difference]:
        """Takes the exchange's positions as the truth, at once; answers what differed. Raises ExchangeUnreachable."""
        return self._adopt(await self._read())

    async def follow(self) -> None:
        """In STANDBY: takes over what the trading slot did. Nothing is taken when our own books moved meanwhile."""
        version = self.ledger.version
        state = await self._read()
        if version == self.ledger.version and not self.busy():
            self._adopt(state)

    async def compare(self) -> None:
        """Compares with the exchange; a read during which an order of ours was under way says nothing."""
        if not self.known:
            return await self.follow()
        version, busy = self.ledger.version, self.busy()
        state = await self._read()
        if not busy and not self.busy() and version == self.ledger.version:
            found = self.ledger.differences(state.positions)
            if not found or not await self._book_resting():
                self.differences = found
        return None

    async def reconcile(self, symbols: frozenset[str] | None = None) -> list[Difference]:
        """Answers the differences at a quiet moment and takes the exchange's positions (all, or of these symbols) as
        the truth. Raises ExchangeUnreachable and NotQuiet.
        """
        for _ in range(QUIET_ATTEMPTS):
            version, busy = self.ledger.version, self.busy()
            state = await self._read()
            if not busy and not self.busy() and version == self.ledger.version:
                return self._adopt(state, symbols)
            await asyncio.sleep(0.01)
        raise NotQuiet("no quiet moment between orders was found; repeat the reconciliation")

    def size_for(self, symbol: str, usd: float) -> Decimal:
        """The size in coins worth `usd`, rounded down to the market's step. KeyError without price or market."""
        step = Decimal(1).scaleb(-self.client.markets[symbol].size_decimals)
        return (Decimal(repr(usd)) / self.mids[symbol]).quantize(step, ROUND_DOWN)

    def limit(self, symbol: str, side: Side, slippage: Decimal) -> Decimal:
        """The worst acceptable price in USD: the last mid plus or minus the slippage (a fraction)."""
        factor = 1 + slippage if side == "buy" else 1 - slippage
        return (self.mids[symbol] * factor).quantize(Decimal("0.001"))

    def begin_day(self) -> None:
        """Counts the day's loss from now on: a person has looked at what was lost so far."""
        if self.day_start is not None:
            self.day_start = (self.day_start[0], self.equity)

    def day_loss(self) -> Decimal:
        """Loss since the start of the UTC day as a fraction of the equity then; negative for a gain."""
        if self.day_start is None or not self.day_start[1]:
            return Decimal(0)
        return 1 - self.equity / self.day_start[1]

    async def _read(self) -> AccountState:
        state: AccountState
        state, orders = await asyncio.gather(self.client.account_state(), self.client.open_orders())
        self.open_orders, self.equity, self.exchange_time = orders, state.equity, state.time
        self.synced_at = time.time()
        day = int(self.synced_at // 86_400)
        if self.day_start is None or self.day_start[0] != day:
            self.day_start = (day, state.equity)
        return state

    async def _book_resting(self) -> bool:
        """Books the fills of our resting orders that came after the last look; whether there were any."""
        if not self.resting:
            return False
        new = []
        for row in reversed(await self.client.fills()):
            late = row["time"] / 1000 > self._taken_at.get(row["coin"], 0.0)
            if late and row["cloid"] in self.resting and row["tid"] not in self._booked:
                new.append(row)
        for row in new:
            self._booked.add(row["tid"])
            side: Side = "buy" if row["side"] == "B" else "sell"
            fill = Fill(row["coin"], side, Decimal(row["sz"]), Decimal(row["px"]))
            self.on_resting_fill(fill, self.ledger.apply(fill))
        return bool(new)

    def _adopt(self, state: AccountState, symbols: frozenset[str] | None = None) -> list[Difference]:
        found = self.ledger.differences(state.positions)
        self.ledger.adopt(state.positions, symbols)
        self.differences = self.ledger.differences(state.positions)
        taken = self.client.markets if symbols is None else symbols
        self._taken_at |= dict.fromkeys(taken, state.time)
        if not self.known:
            # Left by this process before its restart in a halt, or by the slot that traded before.
            self.resting = {str(order["cloid"]) for order in self.open_orders if order.get("cloid")}
        self.known = True
        return found
