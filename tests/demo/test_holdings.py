"""What is held beside the strategies: it is there soon, handed over, and a halt leaves what protects it."""

import time
from typing import Any

import pytest

from demo.exchange.writers import find_writers
from tests.demo.processes import Exchange, Instance, Stack, call, wait_for

HELD = {"AVAX", "LINK"}


@pytest.fixture
def config(stack: Stack) -> dict[str, str]:
    """A configuration with two holdings, one long and one short."""
    path = stack.directory / "holdings.yaml"
    path.write_text("holdings: {AVAX: 400, LINK: -300}\n")
    return {"OPSC_CONFIG": str(path)}


def resting(exchange: Exchange, stack: Stack) -> list[dict[str, Any]]:
    return list(exchange.info(type="frontendOpenOrders", user=stack.environment))


def settled(exchange: Exchange, stack: Stack) -> list[dict[str, Any]]:
    """The resting orders once all six are there."""
    return wait_for(lambda: len(found := resting(exchange, stack)) == 6 and found, what="six resting orders")


def sides(instance: Instance) -> dict[str, str]:
    return {p["symbol"]: p["side"] for p in instance.get("/v1/positions").json["positions"] if p["symbol"] in HELD}


def test_holdings_are_brought_about_and_handed_over(stack: Stack, exchange: Exchange, config: dict[str, str]) -> None:
    blue = stack.instance(exchange, name="production-blue-1", **config)
    green = stack.instance(exchange, "v1.2.5", name="production-green-1", **config)
    blue.ready(), green.ready()
    blue.role("ACTIVE", 1)
    orders = settled(exchange, stack)
    assert sum(order["isTrigger"] for order in orders) == 2 and {order["coin"] for order in orders} == HELD
    assert sides(blue) == {"AVAX": "long", "LINK": "short"}
    # The strategies trade on beside them.
    wait_for(lambda: len(blue.get("/v1/trades").json["trades"]) >= 2, what="trades")
    sizes = [p["size"] for p in blue.get("/v1/positions").json["positions"] if p["symbol"] in HELD]

    began = time.perf_counter()
    stood_down = blue.role("STANDBY", 2).json
    assert (stood_down["open_orders"], stood_down["cancelled_orders"]) == (0, 6)
    assert resting(exchange, stack) == []
    green.role("ACTIVE", 3)
    assert time.perf_counter() - began < 1
    settled(exchange, stack)
    assert [p["size"] for p in green.get("/v1/positions").json["positions"] if p["symbol"] in HELD] == sizes
    found = find_writers(exchange.log_of(stack.environment), stack.environment)
    assert found.overlaps == 0 and max(change.gap_ms for change in found.changes) < 1_000
    assert green.metric("trading_position_mismatches") == 0


def test_a_halt_withdraws_what_would_open_more(stack: Stack, exchange: Exchange, config: dict[str, str]) -> None:
    instance = stack.instance(exchange, **config).ready()
    instance.role("ACTIVE", 1)
    settled(exchange, stack)
    # What a person cancels stays cancelled.
    shown = wait_for(lambda: len(rows := instance.get("/v1/orders").json["orders"]) == 6 and rows, what="orders shown")
    victim = next(order for order in shown if order["type"] == "trigger")
    assert instance.post("/v1/orders/cancel", order=victim["id"]).json["cancelled"] == 1
    instance.post("/v1/circuit-breaker/trip")
    left = wait_for(lambda: len(found := resting(exchange, stack)) == 3 and found, what="entries withdrawn")
    assert all(order["reduceOnly"] for order in left)
    assert sides(instance) == {"AVAX": "long", "LINK": "short"}


def test_a_holding_that_a_strategy_trades_or_nobody_lists_is_refused(stack: Stack, exchange: Exchange) -> None:
    path = stack.directory / "wrong.yaml"
    path.write_text("holdings: {BTC: 100, AVAX: much}\n")
    wrong = stack.instance(exchange, OPSC_CONFIG=str(path))
    assert wrong.process is not None and wrong.process.wait(10) == 2
    assert (
        "/holdings/BTC: is traded by a strategy" in wrong.output and "/holdings/AVAX: must be a number" in wrong.output
    )
    path.write_text("holdings: {NOPE: 100}\n")
    instance = stack.instance(exchange, OPSC_CONFIG=str(path)).ready()
    (failed,) = [r for r in instance.post("/v1/smoke-test").json["results"] if r["status"] == "fail"]
    assert failed["detail"] == "holdings.NOPE: the exchange lists no market NOPE"


def test_the_fill_of_a_resting_order_is_booked_and_is_no_mismatch(stack: Stack, config: dict[str, str]) -> None:
    exchange = stack.exchange()
    instance = stack.instance(exchange, **config).ready()
    instance.role("ACTIVE", 1)
    settled(exchange, stack)

    def avax() -> float:
        return sum(float(p["size"]) for p in instance.get("/v1/positions").json["positions"] if p["symbol"] == "AVAX")

    before, seen = avax(), []

    def grown() -> bool:
        seen.append(instance.metric("trading_position_mismatches"))
        return avax() > before

    # Below the order that buys more, above the one that stops the loss.
    assert call("POST", f"{exchange.url}/faults", {"shock": {"AVAX": -0.04}}).status == 200
    wait_for(grown, what="fill booked")
    assert avax() == 2 * before
    # Down to the stop: what is sold there is a trade of the holdings.
    call("POST", f"{exchange.url}/faults", {"shock": {"AVAX": -0.1}})
    wait_for(lambda: grown() or avax() < 2 * before, what="stop booked")
    rows = wait_for(
        lambda: [t for t in instance.get("/v1/trades").json["trades"] if t["strategy"] == "holdings"], what="trade"
    )
    assert rows[0]["outcome"] == "loss" and rows[0]["symbol"] == "AVAX"
    assert set(seen) == {0}
    # A position that came about without any order of ours still is one.
    exchange.order(stack.environment, a=0, s="0.002")
    wait_for(lambda: instance.metric("trading_position_mismatches") == 1, what="mismatch")
