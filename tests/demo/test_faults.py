"""Each defective release shows its defect once it is live, and none before."""

import asyncio
import subprocess
import time

from demo.load import Stats, run_load
from tests.demo.processes import Exchange, Instance, Stack, reachable, wait_for


def live(stack: Stack, exchange: Exchange, version: str) -> Instance:
    """A healthy instance of the version in an environment of its own, live."""
    name = f"env{version.replace('.', '')}"
    instance = stack.instance(exchange, version, name=f"{name}-blue-1", OPSC_ENVIRONMENT=name).ready()
    assert instance.role("ACTIVE", 1).status == 200
    return instance


def stream(instance: Instance, requests: int) -> Stats:
    """Sends quotes and signals at 400 a second, all of which must be answered."""
    stats = asyncio.run(run_load(instance.url, rate=400, connections=16, requests=requests))
    assert sum(stats.by_status.values()) == requests
    return stats


def test_v1_2_6_fails_a_share_of_requests_only_when_live(stack: Stack, exchange: Exchange) -> None:
    instance = stack.instance(exchange, "v1.2.6").ready()
    assert stream(instance, 100).failed == 0
    instance.role("ACTIVE", 1)
    failed = stream(instance, 400).failed
    # 5 % of 400 is 20; 3 to 50 lies beyond four standard deviations on both sides.
    assert 3 <= failed <= 50
    counted = [instance.metric(f'trading_requests_total{{op="{op}",outcome="error"}}') for op in ("quote", "signal")]
    assert sum(counted) == failed
    instance.role("STANDBY", 2)
    assert stream(instance, 100).failed == 0


def test_v1_2_7_dies_and_v1_3_1_hangs_and_v1_2_8_counts_twice(stack: Stack, exchange: Exchange) -> None:
    dying, hanging, counting = (live(stack, exchange, version) for version in ("v1.2.7", "v1.3.1", "v1.2.8"))
    began = time.monotonic()
    for instance in (dying, hanging):
        assert instance.get("/healthz").status == 200
    assert counting.metric("trading_position_mismatches") == 0
    wait_for(lambda: counting.metric("trading_position_mismatches") >= 1, what="mismatch")
    assert counting.metric("trading_circuit_breaker_open") == 0
    counting.role("STANDBY", 2)
    wait_for(lambda: counting.metric("trading_position_mismatches") == 0, what="positions taken over")
    wait_for(lambda: not reachable(f"{hanging.url}/livez"), what="hang")
    assert hanging.process is not None and hanging.process.poll() is None
    assert dying.process is not None and dying.process.wait(10) == 3
    assert time.monotonic() - began > 2
    # A hung process ignores SIGTERM; only SIGKILL ends it.
    hanging.process.terminate()
    try:
        hanging.process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass
    else:
        raise AssertionError("the hung process obeyed SIGTERM")


def test_v1_2_9_does_not_start_and_says_why(stack: Stack, exchange: Exchange) -> None:
    instance = stack.instance(exchange, "v1.2.9")
    assert instance.process is not None and instance.process.wait(10) == 2
    assert instance.output.splitlines()[-1] == (
        "trading system cannot start: /strategies/kinematics/order_usd: "
        "must be a number from 0.01 to 1e+06, got '60 USD'"
    )


def test_orders_below_the_exchanges_minimum_fail_the_smoke_test(stack: Stack, exchange: Exchange) -> None:
    small = stack.directory / "small.yaml"
    small.write_text("strategies: {kinematics: {order_usd: 6}}")
    answer = stack.instance(exchange, OPSC_CONFIG=str(small)).ready().post("/v1/smoke-test")
    assert answer.status == 200 and answer.json["status"] == "fail"
    failed = [result for result in answer.json["results"] if result["status"] == "fail"]
    assert [result["name"] for result in failed] == ["order_dry_run"]
    assert "strategies.kinematics.order_usd = 6" in failed[0]["detail"]
    assert "minimum of 10 USD" in failed[0]["detail"]


def test_v1_3_0_is_six_times_slower(stack: Stack, exchange: Exchange) -> None:
    seconds = {}
    for version in ("v1.2.5", "v1.3.0"):
        instance = live(stack, exchange, version)
        assert stream(instance, 400).failed == 0
        total, count = (instance.metric(f"trading_order_latency_seconds_{part}") for part in ("sum", "count"))
        seconds[version] = total / count
    assert 3.5 < seconds["v1.3.0"] / seconds["v1.2.5"] < 8
