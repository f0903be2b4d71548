"""``opsctl emergency-stop`` with nothing else running: no console, no database, no Valkey."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opsctl.errors import Exit
from opsctl.output import Output
from opsctl.stop_lines import Lines
from tests.exchange.processes import PaperExchange, until
from tests.opsctl.conftest import ROOT, Shell
from tests.trading.stop.stop_world import World, make_world
from trading.stop import journal, latch, settings

FAST = "--no-rechecks"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    exchange = PaperExchange(tmp_path_factory.mktemp("paper")).start()
    yield exchange
    exchange.stop()


@pytest.fixture
def world(paper: PaperExchange, tmp_path: Path) -> Iterator[World]:
    """An account whose trading system is gone for good: what is left is the exchange."""
    yield make_world(paper, tmp_path)
    paper.heal()


def kept(world: World) -> str:
    return str(world.settings.folder / settings.NAME)


@pytest.fixture
def elsewhere(shell: Shell) -> Shell:
    """A shell whose every address of the console's services leads nowhere."""
    nowhere = {"OPSCTL_URL": "http://127.0.0.1:1", "DATABASE_URL": "postgresql://x:x@127.0.0.1:1/x"}
    shell.environ |= {**nowhere, "REDIS_URL": "redis://127.0.0.1:1/0"}
    return shell


def test_it_flattens_with_everything_else_dead(elsewhere: Shell, world: World):
    world.fill()
    world.snapshot()
    done = elsewhere.run("emergency-stop", "--settings", kept(world), "--now", FAST, "--reason", "feed lost")
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert world.left() == (0, 0)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Requested ") and f"emergency stop of {world.account}" in lines[0]
    said = "\n".join(lines)
    for words in (
        "Halt confirmed after",
        "50 cancels, 10 closes at up to 2%",
        "Cancelled after",
        "Closed after",
        "FLAT in",
    ):
        assert words in said, said
    assert said.index("Requested") < said.index("Cancelled") < said.index("FLAT in")
    held = latch.read(world.settings.folder)
    assert held is not None and "@" in held.actor and held.via == "opsctl" and held.reason == "feed lost"


def test_it_reads_nothing_of_the_console(world: World):
    arguments = ["emergency-stop", "--settings", kept(world), "--now", FAST]
    unwanted = {"django", "httpx", "rich", "asyncio", "celery", "redis", "psycopg", "websocket", "yaml"}
    code = f"import sys; from opsctl.cli import main; main({arguments!r})"
    code += f"; print('LOADED', sorted({unwanted!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "FLAT in" in done.stdout and done.stdout.splitlines()[-1] == "LOADED []", done.stdout + done.stderr


def test_the_document_for_scripts(elsewhere: Shell, world: World):
    world.fill(1, 1)
    found = elsewhere.json("emergency-stop", "--settings", kept(world), "--now", FAST)
    assert found["outcome"] == "FLAT" and [step["status"] for step in found["steps"]] == ["done"] * 5
    assert found["still_running"] is False


def test_what_is_left_is_said_line_by_line(capsys: pytest.CaptureFixture[str]):
    lines = Lines(Output(as_json=False), "production")
    left = {"orders": [], "positions": [{"coin": "SOL", "size": "-2"}]}
    entries = [
        {"at": 100.0, "event": "pressed", "id": "s"},
        {"at": 100.1, "event": "halt_refused", "instance": "blue-1", "error": "nobody listens there"},
        {
            "at": 100.2,
            "event": "round",
            "n": 0,
            "source": "read",
            "slippage": "0.25",
            "sent": {"cancels": 0, "closes": 1},
        },
        {"at": 100.3, "event": "read", "orders": 0, "positions": 1, "left": left, "errors": []},
        {"at": 103.0, "event": "stopping_slots", "why": "the halt was not confirmed in time"},
        {"at": 103.5, "event": "slot_failed", "instance": "blue-1", "error": "no answer"},
        {"at": 130.0, "event": "outcome", "outcome": "NOT_FLAT"},
    ]
    for entry in entries:
        lines.tell(entry)
    lines.end(journal.summary(entries))
    said = capsys.readouterr().out
    for words in (
        "blue-1 did not take the halt: nobody listens there",
        "Round 1: 0 cancels, 1 closes at up to 25%",
        "Cancelled after 0.30 s: 0 orders left.",
        "1 positions left after 0.30 s",
        "Ending the processes of the slots: the halt was not confirmed in time.",
        "blue-1: its process could not be ended: no answer",
        "NOT FLAT after 30.00 s. It goes on trying, for ten minutes.",
        "position SOL -2",
    ):
        assert words in said, said


def test_status_tells_the_latch_and_the_last_stop(elsewhere: Shell, world: World):
    arguments = ("emergency-stop", "--settings", kept(world), "--status")
    assert "is not engaged" in elsewhere.run(*arguments).stdout
    elsewhere.run("emergency-stop", "--settings", kept(world), "--now", FAST)
    done = elsewhere.run(*arguments)
    assert done.returncode == Exit.DONE and "KILL SWITCH ENGAGED" in done.stdout and "FLAT in" in done.stdout
    assert elsewhere.json(*arguments)["latch"]["via"] == "opsctl"


