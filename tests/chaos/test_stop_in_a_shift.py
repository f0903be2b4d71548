"""The kill switch pressed while a deployment hands over: real processes, and then a restart of everything."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from opsconsole.local.client import Console, ConsoleError
from opsconsole.local.stack import Stack

PLACE = "environments/production/"
BOUNDARY = "before-shift_traffic"
"""The old slot gave the trading role back, the requests still go to it."""


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_the_stop_wins_the_rollback_works_and_the_latch_outlives_everything(stack: Stack, failpoints: Path) -> None:
    console = Console.as_role(stack.url, stack.keys)
    before = _live(console)
    deployment = _deploy(console, "v1.2.4" if before == "v1.2.5" else "v1.2.5")
    (failpoints / BOUNDARY).write_text("STOP")
    worker = _until(lambda: _stopped(stack), "a worker stands in the middle of the hand-over")
    pressed = console.post(f"{PLACE}emergency-stop/", {"reason": "Pressed in a shift"})
    stop = _until(lambda: _outcome(console, pressed["id"]), "the stop says how it ended")
    worker.send_signal(signal.SIGCONT)

    ended = console.wait(deployment)
    assert stop["outcome"] == "FLAT"
    assert (ended["status"], _live(console)) == ("rolled_back", before), ended["failure_reason"]
    assert "kill switch" in ended["failure_reason"]
    assert _roles(console) <= {"HALTED", "STANDBY", ""}, "nothing trades"
    _refuses_to_trade(console)

    stack.stop()
    stack.start(lambda text: None)
    assert (stack.var / "stops/production/latch.json").is_file()
    assert _until(lambda: _roles(console) - {""}, "the instances are seen again") <= {"HALTED", "STANDBY"}
    _refuses_to_trade(console)


def _deploy(console: Console, release: str) -> int:
    console.write_reports("production")
    body = {"environment": "production", "release": release, "strategy": "blue_green", "reason": "Ends in a stop"}
    return int(console.post("deployments/", {**body, "override_reason": "The faults before it shut the gate."})["id"])


def _live(console: Console) -> str:
    found = console.get(PLACE)
    return next(str(slot["version"]) for slot in found["slots"] if slot["name"] == found["live_slot"])


def _roles(console: Console) -> set[str]:
    slots = console.get(PLACE)["slots"]
    return {instance["health"]["role"] for slot in slots for instance in slot["instances"] if instance["health"]}


def _stopped(stack: Stack) -> psutil.Process | None:
    """The worker that a crash point stopped."""
    found = (psutil.Process(info.pid) for info in stack.console.status().values() if info.pid)
    return next((one for one in found if one.status() == psutil.STATUS_STOPPED), None)


def _outcome(console: Console, stop_id: str) -> dict[str, Any] | None:
    found: dict[str, Any] = console.get(f"emergency-stops/{stop_id}/")
    return found if found["outcome"] else None


def _refuses_to_trade(console: Console) -> None:
    for path, body in (
        ("clearances/", {"kind": "resume", "environment": "production", "reason": "Too early"}),
        ("deployments/", {"environment": "production", "release": "v1.2.4", "strategy": "blue_green", "reason": "No"}),
    ):
        with pytest.raises(ConsoleError, match="kill switch"):
            console.post(path, body)


def _until(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return found
