"""Closing and cancelling by hand, against a real exchange and a real trading system."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from audit.models import Record
from tests.trading import position_world
from trading import sides
from trading.errors import NotConfigured, Unreachable, WrongState
from trading.positions import cancel, close

pytestmark = pytest.mark.django_db
running, world = position_world.running, position_world.world
WAYS = pytest.mark.parametrize("via", ["system", "exchange"])


@pytest.fixture
def place(world, production):
    world.lead(production)
    return production


@pytest.fixture
def actor(actor_of, operator):
    return actor_of(operator)


def records(action: str) -> list[Record]:
    return list(Record.objects.filter(action=action).order_by("id"))


def test_both_sides_are_read(world, place):
    world.inject("BTC", "-0.02")
    oid = world.rest("ETH", "0.5")
    found = sides.positions(place)
    assert found.are_known and (found.instance, found.role) == ("production-blue-1", "HALTED")
    (held,) = found.exchange.rows
    assert (held.symbol, held.size) == ("BTC", Decimal("-0.02")) and held.entry > 0 and held.pnl is not None
    assert found.system.rows == ()
    (order,) = sides.orders(place).exchange.rows
    assert (order.id, order.symbol, order.side, order.size) == (oid, "ETH", "buy", Decimal("0.5"))
    assert order.placed_at is not None and order.price > 0


def test_a_side_that_does_not_answer_is_no_data_and_the_other_is_still_there(world, place):
    world.inject("BTC", "0.02")
    world.lead(place, with_system=False)
    found = sides.positions(place)
    assert not found.system.is_known and "nobody listens there" in found.system.problem
    assert [one.symbol for one in found.exchange.rows] == ["BTC"]
    world.lead(place)
    world.faults(dead=["clearinghouseState"])
    found = sides.positions(place)
    assert found.system.is_known and not found.exchange.is_known and found.exchange.problem


def test_a_hanging_exchange_does_not_hold_a_page_up(world, place, django_assert_max_num_queries):
    sides.positions(place)  # the markets are known
    world.faults(hang_next={"type": "clearinghouseState", "count": 1})
    began = time.monotonic()
    with django_assert_max_num_queries(1):
        found = sides.positions(place)
    assert found.system.is_known and not found.exchange.is_known
    assert time.monotonic() - began < 4


def test_what_is_not_described_is_said(world, place):
    place.exchange, place.writer_slot = {}, None
    found = sides.positions(place)
    assert "exchange section" in found.exchange.problem and "No slot has the trading role" in found.system.problem


@WAYS
def test_close_leaves_nothing_and_says_so(world, place, actor, via):
    world.inject("BTC", "0.02")
    world.adopt()
    done = close(actor, place, "BTC", "Too much risk", via=via)
    assert done.is_done and (done.before, done.remaining) == (Decimal("0.02"), 0)
    assert world.positions() == {} and "nothing is left" in done.words
    intent, outcome = records("position.closed")
    assert (intent.outcome, outcome.outcome, outcome.reason) == ("intent", "done", "Too much risk")
    assert outcome.before == {"symbol": "BTC", "size": "0.02"} and outcome.environment == "production"
    assert (outcome.after["size"], outcome.after["via"], outcome.after["closed"]) == ("0", via, "0.02")


def test_the_two_ways_sign_as_two_writers(world, place, actor):
    for via, writer in (("system", "production-blue-1"), ("exchange", "production-console")):
        world.inject("SOL", "-1.5")
        world.adopt()
        close(actor, place, "SOL", "Risk", via=via)
        last = [entry for entry in world.exchange.log_of("production") if entry.get("coin") == "SOL"][-1]
        assert last["writer"] == writer


def test_close_directly_when_the_system_does_not_answer(world, place, actor):
    world.inject("ETH", "-0.4")
    world.lead(place, with_system=False)
    with pytest.raises(Unreachable, match=r"nobody listens.*directly at the exchange.*still -0.4"):
        close(actor, place, "ETH", "Risk", via="system")
    assert [one.outcome for one in records("position.closed")] == ["intent", "failed"]
    assert close(actor, place, "ETH", "Risk", via="exchange").is_done and world.positions() == {}


def test_what_the_system_refuses_can_be_closed_directly(world, place, actor):
    world.inject("ETH", "0.4")  # the system does not know of it
    with pytest.raises(WrongState, match="refused.*no open position"):
        close(actor, place, "ETH", "Risk", via="system")
    assert close(actor, place, "ETH", "Risk", via="exchange").is_done


def test_a_close_whose_reply_is_lost_is_decided_by_the_read(world, place, actor):
    world.inject("BTC", "0.02")
    sides.positions_at_exchange(place)
    world.faults(lose_reply={"type": "order", "count": 1})
    done = close(actor, place, "BTC", "Risk", via="exchange")
    assert done.is_done and world.positions() == {}


def test_a_thin_book_leaves_a_rest_and_says_how_much(world, place, actor):
    world.inject("BTC", "0.5")
    world.faults(depth={"BTC": 0.2})
    done = close(actor, place, "BTC", "Risk", via="exchange")
    assert not done.is_done and 0 < done.remaining < Decimal("0.5")
    assert f"{done.remaining} of 0.5 is left" in done.words and world.positions() == {"BTC": str(done.remaining)}
    assert records("position.closed")[-1].outcome == "failed"
    world.heal()
    assert close(actor, place, "BTC", "Risk", via="exchange").is_done


def test_no_liquidity_is_not_a_success(world, place, actor):
    world.inject("BTC", "0.5")
    world.faults(depth={"BTC": 0})
    with pytest.raises(WrongState, match="still 0.5"):
        close(actor, place, "BTC", "Risk", via="exchange")
    assert world.positions() == {"BTC": "0.5"}


def test_an_unreadable_exchange_is_never_called_closed(world, place, actor):
    world.inject("BTC", "0.02")
    world.adopt()
    sides.positions_at_exchange(place)
    world.faults(dead=["clearinghouseState"])
    done = close(actor, place, "BTC", "Risk", via="system")
    assert not done.is_done and done.remaining is None and "NOT confirmed" in done.words
    assert records("position.closed")[-1].outcome == "failed"
    world.heal()
    assert world.positions() == {}


def test_nothing_to_close_does_nothing(world, place, actor):
    before = len(world.exchange.log_of("production"))
    with pytest.raises(WrongState, match="no position in BTC"):
        close(actor, place, "BTC", "Risk", via="exchange")
    assert len(world.exchange.log_of("production")) == before and records("position.closed") == []


def test_closing_works_while_the_kill_switch_is_engaged(world, place, actor):
    place.latched_at = place.latched_at or "2026-11-23T14:00:00Z"
    place.save(update_fields=["latched_at"])
    world.inject("BTC", "0.02")
    oid = world.rest()
    assert close(actor, place, "BTC", "Left by the stop", via="exchange").is_done
    assert cancel(actor, place, "Left by the stop", order=oid, via="exchange").is_done


@WAYS
def test_cancel_one_those_of_a_symbol_and_all(world, place, actor, via):
    one, two, three = world.rest("BTC"), world.rest("BTC"), world.rest("ETH", "0.5")
    four = world.rest("SOL", "5")
    done = cancel(actor, place, "Stale", order=one, via=via)
    assert done.is_done and [order.id for order in done.before] == [one] and one not in world.orders()
    assert sorted(world.orders()) == sorted([two, three, four])
    done = cancel(actor, place, "Stale", symbol="BTC", via=via)
    assert done.is_done and sorted(world.orders()) == sorted([three, four])
    done = cancel(actor, place, "Stale", via=via)
    assert done.is_done and world.orders() == [] and len(done.before) == 2
    last = records("orders.cancelled")[-1]
    assert (last.outcome, last.after["orders"], last.reason) == ("done", [], "Stale")
    assert last.before["orders"] and all(oid in " ".join(last.before["orders"]) for oid in (three, four))


def test_a_cancel_whose_reply_is_lost_is_decided_by_the_read(world, place, actor):
    oid = world.rest()
    sides.orders_at_exchange(place)
    world.faults(lose_reply={"type": "cancel", "count": 1})
    assert cancel(actor, place, "Stale", order=oid, via="exchange").is_done and world.orders() == []


def test_cancelling_what_is_not_there_or_cannot_be_reached(world, place, actor):
    with pytest.raises(WrongState, match="no such order"):
        cancel(actor, place, "Stale", order="999", via="exchange")
    world.rest()
    world.lead(place, with_system=False)
    with pytest.raises(Unreachable, match="1 order is still open"):
        cancel(actor, place, "Stale", via="system")
    place.exchange = {}
    with pytest.raises(NotConfigured, match="exchange section"):
        cancel(actor, place, "Stale", via="exchange")


def test_who_may_not_does_nothing_and_is_on_record(world, place, actor_of, developer):
    world.inject("BTC", "0.02")
    oid = world.rest()
    for act in (
        lambda: close(actor_of(developer), place, "BTC", "Risk", via="exchange"),
        lambda: cancel(actor_of(developer), place, "Risk", order=oid, via="exchange"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert world.positions() == {"BTC": "0.02"} and world.orders() == [oid]
    assert len(records("position.closed") + records("orders.cancelled")) == 0
    assert Record.objects.filter(outcome="denied", environment="production").count() == 2


@pytest.mark.parametrize(
    ("symbol", "reason", "via", "field"),
    [
        ("BTC", "", "system", "reason"),
        ("BTC", "x" * 2001, "system", "reason"),
        ("BTC", "Risk", "pigeon", "via"),
        ("B TC", "Risk", "system", "symbol"),
        ("", "Risk", "system", "symbol"),
    ],
)
def test_wrong_requests_name_the_field(production, actor, symbol, reason, via, field):
    with pytest.raises(InvalidRequest) as caught:
        close(actor, production, symbol, reason, via=via)
    assert caught.value.field == field


def test_one_order_or_a_symbol_not_both(production, actor):
    with pytest.raises(InvalidRequest, match="not both"):
        cancel(actor, production, "Stale", order="1", symbol="BTC", via="system")
