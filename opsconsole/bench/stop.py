"""The emergency stop: how long until nothing is left at the exchange, beside what the bare SDK needs at least.

50 open orders and 10 positions on loopback. The floor is two parallel batches and one read with the bare SDK, on new
connections, taken in turn with our own in the same run: the ratio says what the stop adds, whatever the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import median

from opsconsole.bench.figures import Figure, of_durations, percentile
from opsconsole.bench.stop_bed import ENVIRONMENT, StopBed, running_stop_bed
from opsconsole.config import ROOT
from opsconsole.local.paths import LocalServiceError
from trading.stop import engine, journal
from trading.stop.engine import Outcome, Press
from trading.stop.plan import Timing

RATIO = 1.5
HALT_MS, FLAT_MS, COLD_MS = 1000.0, 5000.0, 2000.0
TURNS, SLOW_TURNS, LIVE_TURNS, COLD_TURNS = 30, 20, 5, 5
LATENCY_MS = 200
TIMING = Timing(rechecks=())


def measure() -> list[Figure]:
    """All figures of the stop. Raises LocalServiceError."""
    engine.preload()
    with running_stop_bed() as bed:
        live = [_live(bed) for _ in range(LIVE_TURNS)]
        near = [_turn(bed) for _ in range(TURNS)]
        bed.faults(latency_ms=LATENCY_MS)
        far = [_turn(bed) for _ in range(SLOW_TURNS)]
        bed.faults()
        cold = [_cold(bed) for _ in range(COLD_TURNS)]
        halts = [ms for outcome in live for ms in _halts(bed, outcome)]
    return [
        _ratio("loopback", near),
        _ratio(f"{LATENCY_MS} ms added", far),
        of_durations("stop", "Halt accepted by a system that trades", halts, HALT_MS, notes=_notes("flat, ms", live)),
        _flat(f"FLAT with {LATENCY_MS} ms added", [outcome for _, outcome in far]),
        of_durations("stop", "opsctl, cold start to first clean read", cold, COLD_MS, judged="max"),
    ]


def _turn(bed: StopBed) -> tuple[float, Outcome]:
    """The floor, then a stop; both on the same orders and positions."""
    bed.fill()
    floor = bed.floor()
    bed.fill()
    return floor, _stop(bed)


def _live(bed: StopBed) -> Outcome:
    """A stop of a trading system that trades at that moment."""
    bed.restart()
    bed.fill()
    return _stop(bed)


def _stop(bed: StopBed) -> Outcome:
    outcome = engine.run(bed.settings, engine.press(bed.settings, Press("bench", "opsctl", "bench")), timing=TIMING)
    if outcome.outcome != "FLAT":
        raise LocalServiceError(f"the stop ended {outcome.outcome}: {outcome.state.as_json()}")
    return outcome


def _cold(bed: StopBed) -> float:
    """Milliseconds from the start of the command to the first clean read."""
    bed.fill()
    file = str(bed.settings.folder / "settings.json")
    command = [
        sys.executable,
        "-m",
        "opsctl",
        "emergency-stop",
        ENVIRONMENT,
        "--settings",
        file,
        "--now",
        "--no-rechecks",
    ]
    began = time.time()
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LocalServiceError(f"opsctl emergency-stop ended with {done.returncode}: {done.stdout}{done.stderr}")
    return float(json.loads(done.stdout)["clean_at"] - began) * 1000


def _clean(outcome: Outcome) -> float:
    state = outcome.state
    return (float(state.clean_at or 0) - float(state.pressed_at or 0)) * 1000


def _flat_ms(outcome: Outcome) -> float:
    return float(outcome.state.step("flat").ms or 0)


def _halts(bed: StopBed, outcome: Outcome) -> list[float]:
    entries = journal.read(bed.settings.journal_path(outcome.state.id))
    pressed = float(outcome.state.pressed_at or 0)
    return [(entry["at"] - pressed) * 1000 for entry in entries if entry["event"] == "halt_accepted"]


def _notes(name: str, outcomes: list[Outcome]) -> dict[str, float]:
    return {name: round(median(_flat_ms(outcome) for outcome in outcomes))}


def _ratio(where: str, turns: list[tuple[float, Outcome]]) -> Figure:
    """First clean read as a multiple of the floor: the median of ours over the median of the floors."""
    floors, ours = [floor for floor, _ in turns], [_clean(outcome) for _, outcome in turns]
    found = median(ours) / median(floors)
    notes = {
        "floor, ms (p50, max)": [round(median(floors), 1), round(max(floors), 1)],
        "first clean read, ms (p50, p99, max)": [
            round(value, 1) for value in (median(ours), percentile(ours, 0.99), max(ours))
        ],
        "FLAT, ms (p50)": round(median(_flat_ms(outcome) for _, outcome in turns)),
    }
    title = f"First clean read over the floor, {where}"
    return Figure("stop", title, f"≤ {RATIO:g}", "×", len(turns), found <= RATIO, p50=found, notes=notes)


def _flat(title: str, outcomes: list[Outcome]) -> Figure:
    return of_durations("stop", title, [_flat_ms(outcome) for outcome in outcomes], FLAT_MS)
