"""The kill switch: latch first, then one process runs the stop, and whoever presses again joins it."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from trading.stop import journal as journals
from trading.stop import latch as latches
from trading.stop.journal import Entry, Journal, StopState, summary
from trading.stop.latch import Latch
from trading.stop.plan import Timing
from trading.stop.runner import Runner
from trading.stop.settings import PRODUCTION, StopSettings
from trading.stop.tasks import Task

NOT_STATED = "Not stated yet"
FILES_SECONDS = 2.0
"""So long a press waits for the disk; then it goes on without it."""
JOIN_SECONDS, JOIN_PAUSE = 1.5, 0.01
TAKE_OVER_SECONDS = 900.0
"""A stop whose process died longer ago than this is not gone on with: people have taken over by then."""

SWITCH_SECONDS = 0.0005
"""So long a thread may compute while others wait, during a stop: ten times less than usual."""
_usual_interval = sys.getswitchinterval()
_pause = threading.Event()


class DrillRefused(Exception):
    """A drill does what a stop does: there is none in production."""


@dataclass(frozen=True, slots=True)
class Press:
    """Who wants to stop, and how. ``via``: page, api, opsctl or monitor. ``id``: of the stop, if it begins one."""

    actor: str
    via: str
    reason: str = ""
    drill: bool = False
    id: str = ""


@dataclass(slots=True)
class Pressed:
    """What a press came to. Not ``joined``: whoever pressed must call ``run`` with it.

    ``taken_over``: it goes on with a stop whose process died. ``problems``: what could not be written, in words.
    """

    id: str
    joined: bool
    at: float
    press: Press
    taken_over: bool = False
    problems: tuple[str, ...] = ()
    entries: list[Entry] = field(default_factory=list, repr=False)
    unwritten: list[Entry] = field(default_factory=list, repr=False)
    lock: IO[bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stop ended: FLAT, NOT_FLAT or UNCONFIRMED, and all that is known of it."""

    outcome: str
    state: StopState


def press(settings: StopSettings, wanted: Press) -> Pressed:
    """Engage the latch, then join the stop that runs, or become the one that runs it.

    Returns within two seconds, also when the disk hangs or is full: a stop without its files is better than none.

    Raises:
        DrillRefused: a drill in production.
    """
    if wanted.drill and settings.kind == PRODUCTION:
        raise DrillRefused(f"{settings.environment} is production, where a drill would stop trading: there is none")
    pressed = Pressed(wanted.id or str(uuid.uuid4()), joined=False, at=time.time(), press=wanted)
    try:
        return Task(lambda: _press(settings, pressed), "stop-press").result(FILES_SECONDS)
    except (OSError, TimeoutError) as error:
        alone = Pressed(pressed.id, joined=False, at=pressed.at, press=wanted)
        return _alone(settings, alone, f"the folder {settings.folder} cannot be used: {error}")


def run(
    settings: StopSettings,
    pressed: Pressed,
    *,
    on_entry: Callable[[Entry], None] | None = None,
    timing: Timing | None = None,
) -> Outcome:
    """Run a stop to its end: with the last re-check after FLAT, else after ten minutes. Blocks.

    Args:
        on_entry: called with each entry of the journal as it is added.
    """
    path = settings.journal_path(pressed.id)
    journal = Journal(path, drill=pressed.press.drill, on_entry=on_entry, earlier=pressed.entries)
    if on_entry is not None:
        for entry in pressed.entries:
            on_entry(entry)
    for entry in pressed.unwritten:
        journal.put(entry)
    who = {"actor": pressed.press.actor, "reason": pressed.press.reason or NOT_STATED}
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        runner = Runner(settings, pressed.id, who, journal, timing or Timing(rechecks=settings.rechecks))
        runner.disk_works = pressed.lock is not None
        outcome = runner.run()
        journal.close()
        return Outcome(outcome, summary(_all_entries(journal)))
    finally:
        sys.setswitchinterval(_usual_interval)
        if pressed.lock is not None:
            pressed.lock.close()


def _all_entries(journal: Journal) -> list[Entry]:
    """What the file holds, with what others added; what is in memory when it could not be written."""
    with suppress(OSError):
        written = journals.read(journal.path)
        if not journal.problem and journal.entries[-1] in written:
            return written
    return [*journal.entries, journals.make("note", text=journal.problem or "the journal could not be read again")]


def preload() -> None:
    """Import now what a stop imports when it needs it (0.5 s): for a process in which a press must find it loaded."""
    from environments.drivers import supervisord  # noqa: F401
    from trading.exchange import open as opening

    opening.preload()