@pytest.mark.parametrize(("outcome", "code"), [("NOT_FLAT", Exit.NOT_FLAT), ("UNCONFIRMED", Exit.UNCONFIRMED)])
def test_exit_codes_of_a_stop_that_failed(elsewhere: Shell, world: World, outcome: str, code: Exit):
    pressed = world.press()
    assert pressed.lock is not None
    left = {"orders": [], "positions": [{"coin": "SOL", "size": "1"}]} if outcome == "NOT_FLAT" else {}
    counts = {"orders": 0, "positions": 1} if outcome == "NOT_FLAT" else {"orders": None, "positions": None}
    entries = [
        {"at": 1.0, "event": "read", "errors": [] if left else ["orders: no answer"], "left": left, **counts},
        {"at": 2.0, "event": "outcome", "outcome": outcome},
        {"at": 3.0, "event": "end"},
    ]
    with world.settings.journal_path(pressed.id).open("a") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in entries))
    done = elsewhere.run("emergency-stop", "--settings", kept(world), "--status")
    assert done.returncode == code
    assert ("position SOL 1" if outcome == "NOT_FLAT" else "not read: orders: no answer") in done.stdout


def test_a_drill_in_production_is_refused(elsewhere: Shell, world: World):
    settings.write(Path(kept(world)), replace(world.settings, kind="production"))
    done = elsewhere.run("emergency-stop", "--settings", kept(world), "--drill", "--now")
    assert done.returncode == Exit.USAGE and "is production" in done.stderr
    assert latch.read(world.settings.folder) is None


def test_a_drill_says_so(elsewhere: Shell, world: World):
    done = elsewhere.run("emergency-stop", "--settings", kept(world), "--drill", "--now", FAST)
    assert done.returncode == Exit.DONE and "DRILL: Requested" in done.stdout and "DRILL FLAT" in done.stdout


def test_without_a_terminal_it_wants_now(elsewhere: Shell, world: World):
    done = elsewhere.run("emergency-stop", "--settings", kept(world))
    assert done.returncode == Exit.USAGE and "Add --now" in done.stderr
    assert latch.read(world.settings.folder) is None


@pytest.mark.parametrize(("typed", "code"), [("STOP\n", Exit.DONE), ("stop\n", Exit.FAILED), ("\n", Exit.FAILED)])
def test_the_word_is_typed(elsewhere: Shell, world: World, typed: str, code: Exit):
    world.fill(1, 2)
    world.snapshot()
    ours, theirs = pty.openpty()
    command = elsewhere.command("emergency-stop", "--settings", kept(world), FAST)
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=elsewhere.home, env=elsewhere.environ
    )
    os.close(theirs)
    shown = b""
    while b"Type STOP" not in shown:
        shown += os.read(ours, 1000)
    assert b"2 orders and 1 positions" in shown
    os.write(ours, typed.encode())
    while True:
        try:
            shown += os.read(ours, 1000)
        except OSError:
            break
    os.close(ours)
    assert process.wait(20) == code, shown.decode()
    assert world.left() == ((0, 0) if code == Exit.DONE else (2, 1))


def test_a_second_press_from_another_shell_joins(elsewhere: Shell, world: World):
    world.fill(1, 1)
    world.exchange.faults(depth={"BTC": 0})
    first = elsewhere.start("emergency-stop", "--settings", kept(world), "--now", FAST)
    until(lambda: list(world.settings.folder.glob("*.jsonl")), "it has begun")
    second = elsewhere.start("emergency-stop", "--settings", kept(world), "--now", FAST)
    assert second.stdout is not None and "Joined" in second.stdout.readline()
    world.exchange.heal()
    assert first.wait(30) == second.wait(30) == Exit.DONE
    assert len(list(world.settings.folder.glob("*.jsonl"))) == 1


def places(world: World, home: Path) -> dict[str, Callable[[], dict[str, str]]]:
    """Where the settings may be, each with the variables that lead there."""
    own, var = home / ".config" / "opsctl", home / "var"

    def own_file() -> dict[str, str]:
        settings.write(own / "stop" / "production.json", replace(world.settings, environment="production"))
        return {}

    def named_folder() -> dict[str, str]:
        own.mkdir(parents=True)
        (own / "config.toml").write_text(f'stops = "{var / "stops"}"\n')
        return below_var()

    def below_var() -> dict[str, str]:
        settings.write(var / "stops" / "production" / settings.NAME, replace(world.settings, environment="production"))
        return {"OPSC_VAR": str(var)}

    return {
        "variable": lambda: {"OPSCTL_STOP_SETTINGS": kept(world)},
        "own": own_file,
        "config": lambda: {**named_folder(), "OPSC_VAR": ""},
        "var": below_var,
    }


@pytest.mark.parametrize("place", ["variable", "own", "config", "var"])
def test_where_the_settings_are_looked_for(elsewhere: Shell, world: World, place: str):
    variables = places(world, elsewhere.home)[place]()
    done = elsewhere.run("emergency-stop", "--status", **variables)
    assert done.returncode == Exit.DONE and "is not engaged" in done.stdout, done.stderr


def test_settings_that_are_missing_or_of_another_environment(elsewhere: Shell, world: World):
    done = elsewhere.run("emergency-stop", "--now")
    assert done.returncode == Exit.USAGE and "no settings of a stop for production" in done.stderr
    done = elsewhere.run("emergency-stop", "production", "--now", "--settings", kept(world))
    assert done.returncode == Exit.USAGE and f"is for {world.account}" in done.stderr
    done = elsewhere.run("emergency-stop", "--now", "--settings", "/nowhere.json")
    assert done.returncode == Exit.USAGE and "/nowhere.json cannot be read" in done.stderr
