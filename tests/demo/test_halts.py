"""What halts an instance and what lets it begin again: emergency stop, release, circuit breaker, resume, switches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.releases import BuiltRelease
from tests.demo.processes import READ_TOKEN, Exchange, Instance, Stack, wait_for

QUIET = "trading: {enabled: false}\n"


def code(reply: Any) -> str:
    """The last part of a problem's type."""
    assert reply.headers["content-type"] == "application/problem+json", reply.body
    return str(reply.json["type"]).rsplit(":", 1)[1]


def up(instance: Instance) -> Instance:
    """Returns when it answers, healthy or not: a halted one is not."""
    wait_for(lambda: "on port" in instance.output, what=f"{instance.name} up")
    return instance


def ended(instance: Instance, pressed: Any) -> dict[str, Any]:
    """The operation of an emergency stop, once it has ended."""

    def look() -> dict[str, Any] | None:
        operation = instance.get(pressed.headers["location"]).json
        return operation if operation["status"] != "running" else None

    return dict(wait_for(look, what="operation ended"))


@pytest.fixture
def quiet(stack: Stack) -> dict[str, str]:
    """Configuration of an instance whose strategies send nothing."""
    path = stack.directory / "quiet.yaml"
    path.write_text(QUIET)
    return {"OPSC_CONFIG": str(path)}


@pytest.fixture(scope="module")
def halting(
    tmp_path_factory: pytest.TempPathFactory, releases: dict[str, BuiltRelease], unpacked: Path, exchange: Exchange
) -> Iterator[Instance]:
    """A quiet instance for tests that leave it in STANDBY, its breaker closed."""
    stack = Stack(tmp_path_factory.mktemp("halts"), releases, unpacked)
    path = stack.directory / "quiet.yaml"
    path.write_text(QUIET)
    try:
        yield stack.instance(exchange, OPSC_CONFIG=str(path)).ready()
    finally:
        stack.stop()


def test_emergency_stop_flattens_latches_and_holds_until_released_and_restarted(
    stack: Stack, exchange: Exchange
) -> None:
    instance = stack.instance(exchange).ready()
    instance.role("ACTIVE", 1)
    wait_for(lambda: instance.get("/v1/positions").json["positions"], what="open position")
    exchange.order(stack.environment, p="50000", t={"limit": {"tif": "Gtc"}})
    stop = {"trigger": {"isMarket": True, "triggerPx": "60000", "tpsl": "sl"}}
    exchange.order(stack.environment, b=False, p="59000", t=stop)
    assert len(exchange.info(type="frontendOpenOrders", user=stack.environment)) == 2
    pressed = instance.post("/v1/emergency-stop")
    assert pressed.status == 202 and pressed.headers["location"] == f"/v1/operations/{pressed.json['id']}"
    assert instance.state()["role"] == "HALTED" and instance.state()["latched"]

    operation = ended(instance, pressed)
    assert operation["status"] == "succeeded", operation
    assert (operation["remaining_positions"], operation["remaining_orders"]) == (0, 0)
    assert exchange.info(type="clearinghouseState", user=stack.environment)["assetPositions"] == []
    assert exchange.info(type="frontendOpenOrders", user=stack.environment) == []
    for path in ("resume", "circuit-breaker/reset", "config/reload", "strategies/geometry/enable"):
        assert code(instance.post(f"/v1/{path}")) == "latched", path
    instance.stop()

    again = up(stack.instance(exchange))
    assert (again.state()["role"], again.state()["restart_required"]) == ("HALTED", True)
    assert again.role("ACTIVE", 2).status == 409 and again.metric("trading_position_mismatches") == 0
    assert again.post("/v1/emergency-stop/release", token=READ_TOKEN).status == 403
    released = again.post("/v1/emergency-stop/release").json
    assert (released["role"], released["latched"], released["restart_required"]) == ("HALTED", False, True)
    assert again.post("/v1/emergency-stop/release").status == 200
    assert code(again.post("/v1/resume")) == "restart-required" and again.role("ACTIVE", 2).status == 409
    again.stop()

    last = up(stack.instance(exchange))
    assert (last.state()["role"], last.state()["latched"], last.state()["restart_required"]) == ("HALTED", False, False)
    assert last.role("ACTIVE", 3).status == 409
    assert last.post("/v1/resume").json["role"] == "STANDBY"
    assert last.role("ACTIVE", 3).json["role"] == "ACTIVE"


