"""Each fault of the paper exchange, seen from a client; and what survives a restart."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import requests
from hyperliquid.utils.error import ClientError, ServerError

from demo.exchange.faults import main as faults_command
from tests.exchange.conftest import Trader, limit, status
from tests.exchange.processes import ROOT, PaperExchange, until

FAST = 0.3


def test_latency_is_added_to_the_round_trip(trader: Trader) -> None:
    trader.paper.faults(latency_ms=150)
    began = time.monotonic()
    trader.info.all_mids()
    assert 0.15 <= time.monotonic() - began < 0.5


def test_a_request_hangs_once(trader: Trader) -> None:
    trader.paper.faults(hang_next={"type": "frontendOpenOrders", "count": 1})
    trader.info.timeout = FAST
    assert trader.info.open_orders(trader.address) == [], "other questions are answered"
    with pytest.raises(requests.exceptions.ReadTimeout):
        trader.info.frontend_open_orders(trader.address)
    assert trader.info.frontend_open_orders(trader.address) == []
    assert trader.paper.faults()["hang_next"] == []


def test_executed_but_the_reply_is_lost(trader: Trader) -> None:
    trader.paper.faults(lose_reply={"type": "order", "count": 1})
    with pytest.raises(requests.exceptions.ConnectionError):
        trader.sdk.order("ETH", True, 0.1, 2000, limit())
    (order,) = trader.info.open_orders(trader.address)
    trader.paper.faults(lose_reply={"type": "cancel"})
    with pytest.raises(requests.exceptions.ConnectionError):
        trader.sdk.cancel("ETH", order["oid"])
    assert trader.info.open_orders(trader.address) == []
    assert "never placed" in status(trader.sdk.cancel("ETH", order["oid"]))["error"]  # type: ignore[index]


def test_status_codes_and_the_bodies_that_trap_the_sdk(trader: Trader) -> None:
    paper = trader.paper
    paper.faults(status={"type": "/info", "code": 429, "count": 1})
    with pytest.raises(ClientError) as limited:
        trader.info.all_mids()
    assert (limited.value.status_code, limited.value.error_message) == (429, "null")
    paper.faults(status={"type": "/info", "code": 429, "count": 1, "body": {"error": "too many"}})
    with pytest.raises(KeyError):
        trader.info.all_mids()
    paper.faults(status=[{"type": "order", "code": 503, "count": None}, {"type": "cancel", "code": 502}])
    for _ in range(3):
        with pytest.raises(ServerError):
            trader.sdk.order("ETH", True, 0.1, 2000, limit())
    paper.faults(status=None)
    assert trader.info.open_orders(trader.address) == [], "what was answered so was not done"
    assert "resting" in status(trader.sdk.order("ETH", True, 0.1, 2000, limit()))  # type: ignore[operator]


def test_a_dead_list_of_orders(trader: Trader) -> None:
    trader.paper.faults(dead=["openOrders", "frontendOpenOrders"])
    for question in (trader.info.open_orders, trader.info.frontend_open_orders):
        with pytest.raises(ServerError):
            question(trader.address)
    assert trader.positions() == {}
    trader.paper.faults(dead=[])
    assert trader.info.open_orders(trader.address) == []


def test_weights_are_counted_for_each_client(trader: Trader) -> None:
    paper = trader.paper
    second = paper.client(trader.name, url=f"http://127.0.0.2:{paper.port}")
    paper.faults(weight_limit=1200, weight_spent={"127.0.0.1": 1190})
    with pytest.raises(ClientError) as limited:
        trader.info.open_orders(trader.address)
    assert limited.value.status_code == 429
    assert second.info.open_orders(trader.address) == [], "the other address has a budget of its own"
    # Orders weigh little: what is left lets them through.
    oid = status(trader.sdk.order("ETH", True, 0.1, 2000, limit()))["resting"]["oid"]  # type: ignore[index]
    assert status(trader.sdk.cancel("ETH", oid)) == "success"
    paper.faults(weight_limit=600_000)
    until(lambda: trader.info.open_orders(trader.address) == [], "the budget has refilled")
    paper.faults(weight_limit=None)
    assert paper.faults()["weight"]["limit"] is None


def test_a_position_behind_everybodys_back(trader: Trader) -> None:
    trader.paper.faults(position={"account": trader.name, "coin": "BTC", "size": "-0.02"})
    assert trader.positions() == {"BTC": "-0.02"}
    assert trader.log()[-1]["writer"] == "fault"


def test_a_price_shock(trader: Trader) -> None:
    before = trader.mid("HYPE")
    trader.paper.faults(shock={"HYPE": -0.1})
    assert abs(trader.mid("HYPE") / before - 0.9) < 0.01
    trader.paper.faults(shock={"HYPE": 0.1111})


def test_a_runaway_writer_inside_the_exchange(trader: Trader) -> None:
    agent = f"{trader.name}-blue-1"
    trader.paper.faults(runaway={"account": trader.name, "agent": agent, "every_ms": 5, "usd": 50})
    until(lambda: len(trader.positions()) >= 4 and len(trader.info.open_orders(trader.address)) >= 3, "it opens")
    trader.paper.faults(runaway=None)
    settled = len(trader.log())
    assert {entry["writer"] for entry in trader.log()} <= {agent, None}
    trader.info.all_mids()
    assert len(trader.log()) == settled


def test_a_runaway_process_ends_with_its_process(trader: Trader) -> None:
    key = trader.paper.keys.file(f"{trader.name}-green-1")
    command = [sys.executable, "-m", "demo.exchange.runaway", "--url", trader.paper.url, "--key", str(key)]
    process = subprocess.Popen([*command, "--every-ms", "10"], cwd=ROOT)
    try:
        until(lambda: len(trader.positions()) >= 3, "it opens positions")
        assert {entry["writer"] for entry in trader.log()} <= {f"{trader.name}-green-1", None}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    opened = [entry for entry in trader.log() if entry["action"] == "order"]
    trader.info.all_mids()
    assert [entry for entry in trader.log() if entry["action"] == "order"] == opened
    refused = subprocess.run(
        [*command[:4], "https://api.hyperliquid.xyz", *command[5:]], cwd=ROOT, capture_output=True, check=False
    )
    assert refused.returncode == 2 and b"only an exchange on this machine" in refused.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": 5},
        {"latency_ms": -1},
        {"hang_next": {"count": 1}},
        {"status": {"type": "/info", "code": 200}},
        {"depth": {"NOPE": 1}},
        {"depth": {"BTC": "much"}},
        {"position": {"account": "nobody", "coin": "BTC", "size": "1"}},
        {"position": {"account": "production", "coin": "BTC", "size": "0"}},
        {"shock": {"BTC": 100}},
        {"runaway": {"account": "nobody", "agent": "x"}},
    ],
)
def test_a_wrong_fault_changes_nothing(paper: PaperExchange, wrong: dict[str, Any]) -> None:
    before = paper.call("GET", "/faults")
    with pytest.raises(urllib.error.HTTPError) as refused:
        paper.call("POST", "/faults", {"dead": ["meta"]} | wrong)
    assert refused.value.code == 422 and next(iter(wrong)).split(".")[0] in refused.value.read().decode()
    assert paper.call("GET", "/faults") == before


def test_the_command(trader: Trader, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(trader.paper.port)

    def run(*arguments: str) -> int:
        return faults_command(["--port", port, *arguments])

    assert run("mismatch", "--account", trader.name, "--coin", "ETH", "--size", "-0.5") == 0
    assert trader.positions() == {"ETH": "-0.5"}
    for arguments in (
        ("latency", "1"),
        ("hang", "openOrders", "--count", "2"),
        ("status", "meta", "500"),
        ("lose", "cancel"),
        ("dead", "userFees"),
        ("depth", "SUI", "0.5", "--distance", "0.01"),
        ("limit", "100000", "--spent", "5"),
        ("shock", "--coin", "SUI", "--fraction", "0.01"),
    ):
        assert run(*arguments) == 0, arguments
    shown = trader.paper.call("GET", "/faults")
    assert shown["latency_ms"] == 1 and shown["dead"] == ["userFees"] and shown["weight"]["limit"] == 100_000
    assert shown["hang_next"] == [{"type": "openOrders", "count": 2}]
    assert shown["depth"] == {"SUI": {"size": "0.5", "distance": "0.01"}}
    assert run("runaway", "--account", trader.name, "--agent", "x", "--every-ms", "1000") == 0
    assert run("runaway", "--every-ms", "0") == 0 and run("clear") == 0
    capsys.readouterr()
    assert run("show") == 0 and '"latency_ms": 0.0' in capsys.readouterr().out
    assert run("depth", "NOPE", "1") == 1 and "NOPE" in capsys.readouterr().err
    assert faults_command(["--port", "1", "show"]) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_accounts_survive_a_restart(tmp_path: Path, number: int) -> None:
    paper = PaperExchange(tmp_path).start()
    try:
        sdk = paper.client("production")
        assert "filled" in status(sdk.market_open("BTC", True, 0.01))  # type: ignore[operator]
        assert "filled" in status(sdk.market_open("ETH", False, 0.2))  # type: ignore[operator]
        sdk.order("SOL", True, 1, 150, limit())
        stop = {"trigger": {"isMarket": True, "triggerPx": 80_000, "tpsl": "sl"}}
        sdk.order("BTC", False, 0.01, 70_000, stop, reduce_only=True)
        positions, orders = paper.positions("production"), sdk.info.frontend_open_orders(sdk.account_address)
        assert len(positions) == len(orders) == 2
        paper.stop(number)
        paper.start()
        assert paper.positions("production") == positions
        assert sdk.info.frontend_open_orders(sdk.account_address) == orders
        assert "filled" in status(sdk.market_close("BTC"))  # type: ignore[operator]
        assert paper.faults()["latency_ms"] == 0
    finally:
        paper.stop()
