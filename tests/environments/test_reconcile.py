"""Drift made by hand is repaired with a record, in a real HAProxy and trading system; newer decisions are left."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from audit.actors import system as system_actor
from audit.models import Record
from demo.releases import PLANS, build_release
from deployments.actions import next_epoch
from environments import adapters, reconcile
from environments.actions import apply_definition
from environments.definition import load
from environments.drivers.base import ArtifactSpec
from environments.models import Environment, Instance, Slot
from environments.target import TargetError
from environments.traffic.base import RouterError, StaleEpoch
from opsconsole.monitor import reconcile_all
from tests.deployments.world import ROOT, running_world, until

BLUE, GREEN = "production-blue-1", "production-green-1"


@pytest.fixture(scope="module")
def world():
    """A supervisord, HAProxy and the programs of the demo, for these tests."""
    with running_world() as world:
        yield world


@pytest.fixture
def system(db, world):
    return apply_definition(system_actor("tests"), load(ROOT / "demo/system.yaml", {"127.0.0.1"}, world.variables))


@pytest.fixture
def live(production) -> Environment:
    """Blue is live in the tables and in the load balancer."""
    return serve(production, "blue")


def serve(environment: Environment, slot: str) -> Environment:
    chosen = environment.slots.get(name=slot)
    Slot.objects.filter(pk=chosen.pk).update(role="live")
    environment.live_slot = environment.writer_slot = chosen
    environment.desired_weights = {other.name: 100 if other.pk == chosen.pk else 0 for other in environment.slots.all()}
    environment.traffic_epoch = environment.writer_epoch = next_epoch()
    environment.save()
    adapters.router(environment).shift(wanted(environment), environment.traffic_epoch)
    return environment


def wanted(environment: Environment) -> dict[str, int]:
    return adapters.server_weights(environment, environment.desired_weights)


def by_hand(world, command: str) -> None:
    """What somebody types into HAProxy's stats socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(f"{world.directory}/haproxy.sock")
        connection.sendall(command.encode() + b"\n")
        assert connection.recv(4096).strip() == b"", command


def trail(action: str) -> list[Record]:
    return list(Record.objects.filter(action=action).order_by("id"))


@pytest.mark.parametrize(
    "command",
    [
        f"set server production/{BLUE} weight 0",
        f"set server production/{GREEN} weight 100",
        f"set server production/{BLUE} state maint",
        f"set server production/{BLUE} state drain",
    ],
)
def test_what_somebody_changed_by_hand_is_brought_back_with_a_record(world, live, command):
    router, before = adapters.router(live), adapters.router(live).read()
    by_hand(world, command)
    found = router.read()
    assert (found.weights, found.states) != (before.weights, before.states)
    assert reconcile.repair_traffic(live) is True
    state = router.read()
    assert (state.weights, state.states) == (before.weights, before.states) == (wanted(live), before.states)
    intent, done = trail("traffic.drift_repaired")
    assert (intent.outcome, done.outcome, intent.environment) == ("intent", "done", "production")
    assert intent.before["weights"] == done.before["weights"] == found.weights
    assert done.after["weights"] == wanted(live) and done.actor_name == "reconciler" and done.via == "system"


def test_where_nothing_differs_nothing_is_done(live):
    before = adapters.router(live).read()
    assert reconcile.repair_traffic(live) is False
    assert adapters.router(live).read() == before and not trail("traffic.drift_repaired")


def test_before_the_first_deployment_nothing_is_wanted(production):
    assert reconcile.repair_traffic(production) is False and reconcile.repair_writer(production) is False


def test_a_newer_decision_in_the_load_balancer_is_left_alone(world, live):
    """A worker has shifted already, and our row is from before."""
    router = adapters.router(live)
    router.shift({BLUE: 0, GREEN: 100}, next_epoch())
    assert reconcile.repair_traffic(live) is False
    assert router.read().weights == {BLUE: 0, GREEN: 100} and not trail("traffic.drift_repaired")


def test_a_decision_made_while_we_read_is_left_to_the_engine(world, live):
    stale = Environment.objects.get(pk=live.pk)
    newer = {"blue": 0, "green": 100}
    Environment.objects.filter(pk=live.pk).update(desired_weights=newer, traffic_epoch=next_epoch())
    by_hand(world, f"set server production/{BLUE} weight 1")
    assert reconcile.repair_traffic(stale) is False and not trail("traffic.drift_repaired")


def test_an_old_epoch_is_refused_and_that_is_no_trouble(world, live, monkeypatch):
    """Somebody decides between our reading and our repair: the load balancer refuses."""
    router = adapters.router(live)
    by_hand(world, f"set server production/{BLUE} weight 1")
    real = reconcile._record

    def newer_decision(*arguments):
        router.fence(next_epoch())
        real(*arguments)

    monkeypatch.setattr(reconcile, "_record", newer_decision)
    with pytest.raises(StaleEpoch):
        reconcile.repair_traffic(live)
    assert [record.outcome for record in trail("traffic.drift_repaired")] == ["intent"]
    monkeypatch.undo()
    reconcile.reconcile(live)  # does not raise