def test_a_stopped_instance_is_disconnected_and_says_so(
    stack: Stack, exchange: Exchange, quiet: dict[str, str]
) -> None:
    instance = stack.instance(exchange, **quiet).ready()
    instance.role("ACTIVE", 1)
    operation = ended(instance, instance.post("/v1/emergency-stop"))
    assert operation["detail"] == "halted and flat, disconnected"
    assert instance.state()["connected"] is False
    for path in ("positions/BTC/close", "orders/cancel"):
        assert code(instance.post(f"/v1/{path}")) == "disconnected"
    health = wait_for(
        lambda: (
            (found := instance.get("/healthz")).json["checks"]["exchange:connection"][0]["status"] == "fail" and found
        ),
        what="health fails",
    )
    checks = {name: check["output"] for name, (check,) in health.json["checks"].items()}
    assert health.status == 503 and "disconnected from the exchange" in checks["exchange:connection"]
    assert "release the emergency stop, restart the process, then resume" in checks["strategies:running"]
    assert ended(instance, instance.post("/v1/emergency-stop", reason="again"))["status"] == "succeeded"
    assert instance.role("STANDBY", 2).json["role"] == "HALTED"


def test_one_in_standby_halts_and_sends_nothing(stack: Stack, exchange: Exchange, quiet: dict[str, str]) -> None:
    instance = stack.instance(exchange, **quiet).ready()
    exchange.order(stack.environment, s="0.02")
    before = len(exchange.log_of(stack.environment))
    operation = ended(instance, instance.post("/v1/emergency-stop"))
    assert (operation["status"], operation["remaining_positions"]) == ("succeeded", None)
    assert "the account belongs to the other slot" in operation["detail"]
    assert instance.state()["role"] == "HALTED" and len(exchange.log_of(stack.environment)) == before


def test_what_remains_is_told_and_the_instance_disconnects_all_the_same(
    stack: Stack, exchange: Exchange, quiet: dict[str, str]
) -> None:
    instance = stack.instance(exchange, **quiet).ready()
    instance.role("ACTIVE", 1)
    exchange.order(stack.environment, s="0.02")
    wait_for(lambda: instance.metric("trading_position_mismatches") == 1, what="position seen")
    operation = ended(instance, instance.post("/v1/emergency-stop", close_positions=False))
    assert (operation["status"], operation["remaining_positions"], operation["detail"]) == (
        "succeeded",
        1,
        "halted, disconnected",
    )


def test_circuit_breaker_trips_and_is_reset_in_two_steps(stack: Stack, exchange: Exchange) -> None:
    config = stack.directory / "fragile.yaml"
    # Orders below the exchange's minimum are rejected; three in a row open the breaker.
    config.write_text(
        "strategies: {geometry: {order_usd: 1}, kinematics: {order_usd: 1}}\nrisk: {max_rejected_orders: 3}"
    )
    instance = stack.instance(exchange, OPSC_CONFIG=str(config)).ready()
    assert instance.get("/v1/circuit-breaker").json["state"] == "closed"
    instance.role("ACTIVE", 1)
    wait_for(lambda: instance.state()["role"] == "HALTED", what="halted by the breaker")
    breaker = instance.get("/v1/circuit-breaker").json
    assert (breaker["state"], breaker["reason_code"], breaker["observed"]) == ("open", "rejected_orders", "3")
    assert instance.metric('trading_circuit_breaker_open{reason_code="rejected_orders"}') == 1
    assert instance.role("ACTIVE", 2).status == 409
    assert instance.role("STANDBY", 2).json["role"] == "HALTED"
    assert code(instance.post("/v1/resume")) == "breaker-open"
    assert instance.post("/v1/circuit-breaker/reset").json["state"] == "closed"
    assert instance.state()["role"] == "HALTED"
    assert instance.post("/v1/resume").json["role"] == "STANDBY"
    assert code(instance.post("/v1/resume")) == "not-halted"


