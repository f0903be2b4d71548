"""The trading role: its fence, its survival, and that two instances never trade at once."""

import time

from demo.exchange.writers import find_writers
from tests.demo.processes import Exchange, Instance, Stack, wait_for

HANDOVERS = 20


def test_an_older_epoch_is_refused_also_after_a_kill(stack: Stack, exchange: Exchange) -> None:
    instance = stack.instance(exchange).ready()
    assert instance.state()["role"] == "STANDBY"
    assert instance.role("ACTIVE", 10).json["role"] == "ACTIVE"
    refused = instance.role("STANDBY", 9)
    assert refused.status == 409 and refused.json["current_epoch"] == 10
    assert refused.json["type"] == "urn:opsconsole:problem:stale-epoch"
    assert instance.state()["role"] == "ACTIVE"
    repeated = instance.role("ACTIVE", 10)
    assert repeated.status == 200 and repeated.json["since"] == instance.state()["since"]
    instance.stop()

    again = stack.instance(exchange).ready()
    assert (again.state()["role"], again.state()["epoch"]) == ("STANDBY", 10)
    assert again.role("ACTIVE", 9).status == 409
    assert again.role("ACTIVE", 11).json["epoch"] == 11


def test_a_damaged_epoch_file_stops_the_start(stack: Stack, exchange: Exchange, instance: Instance) -> None:
    instance.role("STANDBY", 3)
    instance.stop()
    (instance.state_dir / "authority.json").write_text("{")
    again = stack.instance(exchange)
    assert again.process is not None and again.process.wait(10) == 2
    assert "authority.json cannot be read" in again.output


def test_no_order_after_standby_was_answered(stack: Stack, exchange: Exchange, instance: Instance) -> None:
    for epoch in range(1, 21, 2):
        assert instance.role("ACTIVE", epoch).status == 200
        wait_for(
            lambda epoch=epoch: any(e["epoch"] == epoch for e in exchange.log_of(stack.environment)), what="an order"
        )
        exchange.order(stack.environment, p="50000", t={"limit": {"tif": "Gtc"}})
        answer = instance.role("STANDBY", epoch + 1)
        answered_at = time.time()
        assert (answer.json["role"], answer.json["open_orders"], answer.json["cancelled_orders"]) == ("STANDBY", 0, 1)
        assert exchange.info(type="openOrders", user=stack.environment) == []
        late = [e for e in exchange.log_of(stack.environment) if e["writer"] and e["at"] > answered_at]
        assert late == []
    settled = len(exchange.log_of(stack.environment))
    # Longer than any pause between two orders of a strategy: a loop that still lived would show itself.
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert len(exchange.log_of(stack.environment)) == settled
        time.sleep(0.05)


def test_a_dead_exchange_cannot_delay_or_confirm_a_stand_down(stack: Stack) -> None:
    exchange = stack.exchange()
    instance = stack.instance(exchange).ready()
    instance.role("ACTIVE", 1)
    exchange.stop()
    began = time.monotonic()
    answer = instance.role("STANDBY", 2)
    assert time.monotonic() - began < 2.5
    assert answer.status == 503 and answer.json["type"].endswith(":standby-unverified")
    assert (answer.json["state"]["role"], answer.json["state"]["epoch"]) == ("STANDBY", 2)
    stack.exchange(exchange.port)
    assert instance.role("STANDBY", 2).json["open_orders"] == 0


def test_twenty_handovers_never_let_two_trade(stack: Stack, exchange: Exchange) -> None:
    blue = stack.instance(exchange, name="production-blue-1")
    green = stack.instance(exchange, "v1.2.5", name="production-green-1")
    blue.ready()
    green.ready()
    blue.role("ACTIVE", 1)
    old, new = blue, green
    for epoch in range(2, 2 + HANDOVERS):
        # Hand over while orders flow: only after the present writer's second order of this tenure.
        wait_for(lambda: _orders(exchange, old, epoch - 1) >= 2, what=f"orders of {old.name}")  # noqa: B023
        assert old.role("STANDBY", epoch).json["open_orders"] == 0
        assert new.role("ACTIVE", epoch).json["role"] == "ACTIVE"
        old, new = new, old
    wait_for(lambda: _orders(exchange, old, 1 + HANDOVERS) >= 1, what="last writer")
    found = find_writers(exchange.log_of(stack.environment), stack.environment)
    assert len(found.changes) == HANDOVERS
    assert found.overlaps == 0, found.violations
    assert max(change.gap_ms for change in found.changes) < 1_000
    assert blue.metric("trading_position_mismatches") == green.metric("trading_position_mismatches") == 0


def _orders(exchange: Exchange, instance: Instance, epoch: int) -> int:
    entries = exchange.log_of(instance.env["OPSC_ENVIRONMENT"])
    return sum(e["writer"] == instance.name and e["epoch"] == epoch for e in entries)


def test_sigterm_ends_with_status_0_and_no_order_afterwards(exchange: Exchange, instance: Instance) -> None:
    instance.role("ACTIVE", 1)
    wait_for(lambda: _orders(exchange, instance, 1), what="an order")
    began = time.monotonic()
    assert instance.stop(15) == 0
    assert time.monotonic() - began < 2
    assert "Traceback" not in instance.output
