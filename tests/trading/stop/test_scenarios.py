"""Every scenario of the design, on a real exchange: what it ends in, and that the exchange says the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exchange.processes import until
from tests.trading.stop.stop_world import FAST, SHORT, World
from trading.stop import latch
from trading.stop.tasks import Task


def assert_flat(world: World, outcome, *, within: float) -> None:
    state = outcome.state
    assert outcome.outcome == state.outcome == "FLAT", state.as_json()
    world.exchange.heal()
    assert world.left() == (0, 0)
    assert [step.status for step in state.steps] == ["done"] * 5
    assert state.step("flat").ms is not None and state.step("flat").ms < within * 1000, state.as_json()
    assert not any(state.remaining.values())


def test_everything_is_cancelled_and_closed(world: World):
    world.fill()
    world.snapshot()
    outcome = world.stop()
    assert_flat(world, outcome, within=3)
    state = outcome.state
    assert state.step("halted").ms < 1000 and state.step("closed").ms < 1000
    assert state.flat_at - state.clean_at >= 1.0, "two clean reads at least a second apart"
    assert [(one["after"], one["clean"]) for one in state.rechecks] == [(0.2, True)]
    first = world.entries(outcome, "round")[0]
    assert first["source"] == "snapshot" and first["sent"] == {"cancels": 50, "closes": 10}
    assert world.entries(outcome, "round")[0]["at"] < world.entries(outcome, "read")[0]["at"], "written before read"
    assert world.entries(outcome, "dead_man")[0]["ok"]
    held = latch.read(world.settings.folder)
    assert held is not None and held.stop == state.id and held.actor == "tester"


def test_with_latency(world: World):
    world.fill()
    world.snapshot()
    world.exchange.faults(latency_ms=100)
    assert_flat(world, world.stop(), within=4)


@pytest.mark.parametrize("what", ["cancel", "order"])
def test_executed_but_the_reply_is_lost(world: World, what: str):
    world.fill(4, 8)
    world.snapshot()
    world.exchange.faults(lose_reply={"type": what, "count": 1})
    outcome = world.stop()
    assert_flat(world, outcome, within=3)
    kind = {"cancel": "cancel", "order": "close"}[what]
    lost = [entry for entry in world.entries(outcome, "written") if entry["what"] == kind][0]
    assert {row["status"] for row in lost["results"]} == {"lost"}
    assert len(world.entries(outcome, "round")) == 1, "the read showed that it was executed"


def test_the_order_list_hangs_once(world: World):
    world.fill(4, 8)
    world.snapshot()
    world.exchange.faults(hang_next={"type": "frontendOpenOrders", "count": 1})
    outcome = world.stop()
    assert_flat(world, outcome, within=4)
    assert outcome.state.step("closed").ms < 1000, "the hanging list holds up nothing"


def test_a_hanging_cancel_holds_up_no_close(world: World):
    world.fill(4, 8)
    world.snapshot()
    world.exchange.faults(hang_next={"type": "cancel", "count": 1})
    outcome = world.stop()
    assert_flat(world, outcome, within=4)
    assert outcome.state.step("cancelled").ms < 1200, "sent again at 0.3 s, while the first one still hangs"


def test_too_many_requests(world: World):
    world.fill(4, 8)
    world.snapshot()
    busy = [{"type": "/exchange", "code": 429, "count": 2}, {"type": "/info", "code": 429, "count": 3}]
    world.exchange.faults(status=[*busy, {"type": "cancel", "code": 400, "count": 1, "body": {"error": "no code"}}])
    outcome = world.stop()
    assert_flat(world, outcome, within=6)
    assert any("429" in error for entry in world.entries(outcome, "read") for error in entry["errors"])


def test_a_thin_book_takes_several_rounds(world: World):
    world.fill(2, 2, usd=20_000)
    world.snapshot()
    world.exchange.faults(depth={"BTC": {"size": 0.09, "distance": 0.03}})
    outcome = world.stop()
    assert_flat(world, outcome, within=8)
    closes = [r for e in world.entries(outcome, "written") if e["what"] == "close" for r in e["results"]]
    statuses = [row["status"] for row in closes if row["coin"] == "BTC"]
    assert statuses[0] == "refused" and "partial" in statuses and statuses[-1] == "done", statuses
    slippages = [entry["slippage"] for entry in world.entries(outcome, "round")]
    assert slippages[:3] == ["0.02", "0.05", "0.10"]


def test_a_dead_order_list_is_never_green(world: World):
    world.fill(3, 3)
    world.snapshot()
    world.exchange.faults(dead=["frontendOpenOrders", "openOrders"])
    outcome = world.stop(SHORT)
    assert outcome.outcome == "UNCONFIRMED"
    assert "orders: " in outcome.state.remaining["unread"][0]
    assert outcome.state.step("closed").status == "done" and outcome.state.step("flat").status == "failed"
    world.exchange.heal()
    assert world.left() == (0, 0), "it was all sent all the same"


def test_one_coin_without_liquidity(world: World):
    world.fill()
    world.snapshot()
    world.exchange.faults(depth={"SOL": 0})
    outcome = world.stop(SHORT)
    assert outcome.outcome == "NOT_FLAT" and world.left() == (0, 1)
    (left,) = outcome.state.remaining["positions"]
    assert left["coin"] == "SOL" and "could not immediately match" in left["error"], left
    assert outcome.state.remaining["orders"] == []
    assert latch.read(world.settings.folder) is not None


def test_a_later_flat_replaces_the_outcome(world: World):
    world.fill(3, 3)
    world.snapshot()
    world.exchange.faults(depth={"SOL": 0})
    running = Task(lambda: world.stop(replace(FAST, first_outcome=1.0)))
    path = world.settings.folder
    until(lambda: any(b"NOT_FLAT" in one.read_bytes() for one in path.glob("*.jsonl")), "the first outcome")
    world.exchange.heal()
    outcome = running.result(20)
    assert_flat(world, outcome, within=20)
    assert [entry["outcome"] for entry in world.entries(outcome, "outcome")] == ["NOT_FLAT", "FLAT"]


def test_the_rate_limit_is_spent(world: World):
    """Five units are left: enough to write, not to read. What was written first is what saves the day."""
    world.fill(10, 30)
    world.snapshot()
    world.exchange.faults(weight_limit=1200, weight_spent=1195)
    outcome = world.stop()
    assert_flat(world, outcome, within=12)
    written = {entry["what"]: entry for entry in reversed(world.entries(outcome, "written"))}
    assert {row["status"] for what in ("cancel", "close") for row in written[what]["results"]} == {"done"}
    assert "429" in world.entries(outcome, "read")[0]["errors"][0]


def test_trigger_orders_count(world: World):
    world.fill(2, 0)
    world.trigger()
    outcome = world.stop()
    assert_flat(world, outcome, within=3)
    assert "no warm snapshot" in outcome.state.notes[0]


def test_what_came_after_the_snapshot_is_found_by_the_read(world: World):
    world.snapshot()
    world.fill(3, 5)
    outcome = world.stop()
    assert_flat(world, outcome, within=4)
    assert [entry["source"] for entry in world.entries(outcome, "round")] == ["read"]


def test_a_recheck_that_finds_something_starts_again(world: World):
    world.fill(2, 2)
    world.snapshot()
    running = Task(lambda: world.stop(replace(FAST, rechecks=(1.0,))))
    until(lambda: any(b'"flat"' in one.read_bytes() for one in world.settings.folder.glob("*.jsonl")), "FLAT")
    world.fill(1, 1)
    outcome = running.result(20)
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)
    assert [one["clean"] for one in outcome.state.rechecks] == [False, True]
    assert [entry["outcome"] for entry in world.entries(outcome, "outcome")] == ["FLAT", "NOT_FLAT", "FLAT"]
    assert world.entries(outcome, "stopping_slots"), "somebody writes although everything is halted"


def test_an_exchange_that_is_gone(world: World):
    world.fill(1, 1)
    world.snapshot()
    gone = {**world.settings.exchange, "url": "http://127.0.0.1:1"}
    world.settings = replace(world.settings, exchange=gone)
    outcome = world.stop(SHORT)
    assert outcome.outcome == "UNCONFIRMED" and outcome.state.step("halted").status == "done"
    assert world.left() == (1, 1)