def test_a_breaker_tripped_by_hand_holds_over_a_restart(
    stack: Stack, exchange: Exchange, quiet: dict[str, str]
) -> None:
    instance = stack.instance(exchange, **quiet).ready()
    instance.role("ACTIVE", 1)
    exchange.order(stack.environment, s="0.02")
    assert instance.post("/v1/circuit-breaker/trip", reason="").status == 422
    tripped = instance.post("/v1/circuit-breaker/trip", reason="prices look wrong").json
    assert (tripped["state"], tripped["reason_code"], tripped["role"]) == ("open", "manual", "HALTED")
    assert tripped["reason"] == "prices look wrong (tripped by tester)" and tripped["observed"] is None
    assert instance.post("/v1/circuit-breaker/trip", reason="again").json["tripped_at"] == tripped["tripped_at"]
    assert instance.metric('trading_circuit_breaker_open{reason_code="manual"}') == 1
    instance.stop()

    again = up(stack.instance(exchange, **quiet))
    assert again.get("/v1/circuit-breaker").json == tripped and again.role("ACTIVE", 2).status == 409
    assert again.state()["restart_required"] is False
    # What a halt leaves open may be closed: it only reduces the risk.
    wait_for(lambda: again.get("/v1/positions").json["positions"], what="position known")
    assert again.metric("trading_position_mismatches") == 0
    assert again.post("/v1/positions/BTC/close").json["remaining"] == "0"
    assert again.post("/v1/circuit-breaker/reset").json["state"] == "closed"
    assert again.post("/v1/resume").json["role"] == "STANDBY" and again.role("ACTIVE", 2).status == 200


def test_one_in_standby_can_be_tripped_so_that_it_never_takes_over(halting: Instance) -> None:
    assert halting.post("/v1/circuit-breaker/trip").json["role"] == "HALTED"
    assert halting.role("ACTIVE", 1).status == 409
    assert code(halting.post("/v1/positions/BTC/close")) == "not-permitted"
    halting.post("/v1/circuit-breaker/reset")
    assert halting.post("/v1/resume").json["role"] == "STANDBY"


def test_a_strategy_is_switched_off_and_on(stack: Stack, exchange: Exchange) -> None:
    def states(instance: Instance) -> dict[str, str]:
        return {s["id"]: s["state"] for s in instance.state()["strategies"]}

    instance = stack.instance(exchange).ready()
    assert instance.post("/v1/strategies/geometry/disable").json == {"id": "geometry", "state": "disabled"}
    assert code(instance.post("/v1/strategies/astrology/disable")) == "no-strategy"
    instance.stop()
    again = stack.instance(exchange).ready()
    again.role("ACTIVE", 1)
    assert states(again) == {"geometry": "disabled", "kinematics": "running"}
    wait_for(lambda: len(again.get("/v1/trades").json["trades"]) >= 2, what="trades")
    assert {entry["coin"] for entry in exchange.log_of(stack.environment)} == {"ETH"}
    assert (
        again.get("/healthz").json["checks"]["strategies:running"][0]["output"] == "2 running, switched off: geometry"
    )
    assert again.post("/v1/strategies/geometry/enable").json["state"] == "running"
    wait_for(lambda: {e["coin"] for e in exchange.log_of(stack.environment)} & {"BTC", "SOL"}, what="geometry trades")


def test_one_symbol_is_adopted_and_one_order_cancelled(stack: Stack, exchange: Exchange, quiet: dict[str, str]) -> None:
    instance = stack.instance(exchange, **quiet).ready()
    instance.role("ACTIVE", 1)
    exchange.order(stack.environment, s="0.02")
    exchange.order(stack.environment, a=1, p="4000", s="0.1")
    wait_for(lambda: instance.metric("trading_position_mismatches") == 2, what="mismatches")
    assert instance.post("/v1/reconcile", symbols="BTC").status == 422
    found = instance.post("/v1/reconcile", symbols=["BTC"]).json["differences"]
    assert [(row["symbol"], row["adopted"]) for row in found] == [("BTC", True), ("ETH", False)]
    assert [row["symbol"] for row in instance.post("/v1/reconcile", symbols=[]).json["differences"]] == ["ETH"]
    assert [row["symbol"] for row in instance.get("/v1/positions").json["positions"]] == ["BTC"]

    exchange.order(stack.environment, p="50000", t={"limit": {"tif": "Gtc"}})
    stop = {"trigger": {"isMarket": True, "triggerPx": "60000", "tpsl": "sl"}}
    exchange.order(stack.environment, b=False, p="59000", r=True, t=stop)
    rows = wait_for(lambda: len(rows := instance.get("/v1/orders").json["orders"]) == 2 and rows, what="orders")
    kinds = {row["type"]: row for row in rows}
    assert float(kinds["trigger"]["trigger_price"]) == 60000 and kinds["limit"]["trigger_price"] is None
    assert instance.post("/v1/orders/cancel", order=5).status == 422
    assert code(instance.post("/v1/orders/cancel", order="999999999")) == "no-order"
    oid = kinds["limit"]["id"]
    assert instance.post("/v1/orders/cancel", order=oid).json == {"cancelled": 1, "remaining": 0}
    assert [o["isTrigger"] for o in exchange.info(type="frontendOpenOrders", user=stack.environment)] == [True]
