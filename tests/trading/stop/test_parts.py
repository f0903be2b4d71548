"""The pure parts: times, rounds, streaks of clean reads, the sum of a journal; and the files."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from trading.exchange.base import CancelResult, CloseResult, OpenOrder, Position
from trading.stop import journal, latch, settings, snapshot
from trading.stop.latch import Latch
from trading.stop.plan import Streak, Timing, Unit, View, next_round
from trading.stop.settings import InstanceSettings, SettingsError, StopSettings

ORDERS = [OpenOrder(oid, "BTC", "buy", Decimal("0.1"), Decimal(90_000)) for oid in range(1, 6)]
POSITIONS = [Position(coin, Decimal("-1.5"), mark=Decimal(10)) for coin in ("BTC", "ETH")]


def view() -> View:
    found = View()
    found.take_snapshot(ORDERS, POSITIONS)
    return found


def test_the_times_are_those_of_the_design():
    timing = Timing()
    assert [timing.round_at(n) for n in range(8)] == [0.0, 0.3, 0.8, 1.8, 3.8, 8.8, 13.8, 18.8]
    assert [str(timing.slippage_of(n)) for n in range(6)] == ["0.02", "0.05", "0.10", "0.25", "0.25", "0.25"]
    assert (timing.halt, timing.apart, timing.first_outcome, timing.give_up) == (3.0, 1.0, 30.0, 600.0)
    assert timing.rechecks == (10.0, 30.0, 60.0)
    assert [timing.request_of(n) for n in (0, 4, 5)] == [1.5, 1.5, 4.0]


def test_the_first_round_sends_all_of_the_snapshot_in_one_batch_each():
    plan = next_round(0, view(), Timing())
    assert [len(batch) for batch in plan.cancels] == [5] and [len(batch) for batch in plan.closes] == [2]
    assert plan.slippage == Decimal("0.02")
    assert not next_round(0, View(), Timing())


def test_what_was_answered_is_not_sent_again_but_what_was_lost_or_partial_is():
    known = view()
    known.take_results([CancelResult(1, "BTC", "done"), CancelResult(2, "BTC", "refused", "already canceled")])
    known.take_results([CancelResult(3, "BTC", "lost"), CloseResult("BTC", "done"), CloseResult("ETH", "partial")])
    plan = next_round(1, known, Timing())
    assert [order.oid for order in plan.cancels[0]] == [3, 4, 5]
    assert [position.coin for position in plan.closes[0]] == ["ETH"]


def test_a_read_decides_and_an_older_one_does_not():
    known = view()
    known.take_results([CancelResult(order.oid, "BTC", "done") for order in ORDERS])
    assert known.take_orders("", 10.0, [ORDERS[0]]) == [], "it was known before"
    assert [order.oid for order in known.left_orders()] == [1], "answered as done, and still there"
    assert known.take_orders("", 9.0, ORDERS) == [] and len(known.left_orders()) == 1
    fresh = OpenOrder(99, "BTC", "sell", Decimal(1), Decimal(1))
    assert known.take_orders("", 11.0, [fresh]) == [fresh]
    known.take_positions("", 10.0, [])
    known.take_positions("other", 10.0, [Position("x:GOLD", Decimal(1), section="other")])
    assert [position.coin for position in known.left_positions()] == ["x:GOLD"]


def test_a_batch_that_is_refused_as_a_whole_is_split():
    known = view()
    known.refused_batches = {"cancel": 1, "close": 3}
    plan = next_round(2, known, Timing())
    assert sorted(len(batch) for batch in plan.cancels) == [2, 3]
    assert [len(batch) for batch in plan.closes] == [1, 1]
    assert {order.oid for batch in plan.cancels for order in batch} == {1, 2, 3, 4, 5}


def unit(begun: float, *, orders: int = 0, error: str = "") -> Unit:
    found = Unit(1, begun, set(), ended=begun + 0.1)
    found.counts["orders"] = orders
    if error:
        found.errors[("positions", "")] = error
    return found


@pytest.mark.parametrize(
    ("units", "halted_at", "flat"),
    [
        ([unit(0.0), unit(1.2)], 0.5, True),
        ([unit(0.0)], 0.0, False),
        ([unit(0.0), unit(0.9)], 0.0, False),
        ([unit(0.0), unit(1.2)], None, False),
        ([unit(0.0), unit(1.2)], 1.3, False),
        ([unit(0.0), unit(1.2), unit(1.4)], 1.3, True),
        ([unit(0.0), unit(0.6, orders=1), unit(1.2)], 0.0, False),
        ([unit(0.0), unit(0.6, error="no answer"), unit(1.2)], 0.0, False),
        ([unit(0.0, orders=1), unit(0.2), unit(1.4)], 0.0, True),
        ([unit(0.2), unit(1.4), unit(0.1, orders=3)], 0.0, True),
    ],
)
def test_flat_is_two_clean_reads_in_a_row_a_second_apart_and_the_last_after_the_halt(units, halted_at, flat):
    streak = Streak()
    for one in units:
        streak.take(one)
    assert streak.flat(1.0, halted_at) is flat


def test_the_second_read_is_due_a_second_after_the_first_ended():
    streak = Streak()
    assert streak.second_due(1.0) is None
    streak.take(unit(5.0))
    assert streak.second_due(1.0) == pytest.approx(6.1)


PRESSED = {"at": 100.0, "event": "pressed", "id": "s1", "environment": "production", "actor": "kim", "via": "page"}
READ = {"event": "read", "n": 1, "ms": 5, "errors": [], "left": {}}


def lines(*entries):
    return journal.summary([PRESSED | {"instances": ["blue-1"], "reason": ""}, *entries])


def test_the_sum_of_a_stop_that_has_just_begun():
    state = lines()
    assert [step.status for step in state.steps] == ["done", "running", "running", "running", "running"]
    assert state.still_running and state.outcome == "" and state.remaining["writers"][0]["instance"] == "blue-1"
    assert journal.summary([]).still_running is False
    assert json.dumps(state.as_json())


def test_the_sum_says_what_is_left_with_the_last_error():
    sent = {"at": 100.1, "event": "round", "n": 0, "cancels": [{"oid": 7, "coin": "BTC"}], "closes": [{"coin": "SOL"}]}
    refused = {"oid": 7, "coin": "BTC", "status": "lost", "detail": "no answer within 1.5 s"}
    written = {"at": 100.2, "event": "written", "what": "cancel", "results": [refused]}
    state = lines(sent, written)
    assert [row["error"] for row in state.remaining["orders"]] == ["no answer: no answer within 1.5 s"]
    assert [row["coin"] for row in state.remaining["positions"]] == ["SOL"], "the snapshot is what is known"
    read = {**READ, "at": 100.3, "orders": 1, "positions": 0, "left": {"orders": [{"oid": 7, "coin": "BTC"}]}}
    state = lines(sent, written, read, {"at": 130.0, "event": "outcome", "outcome": "NOT_FLAT"})
    assert state.remaining["positions"] == [] and state.remaining["orders"][0]["error"]
    assert state.step("closed").ms == 300 and state.step("cancelled").status == "failed"


def test_what_could_not_be_read_is_not_taken_for_nothing():
    clean = {**READ, "at": 101.0, "orders": 0, "positions": 0}
    unread = {**READ, "at": 102.0, "orders": None, "positions": 0, "errors": ["orders: no answer"]}
    state = lines(clean, unread)
    assert state.step("cancelled").status == "running" and state.step("closed").at == 101.0
    assert state.remaining["unread"] == ["orders: no answer"] and state.last_read_at == 101.0


def test_orders_that_come_back_take_the_step_back():
    clean, dirty = (
        {**READ, "at": 101.0, "orders": 0, "positions": 0},
        {**READ, "at": 102.0, "orders": 2, "positions": 0},
    )
    assert lines(clean, dirty).step("cancelled").status == "running"
    assert lines(clean, dirty, clean | {"at": 103.0}).step("cancelled").at == 103.0


def test_a_recheck_that_finds_something_takes_flat_back():
    flat = {"at": 102.0, "event": "flat"}
    found = {"at": 112.0, "event": "recheck", "after": 10, "clean": False}
    assert lines(flat).step("flat").ms == 2000
    assert lines(flat, found).flat_at is None
    assert lines(flat, found, flat | {"at": 114.0}).flat_at == 114.0


def test_a_journal_with_a_cut_off_line_is_read_and_gone_on_with(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    journal.append(path, "pressed", id="s")
    with path.open("a") as file:
        file.write('{"at": 1, "event": "rea')
    assert [entry["event"] for entry in journal.read(path)] == ["pressed"]
    journal.append(path, "note", text="on")
    assert [entry["event"] for entry in journal.read(path)] == ["pressed", "note"]


def test_every_prefix_of_a_journal_has_a_sum(tmp_path: Path):
    entries = [
        PRESSED | {"instances": ["b"]},
        {"at": 100.1, "event": "something new"},
        {"at": 100.1, "event": "halt_refused", "instance": "b", "error": "no"},
        {"at": 100.2, "event": "halted", "instance": "b", "by": "process"},
        {"at": 100.2, "event": "writer_halted"},
        {**READ, "at": 100.3, "orders": 0, "positions": 0},
        {"at": 101.5, "event": "flat"},
        {"at": 101.5, "event": "outcome", "outcome": "FLAT"},
        {"at": 170.0, "event": "end"},
    ]
    for count in range(len(entries) + 1):
        journal.summary(entries[:count])
    state = journal.summary(entries)
    assert state.outcome == "FLAT" and not state.still_running and not any(state.remaining.values())


def test_the_latch(tmp_path: Path):
    assert latch.read(tmp_path) is None
    first = latch.engage(tmp_path, Latch("a", "production", 1.0, "kim", drill=True))
    assert latch.engage(tmp_path, Latch("b", "production", 2.0, "lee", drill=True)) == first
    real = latch.engage(tmp_path, Latch("c", "production", 3.0, "lee"))
    assert latch.read(tmp_path) == real and real.stop == "c"
    assert latch.engage(tmp_path, Latch("d", "production", 4.0, "kim")) == real
    latch.release(tmp_path)
    latch.release(tmp_path)
    assert latch.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stop": 1}', '{"unknown": 1, "at": 2}'])
def test_a_latch_that_cannot_be_read_holds(tmp_path: Path, text: str):
    (tmp_path / latch.NAME).write_text(text)
    found = latch.read(tmp_path)
    assert found is not None and found.problem


def test_settings_come_back_as_they_were(tmp_path: Path):
    one = InstanceSettings("production-blue-1", "blue", "http://127.0.0.1:8101", "file:/t")
    given = StopSettings(
        "production", "production", tmp_path, {"kind": "hyperliquid"}, (one,), {"socket": "/s", "root": "/r"}
    )
    path = tmp_path / "x" / settings.NAME
    settings.write(path, given)
    assert settings.read(path) == given and path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"environment": "p"}'])
def test_settings_that_cannot_be_used_say_so(tmp_path: Path, text: str | None):
    path = tmp_path / settings.NAME
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=str(path)):
        settings.read(path)


def test_a_snapshot_that_cannot_be_used_is_none(tmp_path: Path):
    path = tmp_path / snapshot.NAME
    assert snapshot.read(path) is None
    for text in ("", "{}", '{"at": 1, "orders": [{}]}'):
        path.write_text(text)
        assert snapshot.read(path) is None
