"""One paper exchange for all tests of this folder; each test has an account of its own there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info

from tests.exchange.processes import PaperExchange

_numbers = itertools.count(1)


@dataclass
class Trader:
    """One account: its name and address, and the official SDK for it."""

    paper: PaperExchange
    name: str
    address: str
    sdk: Exchange

    @property
    def info(self) -> Info:
        return self.sdk.info

    def mid(self, coin: str) -> float:
        return float(self.info.all_mids()[coin])

    def positions(self) -> dict[str, str]:
        rows = self.info.user_state(self.address)["assetPositions"]
        return {row["position"]["coin"]: row["position"]["szi"] for row in rows}

    def log(self) -> list[dict[str, object]]:
        return self.paper.log(self.name)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    """The process."""
    exchange = PaperExchange(tmp_path_factory.mktemp("paper"), also=["127.0.0.2"]).start()
    yield exchange
    assert exchange.stop() == 0, exchange.output.read_text()


@pytest.fixture
def paper(running: PaperExchange) -> Iterator[PaperExchange]:
    """The exchange without faults, also after the test."""
    running.heal()
    yield running
    running.heal()


@pytest.fixture
def trader(paper: PaperExchange) -> Trader:
    """An account that nobody used before."""
    name = f"trader-{next(_numbers)}"
    address = paper.account(name)
    return Trader(paper, name, address, paper.client(name))


def status(answer: dict[str, object]) -> object:
    """The only status in an answer of the SDK."""
    assert answer["status"] == "ok", answer
    (one,) = answer["response"]["data"]["statuses"]  # type: ignore[index]
    return one


def limit(tif: str = "Gtc") -> dict[str, object]:
    """An order type of the SDK."""
    return {"limit": {"tif": tif}}
