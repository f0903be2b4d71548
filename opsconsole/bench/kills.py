"""kill -9 of the process that carries out a step: how long until another one has finished the step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsconsole.bench.bed import DEPLOY_SECONDS, Bed, unix_time, wait_for
from opsconsole.bench.figures import Figure, of_durations
from opsconsole.local.client import ConsoleError
from opsconsole.local.stack import CONSOLE

LIMIT_MS = 10_000.0
STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Point:
    """A crash point, and the step that it interrupts."""

    failpoint: str
    step: str
    near_hand_over: bool = False
    """Whether the kill falls between the hand-over and the new slot's first order."""


# Two kills a deployment, one before the promotion is complete, one afterwards: far enough apart that what the first
# one killed runs again.
PROMOTING = (
    Point("before-start_slot", "start_slot"),
    Point("after-smoke_test", "smoke_test"),
    Point("before-hand_over", "hand_over", True),
    Point("after-hand_over", "hand_over", True),
    Point("between-shift-and-commit", "shift_traffic", True),
    Point("after-activate", "activate", True),
)
WATCHING = (
    Point("before-watch", "watch"),
    Point("before-start_slot", "start_slot"),
    Point("after-start_slot", "start_slot"),
    Point("before-wait_healthy", "wait_healthy"),
    Point("after-wait_healthy", "wait_healthy"),
    Point("after-watch", "watch"),
)


def measure(bed: Bed, kills: int = 12) -> list[Figure]:
    """Kill ``kills`` times (at most twelve), two in each deployment of a good release, while requests come in."""
    seen = _Seen()
    pairs = list(zip(PROMOTING, WATCHING, strict=True))[: (kills + 1) // 2]
    with bed.requests() as stream:
        for number, pair in enumerate(pairs):
            if not _survives(bed, pair[: kills - 2 * number], seen):
                break  # the next deployment would be refused
    if sum(seen.died.values()) < len(seen.times):
        seen.wrong.append(
            f"{len(seen.times)} crash points were reached, but only {sum(seen.died.values())} processes died"
        )
    if stream.stats["failed"]:
        seen.wrong.append(
            f"{stream.stats['failed']} of {stream.stats['sent']} requests failed: {stream.stats['errors']}"
        )
    notes = {
        "killed": [f"{name} {count} times" for name, count in seen.died.items()],
        "crash points": [point.failpoint for pair in pairs for point in pair],
        "deployments stuck": seen.stuck,
        "requests sent": stream.stats["sent"],
        "requests failed": stream.stats["failed"],
    }
    title = "Recovery after kill -9 of the worker"
    return [of_durations("kills", title, seen.times, LIMIT_MS, notes=notes, wrong=seen.wrong)]


@dataclass(slots=True)
class _Seen:
    """What the kills did."""

    times: list[float] = field(default_factory=list)
    """Milliseconds of each recovery."""
    died: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    stuck: int = 0


def _survives(bed: Bed, points: Sequence[Point], seen: _Seen) -> bool:
    """One deployment with its kills; whether it ended."""
    try:
        found = _deploy(bed, points, seen)
    except ConsoleError as error:
        seen.stuck += 1
        seen.wrong.append(f"stuck after kills at {', '.join(point.failpoint for point in points)}: {error}")
        return False
    if found["status"] != "succeeded":
        seen.wrong.append(f"deployment {found['id']} is {found['status']}: {found['failure_reason']}")
    elif not any(point.near_hand_over for point in points):
        bed.undisturbed.append(found)
    return True


def _deploy(bed: Bed, points: Sequence[Point], seen: _Seen) -> dict[str, Any]:
    """One good deployment with a kill at each point; adds to what was seen."""
    release = bed.next_good()
    _wait_all_run(bed)
    deployment = 0
    for number, point in enumerate(points):
        if number:
            bed.console.wait(deployment, lambda found: found["status"] == "watching", timeout=STUCK_SECONDS)
            _wait_all_run(bed)
        before = _pids(bed)
        path = bed.failpoints / point.failpoint
        path.write_text("KILL")
        deployment = deployment or bed.deploy(release)
        _wait_reached(path)
        killed_at = time.time()
        recovered_at = _wait_recovered(bed, deployment, point, killed_at)
        seen.times.append((recovered_at - killed_at) * 1000)
        after = _pids(bed)
        who = [name for name in CONSOLE if after[name] != before[name]]
        seen.died |= {name: seen.died.get(name, 0) + 1 for name in who}
        bed.say(f"killed at {point.failpoint} ({', '.join(who) or 'nobody'}): recovered after {seen.times[-1]:.0f} ms")
    return bed.console.wait(deployment, timeout=DEPLOY_SECONDS)


def _wait_reached(path: Path) -> None:
    wait_for(f"reaching {path.name}", lambda: not path.exists(), STUCK_SECONDS, every=0.002)


def _wait_recovered(bed: Bed, deployment: int, point: Point, killed_at: float) -> float:
    """Unix time at which the interrupted step was finished; the watch, which waits by itself, when it went on."""
    if point.step == "watch":
        looks = attempts(bed.console.deployment(deployment), "watch")
        bed.console.wait(deployment, lambda found: attempts(found, "watch") > looks, timeout=STUCK_SECONDS)
        return time.time()
    finished: list[float] = []

    def reached(found: Mapping[str, Any]) -> bool:
        finished[:] = finished_after(found, point.step, killed_at)
        return bool(finished)

    bed.console.wait(deployment, reached, timeout=STUCK_SECONDS)
    return finished[0]


def attempts(found: Mapping[str, Any], step: str) -> int:
    """How often steps of this name were looked at."""
    return sum(row["attempts"] for row in found["steps"] if row["name"] == step)


def finished_after(found: Mapping[str, Any], step: str, moment: float) -> list[float]:
    """Unix times after ``moment`` at which steps of this name succeeded."""
    ends = (row["finished_at"] for row in found["steps"] if row["name"] == step and row["status"] == "succeeded")
    return [end for text in ends if text and (end := unix_time(text)) > moment]


def _pids(bed: Bed) -> dict[str, int | None]:
    return {name: bed.stack.console.pid(name) for name in CONSOLE}


def _wait_all_run(bed: Bed) -> None:
    """Until every process of the console runs: a kill is measured alone, not on top of the one before."""
    wait_for("the processes of the console", lambda: all(_pids(bed).values()), timeout=STUCK_SECONDS, every=0.1)
