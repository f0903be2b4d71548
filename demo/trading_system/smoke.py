"""The system's own smoke tests: run in STANDBY before traffic, they send no order."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from .account import Account
from .book import BookUnavailable
from .config import Config, ConfigError
from .exchange import ExchangeRefused, ExchangeUnreachable
from .records import Records
from .roles import Grant
from .store import AuthorityFile, StoreError

# The exchange's smallest order, in USD.
MIN_ORDER_USD = Decimal(10)


class SmokeFailure(Exception):
    """A smoke test found a fault; the text says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """One smoke test: pass or fail, with what was seen."""

    name: str
    status: str
    detail: str
    duration_ms: float


class SmokeTests:
    """Every test is real: it reads the exchange, the files and the database of this instance."""

    def __init__(
        self, account: Account, records: Records, grant: Grant, file: AuthorityFile, load: Callable[[], Config]
    ) -> None:
        self._account = account
        self._records = records
        self._grant = grant
        self._file = file
        self._load = load

    async def run(self) -> list[dict[str, Any]]:
        """Runs all tests in order; answers a list of {name, status, detail, duration_ms}."""
        tests: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("configuration", self._configuration),
            ("exchange", self._exchange),
            ("positions", self._positions),
            ("order_dry_run", self._order_dry_run),
            ("database", self._database),
            ("state_directory", self._state_directory),
        ]
        return [asdict(await _timed(name, test)) for name, test in tests]

    async def _configuration(self) -> str:
        config = self._load()
        return f"revision {config.revision} is valid"

    async def _exchange(self) -> str:
        markets = await self._account.client.load_markets()
        mids = await self._account.client.mids()
        silent = sorted(set(markets) - set(mids))
        if silent:
            raise SmokeFailure(f"the exchange gives no price for {', '.join(silent)}")
        return f"reachable, {len(mids)} markets with prices"

    async def _positions(self) -> str:
        state = await self._account.client.account_state()
        return f"{len(state.positions)} open positions, account value {state.equity:.2f} USD"

    async def _order_dry_run(self) -> str:
        """Builds each strategy's next order and checks it as the exchange and the limits would; sends nothing."""
        config = self._load()
        mids = await self._account.client.mids()
        checked = 0
        for name, strategy in config.strategies.items():
            if not strategy.enabled:
                continue
            for symbol in strategy.symbols:
                market = self._account.client.markets.get(symbol)
                if market is None:
                    raise SmokeFailure(f"strategies.{name}.symbols: the exchange lists no market {symbol}")
                _check_order(name, symbol, strategy.order_usd, mids[symbol], market.size_decimals, config)
                checked += 1
        for symbol in config.holdings:
            if symbol not in self._account.client.markets:
                raise SmokeFailure(f"holdings.{symbol}: the exchange lists no market {symbol}")
        return f"{checked} orders would be accepted"

    async def _database(self) -> str:
        await self._records.check_writable()
        return "the trade book can be written"

    async def _state_directory(self) -> str:
        stored = self._file.read()
        if stored.epoch != self._grant.epoch:
            raise SmokeFailure(f"stored epoch {stored.epoch} is not the granted epoch {self._grant.epoch}")
        return f"epoch {stored.epoch} is stored"


def _check_order(name: str, symbol: str, usd: float, mid: Decimal, decimals: int, config: Config) -> None:
    size = round(Decimal(repr(usd)) / mid, decimals)
    value = size * mid
    where = f"strategies.{name}.order_usd"
    if value < MIN_ORDER_USD:
        raise SmokeFailure(
            f"{where} = {usd:g}: an order in {symbol} is worth {value:.2f} USD, below the exchange's minimum"
            f" of {MIN_ORDER_USD} USD; raise it"
        )
    if value > Decimal(repr(config.max_position_usd)):
        raise SmokeFailure(f"{where} = {usd:g}: above trading.max_position_usd = {config.max_position_usd:g}")


async def _timed(name: str, test: Callable[[], Awaitable[str]]) -> SmokeResult:
    started = time.perf_counter()
    try:
        status, detail = "pass", await test()
    except (SmokeFailure, ConfigError, ExchangeUnreachable, ExchangeRefused, StoreError, BookUnavailable) as error:
        status, detail = "fail", str(error)
    return SmokeResult(name, status, detail, round((time.perf_counter() - started) * 1000, 3))
