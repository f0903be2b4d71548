"""A real paper exchange and a real trading system that stands still, for the tests of positions and orders.

The system is HALTED by its circuit breaker, so that nothing trades unless a test does it; a person may still close.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.releases import build_releases
from tests.demo.processes import TOKEN, Exchange, Instance, Stack, call

IOC, GTC = {"limit": {"tif": "Ioc"}}, {"limit": {"tif": "Gtc"}}
COINS = ("BTC", "ETH", "SOL")


def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Polls until the condition answers something true; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)
    return value


@dataclass
class World:
    """Both processes, and what tests do to them."""

    exchange: Exchange
    instance: Instance
    account: str
    folder: Path

    def lead(self, environment: Any, *, with_system: bool = True) -> None:
        """Let an environment of the inventory reach them."""
        token = self.folder / "console-token"
        token.write_text(TOKEN)
        blue = environment.slots.get(name="blue")
        port = self.instance.port if with_system else 1
        blue.instances.update(base_url=f"http://127.0.0.1:{port}", token_ref=f"file:{token}")
        environment.writer_slot = blue
        environment.exchange = {
            "kind": "hyperliquid",
            "url": self.exchange.url,
            "account": self.exchange.account(self.account),
            "vault": "",
            "key": f"file:{self.exchange.keys.file('production-console')}",
            "dead_man_seconds": 0,
        }
        environment.save()

    def faults(self, **changes: Any) -> None:
        """See demo/exchange/fault_controls.py."""
        reply = call("POST", f"{self.exchange.url}/faults", changes)
        assert reply.status == 200, reply.body

    def heal(self) -> None:
        """Take every fault back."""
        call("DELETE", f"{self.exchange.url}/faults")

    def inject(self, coin: str, size: str) -> None:
        """A fill behind the system's back."""
        self.faults(position={"account": self.account, "coin": coin, "size": size})

    def rest(self, coin: str = "BTC", size: str = "0.02") -> str:
        """A resting order of the account, far below the price; its id."""
        price = f"{float(self.exchange.info(type='allMids')[coin]) * 0.7:.2g}"
        asset = [one["name"] for one in self.exchange.info(type="meta")["universe"]].index(coin)
        status = self.exchange.order(self.account, a=asset, b=True, p=f"{float(price):g}", s=size, t=GTC)
        return str(status["resting"]["oid"])

    def positions(self) -> dict[str, str]:
        """Signed size by coin, as the exchange says."""
        state = self.exchange.info(type="clearinghouseState", user=self.account)
        return {row["position"]["coin"]: row["position"]["szi"] for row in state["assetPositions"]}

    def orders(self) -> list[str]:
        """Ids of the open orders, as the exchange says."""
        return [str(one["oid"]) for one in self.exchange.info(type="frontendOpenOrders", user=self.account)]

    def kept(self) -> dict[str, str]:
        """Signed size by symbol, as the system keeps it."""
        return {row["symbol"]: row["size"] for row in self.instance.get("/v1/positions").json["positions"]}

    def adopt(self) -> None:
        """Let the system take over what the exchange has."""
        assert self.instance.post("/v1/reconcile").status == 200

    def clean(self) -> None:
        """Nothing open on either side, no fault."""
        self.heal()
        if cancels := self._cancels():
            self.exchange.act(self.account, {"type": "cancel", "cancels": cancels})
        for coin, size in self.positions().items():
            self.inject(coin, size[1:] if size.startswith("-") else f"-{size}")
        self.adopt()
        assert not self.positions() and not self.orders() and not self.kept()

    def _cancels(self) -> list[dict[str, int]]:
        names = [one["name"] for one in self.exchange.info(type="meta")["universe"]]
        rows = self.exchange.info(type="frontendOpenOrders", user=self.account)
        return [{"a": names.index(row["coin"]), "o": row["oid"]} for row in rows]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both processes, once for a module."""
    folder = tmp_path_factory.mktemp("positions")
    (folder / "releases").mkdir()
    releases = {one.version: one for one in build_releases(folder / "releases")}
    stack = Stack(folder, releases, tmp_path_factory.mktemp("unpacked"))
    stack.environment = "production"
    try:
        exchange = stack.exchange()
        exchange.account("production", "production-blue-1", "production-console")
        instance = stack.instance(exchange).ready()
        assert instance.role("ACTIVE", 1).status == 200
        assert instance.post("/v1/circuit-breaker/trip").status == 200
        yield World(exchange, instance, "production", folder)
    finally:
        stack.stop()


@pytest.fixture
def world(running: World) -> World:
    """Nothing is open, nothing is wrong."""
    running.clean()
    return running
