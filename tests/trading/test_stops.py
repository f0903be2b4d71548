"""The kill switch as a use case: who may press, the latch, joining, the record, the drill."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from alerts.models import Alert
from audit.models import Outcome, Record
from environments.models import Environment
from tests.trading.stop_world import ended, exchange_world, followed, reached, state, stop_world
from trading import latch, stop_files, stops
from trading.errors import Latched, NotConfigured, WrongState
from trading.models import EmergencyStop
from trading.stop import engine
from trading.stop import latch as latch_file
from trading.stop.engine import Press

pytestmark = pytest.mark.django_db
__all__ = ["exchange_world", "stop_world"]


def actions(stop) -> list[str]:
    """The audit trail of a stop, oldest first."""
    return [*Record.objects.filter(object_id=str(stop)).order_by("id").values_list("action", flat=True)]


def test_an_operator_stops_production(stop_world, production, operator, actor_of):
    stop_world.fill("production")
    pressed = stops.press(actor_of(operator), production, "Prices are wrong", via="page")
    assert not pressed.joined and not pressed.drill
    assert latch.engaged(production)
    found = reached(production, pressed.id, "FLAT")
    assert stop_world.left("production") == (0, 0)
    assert [step.status for step in found.steps] == ["done"] * 5
    assert (found.actor, found.via, found.reason) == ("Otto Operator (otto)", "page", "Prices are wrong")


def test_the_row_and_the_records_are_written_once(stop_world, production, operator, actor_of):
    stop_world.fill("production")
    pressed = stops.press(actor_of(operator), production, "", via="page")
    again = stops.press(actor_of(operator), production, "Prices", via="api")
    assert (again.id, again.joined) == (pressed.id, True)
    ended(production, pressed.id)
    for _ in range(2):
        followed()
    row = EmergencyStop.objects.get(pk=pressed.id)
    assert (row.actor, row.outcome, row.reason, row.drill) == (operator, "FLAT", "Prices", False)
    assert row.pressed_at < row.halted_at <= row.flat_at and row.clean_at < row.flat_at
    assert row.journal == stop_files.journal_of("production", row.pk).entries()
    assert actions(row.pk) == ["stop.engaged", "stop.joined", "stop.finished"]
    record = Record.objects.get(action="stop.engaged")
    assert (record.actor, record.environment, record.via) == (operator, "production", "session")
    assert Environment.objects.get(pk=production.pk).latched_at is not None


@pytest.mark.parametrize("where", ["production", "staging"])
def test_a_developer_may_not(where, stop_world, system, developer, actor_of):
    environment = system.environments.get(name=where)
    with pytest.raises(Forbidden, match="It takes: Admin or Operator"):
        stops.press(actor_of(developer), environment, "Because", via="page")
    assert not latch.engaged(environment) and not list(stop_files.journals(where))
    denied = Record.objects.get(action="access.denied")
    assert (denied.actor, denied.outcome, denied.environment) == (developer, Outcome.DENIED, where)


def test_without_an_exchange_it_says_what_to_do(production, operator, actor_of):
    Environment.objects.filter(pk=production.pk).update(exchange={})
    production.refresh_from_db()
    with pytest.raises(NotConfigured, match="names no exchange"):
        stops.press(actor_of(operator), production, "", via="page")
    assert not latch.engaged(production)


def test_a_failing_record_does_not_stop_the_stop(stop_world, production, operator, actor_of, monkeypatch):
    from django.db import OperationalError

    def away(*args):
        raise OperationalError("the database is away")

    monkeypatch.setattr(stops.stop_records, "keep", away)
    stop_world.fill("production")
    pressed = stops.press(actor_of(operator), production, "", via="page")
    reached(production, pressed.id, "FLAT")
    assert not EmergencyStop.objects.exists()
    monkeypatch.undo()
    followed()
    assert actions(pressed.id) == ["stop.engaged", "stop.finished"]


def test_what_the_latch_refuses(production):
    latch.refuse_while_engaged(production, "Starting a deployment")
    folder = stop_files.folder("production")
    latch_file.engage(folder, latch_file.Latch(str(uuid.uuid4()), "production", 1.0, "Otto"))
    with pytest.raises(Latched, match="Starting a deployment is refused until it is released"):
        latch.refuse_while_engaged(production, "Starting a deployment")
    (folder / "latch.json").write_text("damaged")
    assert latch.engaged(production)


def test_the_latch_survives_the_loss_of_either_side(production):
    at = timezone.now().replace(microsecond=0)
    folder = stop_files.folder("production")
    latch_file.engage(folder, latch_file.Latch(str(uuid.uuid4()), "production", at.timestamp(), "Otto"))
    watch = followed()
    production.refresh_from_db()
    assert production.latched_at == at
    (folder / "latch.json").unlink()
    for _ in range(3):
        watch.follow()
        assert latch_file.read(folder) is None, "a release may be under way"
    watch.follow()
    assert latch_file.read(folder).at == at.timestamp()
    latch.release(production, "Ada, Alan")
    for _ in range(6):
        watch.follow()
    assert not latch.engaged(production)


def test_a_release_keeps_who_and_ends_the_alert(stop_world, production, operator, actor_of):
    stop_world.exchange.faults(dead=["openOrders", "frontendOpenOrders"])
    pressed = stops.press(actor_of(operator), production, "Because", via="page")
    reached(production, pressed.id, "UNCONFIRMED")
    watch = followed()
    alert = Alert.objects.get(kind="stop")
    assert alert.severity == "critical" and "NOT CONFIRMED" in alert.title and alert.key.startswith("production ")
    assert Record.objects.get(action="stop.finished").outcome == Outcome.FAILED
    stop_world.exchange.heal()
    reached(production, pressed.id, "FLAT")
    watch.follow()
    alert.refresh_from_db()
    assert alert.cleared_at is not None
    assert actions(pressed.id) == ["stop.engaged", "stop.finished", "stop.finished"]
    ended(production, pressed.id)
    latch.release(production, "Ada Admin, Alan Admin")
    row = EmergencyStop.objects.get(pk=pressed.id)
    assert row.released_by == "Ada Admin, Alan Admin" and row.released_at is not None


def test_what_goes_on_is_not_released(stop_world, production, operator, actor_of):
    """It would close what trading opens again, and a new press would join it: nothing would be halted then."""
    stop_world.fill("production")
    stop_world.exchange.faults(depth={"ETH": 0})
    pressed = stops.press(actor_of(operator), production, "Because", via="page")
    reached(production, pressed.id, "NOT_FLAT")
    with pytest.raises(WrongState, match="Release it when it has ended"):
        latch.release(production, "Ada, Alan")
    assert latch.engaged(production)
    stop_world.exchange.heal()
    ended(production, pressed.id)
    latch.release(production, "Ada, Alan")
    assert not latch.engaged(production)


def test_a_coin_without_liquidity_is_not_flat(stop_world, production, operator, actor_of):
    stop_world.fill("production")
    stop_world.exchange.faults(depth={"ETH": 0})
    pressed = stops.press(actor_of(operator), production, "Because", via="page")
    found = reached(production, pressed.id, "NOT_FLAT")
    assert [row["coin"] for row in found.remaining["positions"]] == ["ETH"] and found.remaining["positions"][0]["error"]
    followed()
    assert "NOT FLAT, 1 position, no orders left" in Alert.objects.get(kind="stop").title
    assert EmergencyStop.objects.get(pk=pressed.id).remaining["positions"][0]["coin"] == "ETH"


def test_the_reason_may_follow(stop_world, production, operator, developer, actor_of):
    pressed = stops.press(actor_of(operator), production, "", via="page")
    ended(production, pressed.id)
    followed()
    row = EmergencyStop.objects.select_related("environment").get(pk=pressed.id)
    with pytest.raises(Forbidden):
        stops.give_reason(actor_of(developer), row, "Because")
    with pytest.raises(InvalidRequest, match="Say why"):
        stops.give_reason(actor_of(operator), row, "  ")
    stops.give_reason(actor_of(operator), row, "Prices are wrong")
    with pytest.raises(WrongState, match="given before"):
        stops.give_reason(actor_of(operator), row, "Other")
    assert state(production, row.pk).reason == "Prices are wrong" == EmergencyStop.objects.get(pk=row.pk).reason
    assert actions(row.pk) == ["stop.engaged", "stop.finished", "stop.reason_given"]


def test_a_reason_comes_too_late(production, operator, actor_of):
    row = EmergencyStop.objects.create(
        environment=production, pressed_at=timezone.now() - timedelta(minutes=16), actor_name="Otto", via="page"
    )
    with pytest.raises(WrongState, match="within 15 minutes"):
        stops.give_reason(actor_of(operator), row, "Because")


def test_a_drill_is_marked_and_never_in_production(stop_world, production, staging, operator, actor_of):
    with pytest.raises(WrongState, match="there is none"):
        stops.press(actor_of(operator), production, "", drill=True, via="page")
    assert not latch.engaged(production)
    stop_world.fill("staging")
    pressed = stops.press(actor_of(operator), staging, "Monthly drill", drill=True, via="page")
    assert pressed.drill and ended(staging, pressed.id).drill
    followed()
    assert actions(pressed.id) == ["stop.drill", "stop.finished"]
    assert EmergencyStop.objects.get(pk=pressed.id).drill and latch_file.read(stop_files.folder("staging")).drill


def test_a_real_press_in_a_drill_makes_it_real(stop_world, staging, operator, actor_of):
    pressed = stops.press(actor_of(operator), staging, "", drill=True, via="page")
    again = stops.press(actor_of(operator), staging, "For real", via="page")
    assert again.id == pressed.id and not latch_file.read(stop_files.folder("staging")).drill
    ended(staging, pressed.id)
    followed()
    row = EmergencyStop.objects.select_related("environment").get(pk=pressed.id)
    with pytest.raises(WrongState, match="no drill"):
        stops.release_drill(actor_of(operator), row)
    with pytest.raises(WrongState, match="engaged for real"):
        stops.press(actor_of(operator), staging, "", drill=True, via="page")


def test_a_drill_is_ended_by_who_ran_it(stop_world, staging, operator, developer, actor_of, monkeypatch):
    resumed = []
    monkeypatch.setattr(stops, "_resume", lambda *given: resumed.append(given[0].name))
    pressed = stops.press(actor_of(operator), staging, "", drill=True, via="page")
    ended(staging, pressed.id)
    followed()
    row = EmergencyStop.objects.select_related("environment").get(pk=pressed.id)
    with pytest.raises(Forbidden):
        stops.release_drill(actor_of(developer), row)
    assert "is being resumed" in stops.release_drill(actor_of(operator), row)
    assert not latch.engaged(staging) and resumed == ["staging"]
    row.refresh_from_db()
    assert row.released_by == "Otto Operator"
    with pytest.raises(WrongState, match="not engaged any more"):
        stops.release_drill(actor_of(operator), row)


def test_a_press_of_opsctl_is_recorded_as_such(stop_world, production):
    settings = stop_files.written("production")
    pressed = engine.press(settings, Press("root", "opsctl", "By hand"))
    stops.run(settings, pressed)
    followed()
    record = Record.objects.get(action="stop.engaged")
    assert (record.actor_name, record.via, record.actor) == ("root (opsctl)", "cli", None)


def test_a_name_at_the_command_line_is_nobody_of_the_console(stop_world, production, operator):
    settings = stop_files.written("production")
    stops.run(settings, engine.press(settings, Press("Otto Operator (otto)", "opsctl")))
    followed()
    assert Record.objects.get(action="stop.engaged").actor is None


def test_the_usual_environment(production, staging, operator, developer, person):
    from accounts.limits import Limits

    assert stops.usual(operator) == production
    assert stops.usual(person("nemo", None)) is None
    operator.limits = Limits(scopes=frozenset({"emergency_stop"}), environments=frozenset({"staging"}))
    assert stops.usual(operator) == staging
    assert stops.usual(developer) == production, "so that the refusal is audited"
