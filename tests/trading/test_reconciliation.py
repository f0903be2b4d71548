"""Comparing with a real exchange and a real trading system, alerts, taking over, and what stops a promotion."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from alerts.models import Alert
from audit.models import Record
from tests.trading import position_world
from trading import queries, reconciliation, tasks
from trading.errors import Unreachable, WrongState
from trading.models import Comparison
from trading.reconciliation import adopt, check, compare_now

pytestmark = pytest.mark.django_db
running, world = position_world.running, position_world.world


@pytest.fixture
def place(world, production):
    world.lead(production)
    return production


@pytest.fixture
def actor(actor_of, admin):
    return actor_of(admin)


def alerts(kind: str) -> list[Alert]:
    return list(Alert.objects.filter(kind=kind, cleared_at=None))


def keep(environment, verdict="pass", minutes=0.0, **fields) -> Comparison:
    at = timezone.now() - timedelta(minutes=minutes)
    return Comparison.objects.create(environment=environment, at=at, verdict=verdict, **fields)


DIFFERENCE = {"symbol": "BTC", "internal": "0", "exchange": "1", "delta": "1", "class": "missing_internal"}


def test_equal_sides_pass_and_raise_nothing(world, place):
    world.inject("BTC", "0.02")
    world.adopt()
    found = check(place)
    assert (found.verdict, found.differences, found.actor_name) == ("pass", [], "")
    assert Alert.objects.count() == 0 and queries.promotion_block(place) is None


def test_a_mismatch_raises_an_alert_that_an_equal_check_clears(world, place):
    world.inject("BTC", "0.02")
    world.inject("ETH", "-0.4")
    found = check(place)
    assert found.verdict == "fail"
    assert [(one["symbol"], one["class"], one["delta"]) for one in found.differences] == [
        ("BTC", "missing_internal", "0.02"),
        ("ETH", "missing_internal", "-0.4"),
    ]
    (alert,) = alerts("mismatch")
    assert (alert.severity, alert.key, alert.environment) == ("critical", "production", place)
    assert "BTC, ETH" in alert.title and "the exchange says -0.4" in alert.detail
    assert "BTC, ETH" in queries.promotion_block(place)
    check(place)
    assert alerts("mismatch")[0].times == 2
    assert Record.objects.filter(action="positions.compared").count() == 1, "the same mismatch is told once"
    world.adopt()
    assert check(place).verdict == "pass"
    assert alerts("mismatch") == [] and queries.promotion_block(place) is None


def test_a_difference_of_a_moment_is_none(world, place, monkeypatch):
    """An order under way: the second read, a second later, sees both sides equal."""
    world.inject("BTC", "0.02")
    reads = []
    settle = reconciliation.settle

    def settled(found):
        reads.append(len(found))
        world.adopt()  # the fill arrives between the reads
        return settle(found)

    monkeypatch.setattr(reconciliation, "settle", settled)
    assert check(place).verdict == "pass" and reads == [1, 2] and alerts("mismatch") == []


def test_each_class_is_told(world, place):
    world.inject("BTC", "0.02")
    world.inject("ETH", "0.4")
    world.inject("SOL", "5")
    world.adopt()
    world.inject("BTC", "0.01")
    world.inject("ETH", "-0.4")
    world.inject("SOL", "-7")
    world.inject("BNB", "-0.1")
    found = compare_now(reconciliation.CHECK, place)
    assert {one["symbol"]: one["class"] for one in found.differences} == {
        "BTC": "size",
        "ETH": "missing_exchange",
        "SOL": "side",
        "BNB": "missing_internal",
    }


def test_no_data_says_nothing_until_it_lasts(world, place):
    world.inject("BTC", "0.02")
    assert check(place).verdict == "fail"
    world.lead(place, with_system=False)
    for number in range(1, 4):
        found = check(place)
        assert found.verdict == "no_data" and "trading system cannot be read" in found.detail
        assert len(alerts("contact")) == (number == 3)
    (alert,) = alerts("contact")
    assert alert.severity == "warning" and alert.key.startswith("production") and "nobody listens" in alert.detail
    assert len(alerts("mismatch")) == 1, "no data does not mend a mismatch"
    assert queries.promotion_block(place) is not None
    world.lead(place)
    check(place)
    assert alerts("contact") == [] and len(alerts("mismatch")) == 1


def test_what_has_nothing_to_compare_is_left_alone(world, place):
    place.writer_slot = None
    assert check(place) is None
    world.lead(place)
    place.exchange = {}
    assert check(place) is None and Comparison.objects.count() == 0


def test_take_over_one_of_two(world, place, actor):
    world.inject("BTC", "0.02")
    world.inject("ETH", "-0.4")
    kept = adopt(actor, place, ["BTC"], "Missed fill")
    assert kept.adopted == ["BTC"] and kept.actor_name == actor.name
    assert [one["symbol"] for one in kept.differences] == ["ETH"] and world.kept() == {"BTC": "0.02"}
    intent, done = Record.objects.filter(action="positions.adopted").order_by("id")
    assert (intent.outcome, done.outcome, done.reason) == ("intent", "done", "Missed fill")
    assert [one["symbol"] for one in done.before["differences"]] == ["BTC"]
    assert [one["symbol"] for one in done.after["differences"]] == ["ETH"]
    assert len(alerts("mismatch")) == 1, "the other one still differs"


def test_take_over_all_and_read_back(world, place, actor):
    world.inject("BTC", "0.02")
    world.inject("ETH", "-0.4")
    check(place)
    kept = adopt(actor, place, "all", "Closed by hand")
    assert (kept.verdict, kept.adopted) == ("pass", ["BTC", "ETH"])
    assert world.kept() == world.positions() == {"BTC": "0.02", "ETH": "-0.4"} and alerts("mismatch") == []
    with pytest.raises(WrongState, match="agree"):
        adopt(actor, place, "all", "Again")


def test_taking_over_needs_both_sides_and_says_when_it_failed(world, place, actor):
    world.inject("BTC", "0.02")
    world.faults(dead=["clearinghouseState"])
    with pytest.raises(Unreachable, match=r"Nothing was done"):
        adopt(actor, place, "all", "Missed fill")
    assert Record.objects.filter(action="positions.adopted").count() == 0
    world.heal()
    slot = place.slots.get(name="blue")
    token = world.folder / "read-only"
    token.write_text("read-only")
    slot.instances.update(token_ref=f"file:{token}")
    with pytest.raises(WrongState, match=r"refused.*Read back: BTC still differs"):
        adopt(actor, place, ["BTC"], "Missed fill")
    assert [one.outcome for one in Record.objects.filter(action="positions.adopted").order_by("id")] == [
        "intent",
        "failed",
    ]


def test_an_operator_compares_and_does_not_take_over(world, place, actor_of, operator):
    world.inject("BTC", "0.02")
    assert compare_now(actor_of(operator), place).verdict == "fail"
    with pytest.raises(Forbidden):
        adopt(actor_of(operator), place, "all", "Missed fill")
    assert world.kept() == {}


@pytest.mark.parametrize("symbols", [[], "BTC", ["B TC"], ["A"] * 201])
def test_wrong_symbols_are_named(production, actor, symbols):
    with pytest.raises(InvalidRequest) as caught:
        adopt(actor, production, symbols, "Missed fill")
    assert caught.value.field == "symbols"


@pytest.mark.django_db(transaction=True)
def test_one_at_a_time(world, place):
    """While one comparison of an environment runs, a second one leaves."""
    got, leave = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with reconciliation._alone(place) as is_alone:
                assert is_alone
                got.set()
                leave.wait(10)
        finally:
            connections.close_all()

    other = threading.Thread(target=hold)
    other.start()
    assert got.wait(10)
    try:
        assert check(place) is None and Comparison.objects.count() == 0
    finally:
        leave.set()
        other.join()
    assert check(place).verdict == "pass"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchone() == (0,), "nothing is left locked"


def test_the_schedule_asks_for_each_environment(place, monkeypatch, settings):
    asked = []
    monkeypatch.setattr(tasks.check_positions_of, "apply_async", lambda args, expires: asked.append((args, expires)))
    tasks.check_positions()
    assert {args for args, _ in asked} == {(one.pk,) for one in place.service.environments.exclude(exchange={})}
    entry = settings.CELERY_BEAT_SCHEDULE["check-positions"]
    assert entry["task"] == "trading.tasks.check_positions" and entry["schedule"] == 60
    assert all(expires < 60 for _, expires in asked), "a worker that was away finds no heap of them"
    tasks.check_positions_of(place.pk)
    assert Comparison.objects.get().verdict == "pass"
    tasks.check_positions_of(0)


@pytest.mark.parametrize(
    ("kept", "is_blocked"),
    [
        ([], False),
        ([("pass", 1)], False),
        ([("fail", 1)], True),
        ([("fail", 6)], False),
        ([("fail", 2), ("pass", 1)], False),
        ([("fail", 2), ("no_data", 1)], True),
        ([("pass", 2), ("no_data", 1)], False),
    ],
)
def test_what_stops_a_promotion(production, kept, is_blocked, django_assert_num_queries):
    for verdict, minutes in kept:
        keep(production, verdict, minutes, differences=[DIFFERENCE] if verdict == "fail" else [])
    with django_assert_num_queries(1):
        words = queries.promotion_block(production)
    assert (words is not None) is is_blocked
    assert words is None or "BTC" in words


def test_prune_keeps_what_was_found(production):
    days = 24 * 60
    kept = [
        keep(production, minutes=89 * days),
        keep(production, "fail", 400 * days, differences=[DIFFERENCE]),
        keep(production, minutes=400 * days, adopted=["BTC"]),
    ]
    keep(production, minutes=91 * days)
    keep(production, "no_data", 91 * days)
    tasks.prune_comparisons()
    assert set(Comparison.objects.all()) == set(kept)
