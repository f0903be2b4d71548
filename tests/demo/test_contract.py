"""The ops contract, endpoint by endpoint, against a real instance on a real exchange."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.releases import BuiltRelease
from tests.demo.processes import READ_TOKEN, Exchange, Instance, Stack, call, wait_for

READS = ["/v1/state", "/v1/positions", "/v1/orders", "/v1/trades", "/v1/circuit-breaker", "/v1/operations/x"]
WRITES = [
    "/v1/role",
    "/v1/positions/BTC/close",
    "/v1/orders/cancel",
    "/v1/emergency-stop",
    "/v1/emergency-stop/release",
    "/v1/reconcile",
    "/v1/circuit-breaker/trip",
    "/v1/circuit-breaker/reset",
    "/v1/strategies/geometry/enable",
    "/v1/strategies/geometry/disable",
    "/v1/resume",
    "/v1/config/reload",
    "/v1/smoke-test",
]


@pytest.fixture(scope="module")
def trading(
    tmp_path_factory: pytest.TempPathFactory, releases: dict[str, BuiltRelease], unpacked: Path, exchange: Exchange
) -> Iterator[Instance]:
    """One instance that trades; the tests of this module that use it leave it trading."""
    stack = Stack(tmp_path_factory.mktemp("contract"), releases, unpacked)
    try:
        instance = stack.instance(exchange).ready()
        assert instance.role("ACTIVE", 7).status == 200
        yield instance
    finally:
        stack.stop()


def test_every_endpoint_but_three_needs_the_token(trading: Instance) -> None:
    for path in READS:
        assert trading.get(path, token=None).json["type"] == "urn:opsconsole:problem:token-missing"
        assert trading.get(path, token="wrong").status == 401
    for path in WRITES:
        assert trading.post(path, token=None).status == 401
        refused = trading.post(path, token=READ_TOKEN)
        assert refused.status == 403 and refused.headers["content-type"] == "application/problem+json"
    for path in ("/livez", "/healthz", "/metrics"):
        assert trading.get(path, token=None).status == 200
    assert trading.get("/v1/nothing").status == 404
    assert call("DELETE", f"{trading.url}/v1/state").status == 405


def test_health(trading: Instance) -> None:
    answer = trading.get("/healthz", token=None)
    assert answer.headers["content-type"] == "application/health+json"
    body = answer.json
    assert (body["status"], body["version"]) == ("pass", "v1.2.4")
    assert body["releaseId"].startswith("v1.2.4+")
    assert list(body["checks"]) == [
        "exchange:connection",
        "node:blockLag",
        "state_builder:lag",
        "strategies:running",
        "database:responseTime",
    ]
    for (check,) in body["checks"].values():
        assert check["status"] == "pass" and check["output"] and check["observedUnit"] and check["time"].endswith("Z")
        assert check["observedValue"] >= 0


def test_state_and_served_by(trading: Instance) -> None:
    answer = trading.get("/v1/state")
    assert answer.headers["x-served-by"] == "production-blue-1" and answer.headers["x-version"] == "v1.2.4"
    state = answer.json
    assert (state["role"], state["epoch"], state["latched"], state["restart_required"]) == ("ACTIVE", 7, False, False)
    assert [(s["id"], s["state"]) for s in state["strategies"]] == [("geometry", "running"), ("kinematics", "running")]
    assert state["config_revision"].startswith("cfg-")


def test_trades_come_in_order_and_add_up(trading: Instance) -> None:
    def enough() -> list[dict[str, object]]:
        rows = trading.get("/v1/trades").json["trades"]
        return rows if len(rows) >= 3 else []

    rows = wait_for(enough, what="three trades")
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert {row["strategy"] for row in rows} <= {"geometry", "kinematics"}
    for row in rows:
        assert row["outcome"] == ("win" if float(row["pnl"]) > 0 else "loss")
    later = trading.get(f"/v1/trades?after={rows[0]['id']}&limit=1").json["trades"]
    assert [row["id"] for row in later] == [rows[1]["id"]]
    assert trading.get("/v1/trades?after=x").status == 400
    assert trading.metric("trading_trades_total") >= len(rows)


def test_metrics_have_the_names_of_the_contract(trading: Instance) -> None:
    trading.get("/quote/BTC", token=None)
    text = trading.get("/metrics", token=None).body.decode()
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert families == {
        "trading_build_info",
        "trading_deploy_timestamp_seconds",
        "trading_component_up",
        "trading_requests_total",
        "trading_order_latency_seconds",
        "trading_trades_total",
        "trading_position_mismatches",
        "trading_open_positions",
        "trading_open_orders",
        "trading_circuit_breaker_open",
        "trading_last_heartbeat_timestamp_seconds",
        "process_start_time_seconds",
    }
    assert 'trading_build_info{instance="production-blue-1",release_id="v1.2.4+' in text
    assert trading.metric("trading_component_up") == 5


def test_quotes_and_signals_are_counted_and_measured(trading: Instance) -> None:
    ok, errors = 'trading_requests_total{op="quote",outcome="ok"}', 'trading_requests_total{op="quote",outcome="error"}'
    before = trading.metric(ok), trading.metric("trading_order_latency_seconds_count")
    for _ in range(5):
        assert float(trading.get("/quote/BTC", token=None).json["mid"]) > 0
    assert trading.get("/quote/NOPE", token=None).status == 404
    assert trading.metric(ok) - before[0] == 6 and trading.metric(errors) == 0
    assert trading.metric("trading_order_latency_seconds_count") - before[1] == 6
    accepted = call("POST", f"{trading.url}/signal", {"symbol": "BTC", "side": "buy", "strength": 0.9})
    assert accepted.status == 202
    for wrong in ({"symbol": "X"}, {"symbol": "BTC", "side": "up"}, {"symbol": "BTC", "side": "buy", "strength": 2}):
        assert call("POST", f"{trading.url}/signal", wrong).status == 422
    assert call("POST", f"{trading.url}/signal", b"[").status == 400
    assert call("POST", f"{trading.url}/signal", b" " * 70_000).status == 413


def test_smoke_test_passes_on_a_good_release(trading: Instance) -> None:
    answer = trading.post("/v1/smoke-test").json
    assert answer["status"] == "pass" and len(answer["results"]) == 6
    assert all(r["status"] == "pass" and r["detail"] and r["duration_ms"] > 0 for r in answer["results"])


def test_a_mutation_says_who_and_why(trading: Instance) -> None:
    missing = trading.post("/v1/role", role="ACTIVE", epoch=7, reason="")
    assert missing.status == 422 and "reason" in missing.json["detail"]
    assert trading.post("/v1/config/reload", actor=None).status == 422
    for epoch in (None, "7", -1, 1.5, True):
        assert trading.post("/v1/role", role="ACTIVE", epoch=epoch).status == 422
    assert trading.post("/v1/role", role="BOSS", epoch=9).status == 422
    assert trading.state()["epoch"] == 7
    old = trading.post("/v1/orders/cancel", epoch=6)
    assert old.status == 409 and old.json["current_epoch"] == 7


def test_idempotency_key_carries_out_once(trading: Instance) -> None:
    first = trading.post("/v1/reconcile", key="k1")
    assert trading.post("/v1/reconcile", key="k1").body == first.body
    assert trading.post("/v1/reconcile", key="k2").body != first.body
    assert trading.post("/v1/reconcile", key="k1", reason="another").status == 422


def test_reconcile_reports_and_takes_over_what_the_exchange_has(stack: Stack, exchange: Exchange) -> None:
    quiet = stack.directory / "quiet.yaml"
    quiet.write_text("trading: {enabled: false}\n")
    instance = stack.instance(exchange, OPSC_CONFIG=str(quiet)).ready()
    instance.role("ACTIVE", 1)
    exchange.order(stack.environment, s="0.02")
    wait_for(lambda: instance.metric("trading_position_mismatches") == 1, what="mismatch seen")
    found = instance.post("/v1/reconcile").json["differences"]
    assert found == [
        {
            "symbol": "BTC",
            "class": "missing_internal",
            "internal": "0",
            "exchange": "0.02",
            "delta": "0.02",
            "adopted": True,
        }
    ]
    assert instance.post("/v1/reconcile").json["differences"] == []
    position = instance.get("/v1/positions").json["positions"][0]
    assert (position["symbol"], position["side"], position["size"]) == ("BTC", "long", "0.02")

    closed = instance.post("/v1/positions/BTC/close", key="close").json
    assert (closed["closed_size"], closed["remaining"]) == ("0.02", "0")
    assert instance.post("/v1/positions/BTC/close", key="close").json == closed
    assert instance.post("/v1/positions/BTC/close").status == 404
    assert exchange.info(type="clearinghouseState", user=stack.environment)["assetPositions"] == []

    exchange.order(stack.environment, p="50000", t={"limit": {"tif": "Gtc"}})
    shown = wait_for(lambda: instance.get("/v1/orders").json["orders"], what="resting order seen")
    assert (shown[0]["symbol"], shown[0]["side"], shown[0]["price"]) == ("BTC", "buy", "50000")
    assert instance.post("/v1/orders/cancel", symbol="ETH").json == {"cancelled": 0, "remaining": 0}
    assert instance.post("/v1/orders/cancel").json == {"cancelled": 1, "remaining": 0}


def test_standby_leaves_the_account_alone(stack: Stack, instance: Instance, exchange: Exchange) -> None:
    exchange.order(stack.environment, s="0.02")
    exchange.order(stack.environment, p="50000", t={"limit": {"tif": "Gtc"}})
    wait_for(lambda: instance.get("/v1/positions").json["positions"], what="position followed")
    assert instance.metric("trading_position_mismatches") == 0
    assert instance.post("/v1/positions/BTC/close").status == 409
    assert instance.post("/v1/orders/cancel").status == 409
    assert instance.role("STANDBY", 3).json["open_orders"] == 0
    assert len(exchange.info(type="openOrders", user=stack.environment)) == 1
    assert instance.get("/quote/BTC", token=None).status == 200


def test_configuration_reload_is_all_or_nothing(stack: Stack, exchange: Exchange) -> None:
    config = stack.directory / "own.yaml"
    config.write_text("trading: {max_positions: 2}\n")
    instance = stack.instance(exchange, OPSC_CONFIG=str(config)).ready()
    revision = instance.state()["config_revision"]
    assert instance.post("/v1/config/reload").json == {
        "old_revision": revision,
        "new_revision": revision,
        "changed": False,
    }
    config.write_text("trading: {max_positions: many}\nstrategies: {astrology: {}}\n")
    refused = instance.post("/v1/config/reload")
    assert refused.status == 422
    assert {e["pointer"] for e in refused.json["errors"]} == {"/trading/max_positions", "/strategies/astrology"}
    assert instance.state()["config_revision"] == revision
    config.write_text("trading: {max_positions: 1}\n")
    changed = instance.post("/v1/config/reload").json
    assert changed["changed"] and instance.state()["config_revision"] == changed["new_revision"]
    config.write_text("trading: {max_positions: 2}\n")
    assert instance.process is not None
    instance.process.send_signal(signal.SIGHUP)
    wait_for(lambda: instance.state()["config_revision"] == revision, what="SIGHUP reloads")


def test_a_wrong_configuration_or_port_stops_the_start(stack: Stack, exchange: Exchange, instance: Instance) -> None:
    config = stack.directory / "wrong.yaml"
    config.write_text("risk: {daily_loss_limit: 7}\n")
    wrong = stack.instance(exchange, name="production-green-1", OPSC_CONFIG=str(config))
    assert wrong.process is not None and wrong.process.wait(10) == 2
    assert "/risk/daily_loss_limit: must be a number from 0.0001 to 1, got 7" in wrong.output
    taken = stack.instance(exchange, name="production-green-1", OPSC_PORT=str(instance.port))
    assert taken.process is not None and taken.process.wait(10) == 2
    assert f"port {instance.port}" in taken.output


def test_health_fails_when_the_exchange_is_gone(stack: Stack) -> None:
    exchange = stack.exchange()
    instance = stack.instance(exchange).ready()
    exchange.stop()
    wait_for(lambda: instance.get("/healthz").status == 503, what="unhealthy")
    checks = instance.get("/healthz").json["checks"]
    assert (
        checks["exchange:connection"][0]["status"] == "fail" and checks["database:responseTime"][0]["status"] == "pass"
    )
    assert instance.metric('trading_component_up{component="exchange:connection"}') == 0
    smoke = {r["name"]: r["status"] for r in instance.post("/v1/smoke-test").json["results"]}
    assert smoke["exchange"] == "fail" and smoke["configuration"] == "pass"
    assert instance.role("ACTIVE", 4).status == 503 and instance.state()["role"] == "STANDBY"
    assert json.loads((instance.state_dir / "authority.json").read_text())["epoch"] == 4
    assert call("GET", f"{instance.url}/quote/BTC").status == 200
    stack.exchange(exchange.port)
    wait_for(lambda: instance.get("/healthz").status == 200, what="healthy again")
