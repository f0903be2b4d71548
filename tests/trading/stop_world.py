"""A real paper exchange with orders and positions, for environments without a writer: two clean reads are FLAT."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.processes import PaperExchange, until
from trading import stop_files, stops
from trading.stop import engine
from trading.stop.plan import Timing
from trading.stop_watch import StopWatch

QUICK = Timing(apart=0.2, rechecks=(0.1,), first_outcome=1.5, give_up=4.0)
"""As in production but for the waits: a test lasts no minute."""
COINS = ("BTC", "ETH")


class StopWorld:
    """The exchange, and what is open there."""

    def __init__(self, folder: Path) -> None:
        self.exchange = PaperExchange(folder).start()
        self.exchange.account("staging")

    def lead(self, environment: Any, **more: Any) -> None:
        """Let an environment trade there. Without instances there is no writer to halt."""
        environment.exchange = {
            "kind": "hyperliquid",
            "url": self.exchange.url,
            "account": self.exchange.account(environment.name),
            "vault": "",
            "key": f"file:{self.exchange.keys.file(f'{environment.name}-console')}",
            "dead_man_seconds": 0,
            **more,
        }
        environment.save()
        for slot in environment.slots.all():
            slot.instances.all().delete()
        stop_files.write_settings(environment)

    def fill(self, account: str, orders: int = 2) -> None:
        """Positions in two coins, and resting orders far below the price."""
        for coin in COINS:
            self.exchange.faults(position={"account": account, "coin": coin, "size": "0.02"})
        sdk, mids = self.exchange.client(account), self.exchange.ask(type="allMids")
        price = float(f"{Decimal(mids['BTC']) / 2:.0f}"[:3] + "0" * (len(f"{Decimal(mids['BTC']) / 2:.0f}") - 3))
        for _ in range(orders):
            answer = sdk.order("BTC", True, 0.01, price, {"limit": {"tif": "Gtc"}})
            assert "resting" in answer["response"]["data"]["statuses"][0], answer

    def left(self, account: str) -> tuple[int, int]:
        """Open orders and positions, as the exchange says."""
        orders = self.exchange.ask(type="frontendOpenOrders", user=account)
        return len(orders), len(self.exchange.positions(account))

    def clean(self) -> None:
        """Nothing open, no fault."""
        self.exchange.heal()
        for account in ("production", "staging"):
            for order in self.exchange.ask(type="frontendOpenOrders", user=account):
                self.exchange.client(account).cancel(order["coin"], order["oid"])
            for coin, size in self.exchange.positions(account).items():
                back = size[1:] if size.startswith("-") else f"-{size}"
                self.exchange.faults(position={"account": account, "coin": coin, "size": back})
            assert self.left(account) == (0, 0)


@pytest.fixture(scope="module")
def exchange_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StopWorld]:
    """One exchange for a module."""
    world = StopWorld(tmp_path_factory.mktemp("exchange"))
    yield world
    world.exchange.stop()


@pytest.fixture
def stop_world(exchange_world: StopWorld, production: Any, staging: Any, monkeypatch: Any) -> Iterator[StopWorld]:
    """Both environments trade there; stops are quick, and over when the test ends."""
    runs: list[tuple[Any, Any]] = []

    def run(settings: Any, pressed: Any) -> None:
        runs.append((settings, pressed))
        engine.run(settings, pressed, timing=QUICK)

    monkeypatch.setattr(stops, "run", run)
    # Its thread does not see what the test's transaction made; test_stops_record.py lets it run.
    monkeypatch.setattr(stops, "_record_soon", lambda *given: None)
    for environment in (production, staging):
        exchange_world.lead(environment)
    yield exchange_world
    exchange_world.clean()
    for settings, pressed in runs:
        ended(settings.environment, pressed.id)


def state(environment: Any, stop: Any) -> Any:
    """What the journal of a stop says now."""
    name = environment if isinstance(environment, str) else environment.name
    return stop_files.journal_of(name, stop).state()


def reached(environment: Any, stop: Any, outcome: str) -> Any:
    """Wait until a stop has an outcome; its state."""
    return until(lambda: (found := state(environment, stop)) and found.outcome == outcome and found, outcome, 15)


def ended(environment: Any, stop: Any) -> Any:
    """Wait until a stop is over; its state."""
    return until(lambda: (found := state(environment, stop)) and not found.still_running and found, "the end", 15)


def followed() -> StopWatch:
    """The monitor has looked at every file once."""
    watch = StopWatch()
    watch.follow()
    return watch