def test_trouble_of_one_environment_does_not_keep_the_others_from_being_repaired(world, production, staging):
    serve(production, "blue")
    serve(staging, "green")
    other, kept = adapters.router(staging), {"router": production.router, "driver": production.driver}
    troubles = [
        {"router": {"address": "unix:/nowhere.sock", "backend": "production"}},
        {"router": production.router | {"backend": "unknown"}},
        {"driver": {"socket": "/nowhere.sock", "root": "/nowhere"}},
        {"token_ref": "file:/nowhere"},
    ]
    Slot.objects.filter(environment=production).update(role="standby")
    for trouble in troubles:
        if "token_ref" in trouble:
            Instance.objects.filter(name__startswith="production").update(**trouble)
        Environment.objects.filter(pk=production.pk).update(**kept | {k: v for k, v in trouble.items() if k in kept})
        by_hand(world, "set server staging/staging-green-1 weight 0")
        reconcile_all()
        assert other.read().weights == wanted(staging), trouble


def test_a_dead_load_balancer_is_told(production):
    production.router = {"address": "unix:/nowhere.sock", "backend": "production"}
    production.live_slot = production.slots.first()
    with pytest.raises(RouterError):
        reconcile.repair_traffic(production)


# --- the trading role, with the real paper trading system ---


@pytest.fixture
def blue(world, live, tmp_path) -> Instance:
    """A running instance of blue that trades."""
    world.trade()
    instance = Instance.objects.get(name=BLUE)
    start(instance, tmp_path)
    adapters.client(instance).set_role("ACTIVE", live.writer_epoch, actor="test", reason="test")
    yield instance
    world.stop_instances()


def start(instance: Instance, folder) -> None:
    built = build_release(PLANS[0], folder)
    driver, spec = adapters.driver(instance.slot.environment), adapters.instance_spec(instance)
    driver.install(spec, ArtifactSpec(built.version, built.digest, built.path, built.service))
    driver.start(spec)
    until(lambda: role(instance) == "STANDBY", f"{instance} answers in STANDBY")


def role(instance: Instance) -> str:
    try:
        return adapters.client(instance).state().role
    except TargetError:
        return "gone"


def kill(instance: Instance) -> None:
    """The process dies; the supervisor starts it again, in STANDBY."""
    status = adapters.driver(instance.slot.environment).status(adapters.instance_spec(instance))
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: role(instance) == "STANDBY", f"{instance} came back")


def test_a_live_process_that_came_back_gets_its_role_again(live, blue):
    assert reconcile.repair_writer(live) is False
    kill(blue)
    assert reconcile.repair_writer(live) is True and role(blue) == "ACTIVE"
    assert [record.outcome for record in trail("writer.drift_repaired")] == ["intent", "done"]
    assert trail("writer.drift_repaired")[0].after == {"instance": BLUE, "role": "ACTIVE", "epoch": live.writer_epoch}


def test_a_dead_load_balancer_does_not_keep_the_role_from_being_repaired(live, blue):
    kill(blue)
    live.router = {"address": "unix:/nowhere.sock", "backend": "production"}
    reconcile.reconcile(live)
    assert role(blue) == "ACTIVE"


def test_a_role_that_was_taken_away_on_purpose_is_not_given_back(live, blue):
    """A hand-over has begun: the instance holds a newer epoch than our row."""
    adapters.client(blue).set_role("STANDBY", next_epoch(), actor="engine", reason="hand-over")
    assert reconcile.repair_writer(live) is False
    assert role(blue) == "STANDBY" and not trail("writer.drift_repaired")


def test_no_role_is_given_while_another_slot_may_trade(world, live, blue, tmp_path):
    green = Instance.objects.get(name=GREEN)
    Slot.objects.filter(pk=green.slot_id).update(role="standby")
    start(green, tmp_path)
    adapters.client(green).set_role("ACTIVE", next_epoch(), actor="test", reason="test")
    kill(blue)
    assert reconcile.repair_writer(live) is False and role(blue) == "STANDBY"
    pid = adapters.driver(live).status(adapters.instance_spec(green)).pid
    os.kill(pid, signal.SIGSTOP)  # alive, does not answer: it may trade
    assert reconcile.repair_writer(live) is False and role(blue) == "STANDBY"
    adapters.driver(live).stop(adapters.instance_spec(green), force=True)
    assert reconcile.repair_writer(live) is True and role(blue) == "ACTIVE"
