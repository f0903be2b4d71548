"""Tripping, noticing, answering and resetting, against a real trading system."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from alerts.models import Alert
from audit.models import Record
from environments.models import Instance
from tests.trading import breaker_world
from trading import breaker_watch, breakers
from trading.breaker_watch import BreakerWatch
from trading.errors import ChecksBlock, Latched, Unreachable, WrongState
from trading.models import BreakerTrip
from trading.questions import Given
from trading.stop import latch as latch_file

pytestmark = pytest.mark.django_db
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
BLUE = breaker_world.BLUE
YES = {key: Given("yes", "Looked") for key in ("fixed", "legitimate", "healthy")}


@pytest.fixture
def ada(scene, admin, actor_of):
    return actor_of(admin)


@pytest.fixture
def otto(scene, operator, actor_of):
    return actor_of(operator)


@pytest.fixture
def tripped(scene, otto):
    return breakers.trip(otto, scene.environment, "Odd fills")[0]


def outcomes(action: str) -> list[str]:
    return list(Record.objects.filter(action=action).order_by("id").values_list("outcome", flat=True))


def test_tripping_by_hand_halts_and_is_read_back(scene, otto, operator):
    (trip,) = breakers.trip(otto, scene.environment, "Odd fills")
    assert scene.role() == "HALTED" and scene.client().circuit_breaker().is_open
    assert (trip.instance_name, trip.reason_code, trip.tripped_by, trip.is_open) == (BLUE, "manual", operator, True)
    assert "Odd fills" in trip.reason
    assert outcomes("breaker.tripped_by_hand") == ["intent", "done"] and outcomes("breaker.tripped") == ["done"]
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.link) == ("breaker", "critical", f"/breakers/{trip.pk}/")
    assert alert.key.startswith("production")


def test_twice_is_once(scene, otto, tripped):
    assert breakers.trip(otto, scene.environment, "Again")[0].pk == tripped.pk
    assert BreakerTrip.objects.count() == 1 and Alert.objects.count() == 1


def test_what_is_not_confirmed_is_said_and_recorded_as_failed(scene, otto):
    scene.stop()
    with pytest.raises(Unreachable, match="Not confirmed: production-blue-1.*kill switch"):
        breakers.trip(otto, scene.environment, "Odd fills")
    assert outcomes("breaker.tripped_by_hand") == ["intent", "failed"] and not BreakerTrip.objects.exists()


def test_only_who_may_stop_trips(scene, developer, actor_of):
    with pytest.raises(Forbidden):
        breakers.trip(actor_of(developer), scene.environment, "Odd fills")
    assert scene.role() == "ACTIVE" and outcomes("access.denied") == ["denied"]


def test_without_a_writer_there_is_nothing_to_trip(scene, otto):
    scene.environment.writer_slot = None
    scene.environment.save()
    with pytest.raises(WrongState):
        breakers.trip(otto, scene.environment, "Odd fills")


def test_the_monitor_notices_from_a_sample_and_from_asking(scene):
    watch = BreakerWatch()
    watch.look()
    assert not BreakerTrip.objects.exists()
    scene.client().trip_breaker(actor="the system", reason="Too many losses")
    watch.look()  # the last sample says closed, and everything was asked a moment ago
    assert not BreakerTrip.objects.exists()
    scene.sample(breaker_open=True)
    watch.look()
    trip = BreakerTrip.objects.get()
    assert (trip.instance_name, trip.tripped_by, trip.reason_code) == (BLUE, None, "manual")
    record = Record.objects.get(action="breaker.tripped")
    assert (record.actor_name, record.environment) == ("monitor", "production") and "losses" in record.reason
    BreakerWatch().look()
    assert BreakerTrip.objects.count() == 1


def test_what_was_closed_elsewhere_ends_here(scene, tripped):
    scene.client().reset_breaker(actor="somebody", reason="By hand")
    BreakerWatch().look()
    tripped.refresh_from_db()
    assert not tripped.is_open and tripped.reset_by is None and "not reset from here" in tripped.reset_reason
    assert Alert.objects.get().cleared_at is not None and outcomes("breaker.reset") == ["done"]


def test_another_trip_of_the_same_instance_is_another_row(scene, tripped):
    scene.client().reset_breaker(actor="somebody", reason="By hand")
    BreakerTrip.objects.update(tripped_at=timezone.now() - timedelta(minutes=1))
    scene.client().trip_breaker(actor="somebody", reason="Again")
    BreakerWatch().look()
    assert [trip.is_open for trip in BreakerTrip.objects.order_by("id")] == [False, True]


def test_no_answer_changes_nothing(scene, tripped):
    scene.stop()
    BreakerWatch().look()
    assert BreakerTrip.objects.get().is_open


def test_an_instance_that_is_gone_ends_its_trip(scene, tripped):
    Instance.objects.filter(name=BLUE).delete()
    BreakerWatch().look()
    assert "no longer part" in BreakerTrip.objects.get().reset_reason


def test_a_reset_takes_the_three_answers(scene, ada, tripped):
    with pytest.raises(ChecksBlock, match="has no answer yet"):
        breakers.reset(ada, tripped, "Fixed")
    breakers.validate(ada, tripped, YES | {"legitimate": Given("no", "A double order")})
    with pytest.raises(ChecksBlock, match="answered with no. Look for wrong prices") as error:
        breakers.reset(ada, tripped, "Fixed")
    assert len(error.value.reasons) == 1 and scene.client().circuit_breaker().is_open
    assert not outcomes("breaker.reset")


def test_answers_are_kept_with_what_was_seen(scene, ada, admin, tripped):
    trip = breakers.validate(ada, tripped, YES)
    fixed, legitimate, healthy = trip.answers
    assert (fixed["answer"], fixed["note"], fixed["by"]) == ("yes", "Looked", admin.display_name)
    assert "Opened by hand" in fixed["seen"][0]
    assert re.match("It has no trades yet|The last .* PnL", legitimate["seen"][0])
    assert any(line.startswith("Database connection: pass") for line in healthy["seen"])
    assert Record.objects.get(action="breaker.validated").after["answers"] == trip.answers


@pytest.mark.parametrize("missing", ["fixed", "legitimate", "healthy"])
def test_each_answer_takes_yes_or_no_and_a_note(scene, ada, tripped, missing):
    for given in (
        {},
        {missing: Given("perhaps", "x")},
        {missing: Given("yes", "  ")},
        {missing: Given("yes", "x" * 501)},
    ):
        answers = {key: one for key, one in YES.items() if key != missing} | given
        with pytest.raises(InvalidRequest) as error:
            breakers.validate(ada, tripped, answers)
        assert error.value.field == missing
    assert BreakerTrip.objects.get().answers == []


def test_old_answers_say_nothing_any_more(scene, ada, tripped):
    trip = breakers.validate(ada, tripped, YES)
    for one in trip.answers:
        one["at"] = (timezone.now() - timedelta(minutes=31)).isoformat()
    trip.save()
    with pytest.raises(ChecksBlock, match="answer anew"):
        breakers.reset(ada, trip, "Fixed")


def test_a_reset_acknowledges_and_stays_halted(scene, ada, admin, tripped):
    breakers.validate(ada, tripped, YES)
    trip = breakers.reset(ada, tripped, "Fixed")
    assert not scene.client().circuit_breaker().is_open and scene.role() == "HALTED"
    assert (trip.reset_by, trip.reset_reason, trip.is_open) == (admin, "Fixed", False)
    assert outcomes("breaker.reset") == ["intent", "done"] and Alert.objects.get().cleared_at is not None
    with pytest.raises(WrongState, match="reset already, by Ada Admin"):
        breakers.reset(ada, trip, "Fixed")


def test_the_monitor_that_reads_it_first_keeps_who_asked(scene, ada, admin, tripped):
    breakers.validate(ada, tripped, YES)
    BreakerTrip.objects.update(reset_by=admin, reset_reason="Fixed")
    scene.client().reset_breaker(actor="ada", reason="Fixed")
    breaker_watch.note_closed(tripped, breaker_watch.BY_ITSELF)
    trip = BreakerTrip.objects.get()
    assert (trip.is_open, trip.reset_by, trip.reset_reason) == (False, admin, "Fixed")


def test_a_reset_that_is_not_confirmed_counts_as_open(scene, ada, tripped):
    breakers.validate(ada, tripped, YES)
    scene.stop()
    with pytest.raises(Unreachable, match="counts as open"):
        breakers.reset(ada, tripped, "Fixed")
    trip = BreakerTrip.objects.get()
    assert trip.is_open and trip.reset_by is None and outcomes("breaker.reset") == ["intent", "failed"]


def test_the_latch_blocks_a_reset(scene, stops, ada, tripped):
    breakers.validate(ada, tripped, YES)
    latch_file.engage(stops / "production", latch_file.Latch("1", "production", 1.0, "ada"))
    with pytest.raises(Latched):
        breakers.reset(ada, tripped, "Fixed")
    assert scene.client().circuit_breaker().is_open


def test_an_operator_may_neither_answer_nor_reset(scene, otto, tripped):
    for act in (lambda: breakers.validate(otto, tripped, YES), lambda: breakers.reset(otto, tripped, "Fixed")):
        with pytest.raises(Forbidden, match="It takes: Admin"):
            act()
    assert outcomes("access.denied") == ["denied", "denied"] and BreakerTrip.objects.get().is_open


def test_a_quiet_look_takes_two_queries(scene):
    watch = BreakerWatch()
    watch.look()
    with CaptureQueriesContext(
        connection,
    ) as taken:
        watch.look()
    assert len(taken) == 2
