"""The writer: a trading system that trades, one that is dead, one that hangs, and one that has run away."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from environments.drivers.program import Program
from opsconsole.local.ports import free_ports
from opsconsole.local.supervisor import Supervisor
from tests.demo.processes import Stack
from tests.exchange.processes import PaperExchange, until
from tests.trading.stop.stop_world import FAST, SHORT, World, instance_settings
from trading.stop.settings import InstanceSettings

ROOT = Path(__file__).resolve().parents[3]
KEEP = {"startsecs": 0, "autorestart": "always", "startretries": 100, "autostart": True}


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    found = Supervisor(tmp_path_factory.mktemp("supervisor"), "stops")
    found.up([])
    yield found
    found.shutdown()


@pytest.fixture
def supervised(supervisor: Supervisor, world_of: Callable[..., World], tmp_path: Path) -> Callable[..., World]:
    """A world whose only instance is a program of the supervisor, at an address where nobody listens."""
    token = tmp_path / "token"
    token.write_text("t")

    def make(name: str, *others: InstanceSettings) -> World:
        (supervisor.directory / "slots" / name).mkdir(parents=True)
        instance = InstanceSettings(name, "blue", f"http://127.0.0.1:{free_ports(1)[0]}", f"file:{token}")
        driver = {"socket": str(supervisor.socket), "root": str(supervisor.directory)}
        return world_of(instance, *others, driver=driver)

    return make


def run_away(supervisor: Supervisor, world: World, name: str) -> int:
    """A process that opens positions and leaves orders as fast as it can; its pid."""
    key = world.exchange.keys.file(f"{world.account}-blue-1")
    command = ("-m", "demo.exchange.runaway", "--url", world.exchange.url, "--key", str(key), "--every-ms", "40")
    program = Program(name, (sys.executable, *command), ROOT, supervisor.directory / f"{name}.log", **KEEP)
    supervisor.add(program)
    until(lambda: min(world.left()) >= 2, "it has run away")
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


def test_a_runaway_bot_is_ended(supervisor: Supervisor, supervised: Callable[..., World]):
    world = supervised("runaway-1")
    pid = run_away(supervisor, world, "runaway-1")
    world.snapshot()
    outcome = world.stop()
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)
    assert not psutil.pid_exists(pid) and supervisor.status()["runaway-1"].state_name == "STOPPED"
    state = outcome.state
    assert 3000 <= state.step("halted").ms < 5000 and state.step("flat").ms < 8000
    assert state.step("halted").detail == "runaway-1 has no process"
    (ended,) = world.entries(outcome, "slot_stopped")
    assert ended["pid"] == pid
    assert "nobody listens" in world.entries(outcome, "halt_refused")[0]["error"]


def test_without_a_supervisor_a_runaway_bot_is_never_green(supervisor: Supervisor, supervised: Callable[..., World]):
    world = supervised("runaway-2")
    run_away(supervisor, world, "runaway-2")
    world.settings = replace(world.settings, driver={})
    try:
        outcome = world.stop(SHORT)
    finally:
        supervisor.stop("runaway-2", force=True)
    assert outcome.outcome in ("NOT_FLAT", "UNCONFIRMED")
    (writer,) = outcome.state.remaining["writers"]
    assert writer == {
        "instance": "runaway-2",
        "error": "no supervisor is known for this environment: end its process by hand",
    }


@pytest.mark.parametrize("state", ["stopped", "dead"])
def test_a_dead_bot(supervisor: Supervisor, supervised: Callable[..., World], state: str):
    """One that the supervisor knows as stopped is gone at once; one that died may come back, and is stopped."""
    name = f"bot-{state}"
    world = supervised(name)
    dead = {"autostart": state == "dead", "autorestart": "never", "startsecs": 0}
    log = supervisor.directory / f"{name}.log"
    supervisor.add(Program(name, (sys.executable, "-c", "raise SystemExit(1)"), ROOT, log, **dead))
    wanted = {"stopped": "STOPPED", "dead": "EXITED"}[state]
    until(lambda: supervisor.status()[name].state_name == wanted, f"{name} is {wanted}")
    world.fill(3, 5)
    world.snapshot()
    outcome = world.stop()
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)
    halted = outcome.state.step("halted").ms
    assert halted < 1000 if state == "stopped" else 3000 <= halted < 4500
    assert outcome.state.step("closed").ms < 1000, "the exchange was not kept waiting"


def test_a_bot_that_trades_is_halted_by_its_own_contract(
    paper: PaperExchange, demo_stack: Stack, world_of: Callable[..., World], tmp_path: Path
):
    world = world_of()
    bot = demo_stack.instance(paper, name=f"{world.account}-blue-1", OPSC_ENVIRONMENT=world.account).ready()
    world.settings = replace(world.settings, instances=(instance_settings(bot, tmp_path),))
    assert bot.role("ACTIVE", 1).status == 200
    world.fill(4, 6)
    world.snapshot()
    outcome = world.stop()
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)
    assert outcome.state.step("halted").ms < 1500, outcome.state.as_json()
    assert outcome.state.step("halted").detail == f"{bot.name} halted"
    state = bot.state()
    assert state["role"] == "HALTED" and state["latched"]


def test_a_bot_that_hangs_is_ended(
    paper: PaperExchange, demo_stack: Stack, world_of: Callable[..., World], tmp_path: Path
):
    """It takes the connection and never answers, there is no supervisor: the exchange is flat, the writer unknown."""
    world = world_of()
    bot = demo_stack.instance(paper, name=f"{world.account}-blue-1", OPSC_ENVIRONMENT=world.account).ready()
    world.settings = replace(world.settings, instances=(instance_settings(bot, tmp_path),))
    world.fill(2, 3)
    world.snapshot()
    assert bot.process is not None
    bot.process.send_signal(signal.SIGSTOP)
    try:
        outcome = world.stop(SHORT)
    finally:
        bot.process.send_signal(signal.SIGCONT)
    assert outcome.outcome == "UNCONFIRMED", "nobody knows what it does when it wakes up"
    assert outcome.state.step("closed").status == "done" and outcome.state.step("cancelled").status == "done"
    assert outcome.state.remaining["writers"][0]["instance"] == bot.name


def test_new_orders_after_the_halt_end_the_slots(
    supervisor: Supervisor, supervised: Callable[..., World], halted, tmp_path: Path
):
    """Every instance says that it is halted, and still somebody writes: its word is not enough."""
    world = supervised("liar", instance_settings(halted, tmp_path))
    run_away(supervisor, world, "liar")
    # Its address is that of a system which is halted, its process is the one that has run away.
    liar = replace(world.settings.instances[0], url=halted.url, token_ref=world.settings.instances[1].token_ref)
    world.settings = replace(world.settings, instances=(liar,))
    world.snapshot()
    outcome = world.stop(FAST)
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)
    assert "new orders after the halt" in world.entries(outcome, "stopping_slots")[0]["why"]


def test_an_address_that_is_wrong_is_said(world_of: Callable[..., World], tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("t")
    wrong = InstanceSettings("wrong-1", "blue", "http://127.0.0.1:99999", f"file:{token}")
    missing = InstanceSettings("wrong-2", "green", "http://127.0.0.1:1", "file:/nowhere/token")
    outcome = world_of(wrong, missing).stop(replace(FAST, first_outcome=0.5, give_up=0.8))
    errors = {row["instance"]: row["error"] for row in outcome.state.remaining["writers"]}
    assert outcome.outcome == "UNCONFIRMED"
    assert "Port out of range" in errors["wrong-1"] and "/nowhere/token" in errors["wrong-2"]