def take_over(settings: StopSettings) -> Pressed | None:
    """A stop whose process died, to go on with: call ``run`` with it. None when there is none, or somebody runs it.

    Raises:
        OSError: the folder cannot be used.
    """
    if not settings.lock_path.exists():
        return None
    lock = _lock(settings)
    if lock is None:
        return None
    pressed = _unfinished(settings, lock)
    if pressed is None:
        lock.close()
    return pressed


def _press(settings: StopSettings, pressed: Pressed) -> Pressed:
    wanted, problem = pressed.press, ""
    latch = Latch(
        pressed.id, settings.environment, pressed.at, wanted.actor, wanted.via, wanted.reason, drill=wanted.drill
    )
    try:
        engaged = latches.engage(settings.folder, latch)
    except OSError as error:
        problem = f"the latch cannot be written: {error.strerror}"
    deadline = time.monotonic() + JOIN_SECONDS
    while (lock := _lock(settings)) is None:
        # Held by a stop that runs. One that has just begun did not write its id yet, one that has just ended still
        # holds the lock for a moment: that one must not be joined.
        running = _running(settings)
        if running:
            if not problem and engaged is latch:
                latches.move(settings.folder, replace(latch, stop=running))
            _say_joined(settings, running, wanted)
            return Pressed(running, joined=True, at=pressed.at, press=wanted)
        if time.monotonic() > deadline:
            return _alone(settings, pressed, "the lock is held by a process that runs no stop")
        _pause.wait(JOIN_PAUSE)
    found = _unfinished(settings, lock)
    if found is not None:
        _say_joined(settings, found.id, wanted)
        return found
    pressed.lock = lock
    pressed.entries = _first_entries(settings, pressed, problem)
    _keep_id(lock, pressed.id)
    # The latch is on the disk; these lines outlive this process now, and a power cut with the first of ``run``.
    journals.write(settings.journal_path(pressed.id), pressed.entries, durable=False)
    return pressed


def _alone(settings: StopSettings, pressed: Pressed, problem: str) -> Pressed:
    """It runs without the lock: two that stop the same do no harm, none that stops would."""
    pressed.problems = (problem,)
    pressed.unwritten = [*_first_entries(settings, pressed, problem), journals.make("note", text=problem)]
    return pressed


def _running(settings: StopSettings) -> str:
    """The id of the stop whose process holds the lock; empty when it has not begun, or has ended."""
    with settings.lock_path.open("rb") as file:
        stop_id = _read_id(file)
    path = settings.journal_path(stop_id)
    return stop_id if stop_id and path.is_file() and summary(journals.read(path)).still_running else ""


def _say_joined(settings: StopSettings, stop_id: str, wanted: Press) -> None:
    fields = {"actor": wanted.actor, "via": wanted.via, "reason": wanted.reason}
    with suppress(OSError):
        journals.append(settings.journal_path(stop_id), "joined", drill=wanted.drill, **fields)


def _unfinished(settings: StopSettings, lock: IO[bytes]) -> Pressed | None:
    """The stop that the last holder of the lock did not end; None when there is none, or it is too long ago."""
    stop_id = _read_id(lock)
    path = settings.journal_path(stop_id)
    if not stop_id or not path.is_file() or journals.ended(path):
        return None
    entries = journals.read(path)
    state = summary(entries)
    if not state.still_running:
        return None
    if latches.read(settings.folder) is None or time.time() - (state.pressed_at or 0) > TAKE_OVER_SECONDS:
        journals.append(path, "end", drill=state.drill, why="the process that ran it died, and nobody went on with it")
        return None
    entries.append(journals.append(path, "taken_over", drill=state.drill, pid=os.getpid()))
    wanted = Press(state.actor, state.via, state.reason, state.drill, stop_id)
    at = state.pressed_at or time.time()
    return Pressed(stop_id, joined=False, at=at, press=wanted, taken_over=True, entries=entries, lock=lock)


def _lock(settings: StopSettings) -> IO[bytes] | None:
    """The lock of the process that runs the stop; None when another one holds it. Raises OSError."""
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(settings.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _keep_id(lock: IO[bytes], stop_id: str) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(stop_id.encode())


def _read_id(lock: IO[bytes]) -> str:
    lock.seek(0)
    text = lock.read(200).decode(errors="replace").strip()
    return text if Path(text).name == text else ""


def _first_entries(settings: StopSettings, pressed: Pressed, problem: str) -> list[Entry]:
    wanted = pressed.press
    entry = journals.make(
        "pressed",
        at=pressed.at,
        drill=wanted.drill,
        id=pressed.id,
        environment=settings.environment,
        kind=settings.kind,
        actor=wanted.actor,
        via=wanted.via,
        reason=wanted.reason,
        instances=[one.name for one in settings.instances],
    )
    return [entry, journals.make("latched", drill=wanted.drill, ok=not problem, problem=problem)]
