"""Puts the parts of one instance together, and runs its background work."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

from .account import Account
from .book import Book, HeldPosition, UsedConfig
from .breaker import Breaker
from .config import Config, load_config
from .desk import Desk, Execution, Unresolved
from .emergency import Emergency
from .exchange import ExchangeClient, ExchangeRefused, ExchangeUnreachable, Fill
from .faults import FaultPlan
from .handover import Handover
from .health import Health
from .holdings import Holdings
from .metrics import Metrics
from .records import Records
from .roles import Grant, Role
from .settings import Release, Settings
from .smoke import SmokeTests
from .store import AuthorityFile
from .strategies import Strategy
from .switches import Switches

log = logging.getLogger("trading_system")
ACTIVE_READ_SECONDS = 0.1
STANDBY_READ_SECONDS = 0.5
COMPARE_SECONDS = 0.5
STAGGER_SECONDS = 0.25


class System:
    """One instance of the trading system. Made inside a running event loop."""

    def __init__(self, settings: Settings, release: Release, book: Book) -> None:
        self.settings = settings
        self.release = release
        self.started_at = time.time()
        self.config: Config = self.load_config()
        authority = AuthorityFile(settings.state_dir)
        self.grant = Grant(authority)
        self.metrics = Metrics(release, settings.instance, self.started_at)
        self.metrics.start_strategies(tuple(self.config.strategies))
        self.records = Records(book, self.metrics, settings.state_dir)
        self.client = ExchangeClient(settings.exchange_url, settings.exchange_account, settings.exchange_signer)
        self.account = Account(self.client)
        self.account.on_resting_fill = self._resting_filled
        self.desk = Desk(self.grant, self.account)
        self.breaker = Breaker(self.grant, self.metrics)
        self.strategies = [
            Strategy(name, settings.instance, self.account, self.desk, self.records, self.breaker)
            for name in self.config.strategies
        ]
        self.holdings = Holdings(self.account, self.desk)
        self.switches = Switches(authority, self.grant, self.strategies)
        self.faults = FaultPlan(release.faults, settings.instance)
        self.handover = Handover(self.grant, self.account, self.desk, self._begin_trading)
        self.emergency = Emergency(self.grant, self.account, self.desk)
        self.health = Health(self.grant, self.account, self.records, self.strategies)
        self.smoke = SmokeTests(self.account, self.records, self.grant, authority, self.load_config)
        self._tasks: set[asyncio.Task[None]] = set()

    def load_config(self) -> Config:
        """Reads and validates the configuration files. Raises ConfigError."""
        return load_config(self.settings.default_config, self.settings.config)

    def reload_config(self) -> tuple[str, str]:
        """Validates, then swaps at once; answers old and new revision. Raises ConfigError, nothing changed."""
        config = self.load_config()
        old, self.config = self.config, config
        log.info("configuration %s -> %s", old.revision, config.revision)
        return old.revision, config.revision

    async def start(self) -> None:
        """Connects and begins the background reads."""
        await self.client.open()
        self._spawn(self._read_forever(), "reads")
        self._spawn(self.records.keep(self._held), "records")

    def stop_trading(self) -> None:
        """Takes the role away at once; no further order leaves."""
        if self.grant.may_trade:
            self.grant.become(Role.STANDBY)

    async def stop(self) -> None:
        """Stops trading (in-flight orders are resolved first), then everything else."""
        self.stop_trading()
        try:
            await self.desk.drain()
        except Unresolved as error:
            log.error("%s", error)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        await self.records.close()

    def _begin_trading(self) -> None:
        for number, strategy in enumerate(self.strategies):
            strategy.begin(self.grant.stopped)
            self._spawn(strategy.run(lambda: self.config, number * STAGGER_SECONDS), strategy.name)
        self._spawn(self.faults.watch(self.grant, self.desk), "faults")
        if self.config.trading_enabled and self.config.holdings:
            self._spawn(self.holdings.keep(self.grant.stopped, self.config.holdings), "holdings")

    async def _read_forever(self) -> None:
        compared_at = 0.0
        while True:
            started = time.monotonic()
            try:
                await self.account.refresh_prices()
                if started - compared_at >= COMPARE_SECONDS * 0.9:
                    compared_at = started
                    await self._compare()
                self.health.exchange_error = None
            except (ExchangeUnreachable, ExchangeRefused) as error:
                self.health.exchange_error = str(error)
            self.show()
            pause = ACTIVE_READ_SECONDS if self.grant.may_trade else STANDBY_READ_SECONDS
            await asyncio.sleep(max(0.01, started + pause - time.monotonic()))

    async def _compare(self) -> None:
        if self.grant.role is Role.STANDBY:
            await self.account.follow()
        else:
            await self.account.compare()
            await self.breaker.check_losses(self.account.day_loss(), self.account.equity, self.config)

    def _resting_filled(self, fill: Fill, profit: Decimal) -> None:
        log.info("resting order filled: %s %s %s at %s", fill.side, fill.size, fill.symbol, fill.price)
        if profit:
            self.records.closed("holdings", Execution(fill, profit))

    def _held(self) -> tuple[list[HeldPosition], UsedConfig] | None:
        """What this instance has to keep in the book now; None while another one trades."""
        if not self.grant.owns:
            return None
        mids, config = self.account.mids, self.config
        held = self.account.ledger.positions.items()
        positions = [HeldPosition(symbol, one.size, one.entry, mids.get(symbol)) for symbol, one in held]
        return positions, UsedConfig(config.revision, self.release.version, dict(config.content))

    def show(self) -> None:
        """Copies counts and checks into the metrics, so that a scrape says the same as the health answer."""
        metrics, account = self.metrics, self.account
        metrics.mismatches.set(len(account.differences))
        metrics.open_positions.set(len(account.ledger.positions))
        metrics.open_orders.set(len(account.open_orders))
        metrics.heartbeat.set(time.time())
        for check in self.health.checks():
            metrics.component_up.labels(check.name).set(0 if check.status == "fail" else 1)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background work %s failed", task.get_name(), exc_info=task.exception())
