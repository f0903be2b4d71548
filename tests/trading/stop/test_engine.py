"""Who runs a stop: the latch first, one runs it, others join, and somebody goes on when its process dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exchange.processes import until
from tests.trading.stop.stop_world import FAST, SHORT, World
from trading.stop import engine, following, journal, latch, settings
from trading.stop.engine import DrillRefused, Press
from trading.stop.tasks import Task

ROOT = Path(__file__).resolve().parents[3]
ELSEWHERE = """
import sys
from pathlib import Path
from trading.stop import engine, settings
found = settings.read(Path(sys.argv[1]))
engine.run(found, engine.press(found, engine.Press("other", "page", "elsewhere")))
"""


def elsewhere(world: World) -> subprocess.Popen[bytes]:
    """A stop in another process, which has begun."""
    path = world.settings.folder / settings.NAME
    process = subprocess.Popen([sys.executable, "-c", ELSEWHERE, str(path)], cwd=ROOT)
    until(lambda: journal.latest(world.settings.folder), "the other process has begun")
    return process


def test_a_second_press_joins(world: World):
    world.fill(2, 2)
    world.snapshot()
    pressed = world.press()
    assert not pressed.joined and latch.read(world.settings.folder) is not None
    running = Task(lambda: engine.run(world.settings, pressed, timing=FAST))
    second = engine.press(world.settings, Press("somebody else", "api"))
    assert second.joined and second.id == pressed.id
    state = running.result(20).state
    assert state.outcome == "FLAT"
    state = journal.summary(journal.read(world.settings.journal_path(pressed.id)))
    assert [(one["actor"], one["via"]) for one in state.joined] == [("somebody else", "api")]
    assert len(list(world.settings.folder.glob("*.jsonl"))) == 1


def test_a_press_after_the_end_is_a_stop_of_its_own(world: World):
    first = world.stop()
    world.fill(1, 1)
    again = world.press()
    assert not again.joined and again.id != first.state.id
    assert engine.run(world.settings, again, timing=FAST).outcome == "FLAT"
    assert world.left() == (0, 0)
    held = latch.read(world.settings.folder)
    assert held is not None and held.stop == first.state.id, "since the first press"


def test_a_drill_is_refused_in_production_and_marked_elsewhere(world: World):
    production = replace(world.settings, kind="production")
    with pytest.raises(DrillRefused, match="is production"):
        engine.press(production, Press("tester", "opsctl", drill=True))
    assert latch.read(production.folder) is None, "nothing was done"
    pressed = world.press(drill=True)
    outcome = engine.run(world.settings, pressed, timing=FAST)
    assert outcome.state.drill and outcome.outcome == "FLAT"
    assert all(entry["drill"] is True for entry in journal.read(world.settings.journal_path(pressed.id)))
    held = latch.read(world.settings.folder)
    assert held is not None and held.drill


def test_a_real_press_makes_a_drill_real(world: World):
    pressed = world.press(drill=True)
    second = engine.press(world.settings, Press("somebody", "page"))
    assert second.joined
    held = latch.read(world.settings.folder)
    assert held is not None and not held.drill and held.stop == pressed.id
    engine.run(world.settings, pressed, timing=FAST)
    assert not journal.summary(journal.read(world.settings.journal_path(pressed.id))).drill


def test_a_stop_whose_process_died_is_gone_on_with(world: World):
    world.exchange.faults(dead=["frontendOpenOrders"])  # so that it does not end meanwhile
    process = elsewhere(world)
    assert engine.take_over(world.settings) is None, "it is running"
    process.kill()
    process.wait(5)
    world.exchange.heal()
    world.fill(2, 3)
    pressed = engine.take_over(world.settings)
    assert pressed is not None and pressed.taken_over and pressed.press.actor == "other"
    outcome = engine.run(world.settings, pressed, timing=FAST)
    assert outcome.outcome == "FLAT" and outcome.state.id == pressed.id and world.left() == (0, 0)
    assert "another one took over" in " ".join(outcome.state.notes)
    assert engine.take_over(world.settings) is None, "it has ended"


def test_a_press_goes_on_with_a_dead_stop(world: World):
    world.exchange.faults(dead=["frontendOpenOrders"])
    process = elsewhere(world)
    process.kill()
    process.wait(5)
    world.exchange.heal()
    pressed = world.press()
    assert not pressed.joined and pressed.taken_over
    outcome = engine.run(world.settings, pressed, timing=FAST)
    assert outcome.outcome == "FLAT" and len(outcome.state.joined) == 1


def test_a_stop_that_died_long_ago_is_not_gone_on_with(world: World):
    pressed = world.press()
    assert pressed.lock is not None
    pressed.lock.close()
    path = world.settings.journal_path(pressed.id)
    old = [entry | {"at": entry["at"] - 1000} for entry in journal.read(path)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in old))
    assert engine.take_over(world.settings) is None
    assert journal.read(path)[-1]["event"] == "end"


def test_after_a_release_a_dead_stop_is_not_gone_on_with(world: World):
    pressed = world.press()
    assert pressed.lock is not None
    pressed.lock.close()
    latch.release(world.settings.folder)
    assert engine.take_over(world.settings) is None


def test_following_sees_the_end_and_takes_over_the_dead(world: World):
    world.exchange.faults(dead=["frontendOpenOrders"])
    process = elsewhere(world)
    told: list[str] = []
    pressed = world.press()
    assert pressed.joined
    follower = Task(
        lambda: following.follow(
            world.settings, pressed, on_entry=lambda entry: told.append(entry["event"]), timing=FAST
        )
    )
    until(lambda: "read" in told, "it follows")
    process.kill()
    process.wait(5)
    world.exchange.heal()
    assert follower.result(20).outcome == "FLAT"
    assert told.count("pressed") == 1 and told[-1] == "end" and "taken_over" in told


@pytest.mark.parametrize("after", ["pressed", "halt_accepted"])
def test_a_process_that_hangs_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch, after: str):
    monkeypatch.setattr(following, "SILENT_SECONDS", 0.5)
    world.fill(1, 1)
    world.exchange.faults(latency_ms=300)  # so that it is not flat before it hangs
    process = elsewhere(world)
    path = journal.latest(world.settings.folder)
    until(lambda: path and any(entry["event"] == after for entry in journal.read(path)), after)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        pressed = world.press()
        outcome = following.follow(world.settings, pressed, on_entry=lambda entry: None, timing=FAST)
    finally:
        process.kill()
        process.wait(5)
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)


def test_a_full_or_broken_disk_does_not_keep_it_from_stopping(world: World, tmp_path: Path):
    world.fill(2, 2)
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    world.settings = replace(world.settings, folder=blocked / "stops")
    pressed = world.press()
    assert not pressed.joined and "cannot be used" in pressed.problems[0]
    outcome = engine.run(world.settings, pressed, timing=FAST)
    assert outcome.outcome == "FLAT" and world.left() == (0, 0)
    assert not outcome.state.latched and any("cannot be written" in note for note in outcome.state.notes)


def test_a_key_that_is_missing_is_said_and_the_writer_is_halted(world: World):
    world.settings = replace(world.settings, exchange={**world.settings.exchange, "key": "file:/nowhere/key"})
    outcome = world.stop(replace(SHORT, first_outcome=0.5, give_up=1.0))
    assert outcome.outcome == "UNCONFIRMED" and outcome.state.step("halted").status == "done"
    assert "/nowhere/key" in outcome.state.notes[0]


def test_a_reason_may_follow(world: World):
    pressed = world.press(reason="")
    running = Task(lambda: engine.run(world.settings, pressed, timing=FAST))
    journal.give_reason(world.settings.folder, pressed.id, "tester", "loss of the price feed")
    running.result(20)
    assert journal.summary(journal.read(world.settings.journal_path(pressed.id))).reason == "loss of the price feed"


def test_the_latch_is_engaged_before_anything_else(world: World):
    began = time.monotonic()
    world.press()
    assert time.monotonic() - began < 0.5
    assert latch.read(world.settings.folder) is not None
