"""Follow a stop that another process runs, and go on with it when that process is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from trading.stop import engine
from trading.stop import journal as journals
from trading.stop.engine import Outcome, Press, Pressed
from trading.stop.journal import Entry, StopState, summary
from trading.stop.plan import Timing
from trading.stop.settings import StopSettings

LOOK_SECONDS, TAKE_OVER_EVERY = 0.05, 0.5
SILENT_SECONDS = 12.0
"""A stop that runs writes at least every five seconds until it is flat: longer, and its process hangs."""
_pause = threading.Event()


def follow(
    settings: StopSettings,
    pressed: Pressed,
    *,
    on_entry: Callable[[Entry], None],
    enough: Callable[[str], bool] = lambda outcome: False,
    timing: Timing | None = None,
) -> Outcome:
    """Follow a joined stop to its end, or until ``enough`` says that its outcome is. Blocks.

    When its process dies, or says nothing any more, this one runs it on.
    """
    path, known, looked = settings.journal_path(pressed.id), 0, time.monotonic()
    heard = looked
    while True:
        entries: list[Entry] = []
        with suppress(OSError):
            entries = journals.read(path)
        for entry in entries[known:]:
            on_entry(entry)
        now = time.monotonic()
        heard, known = now if len(entries) > known else heard, max(known, len(entries))
        state = summary(entries)
        if entries and (not state.still_running or enough(state.outcome)):
            return Outcome(state.outcome, state)
        taken = None
        if now - looked > TAKE_OVER_EVERY:
            looked = now
            with suppress(OSError):
                taken = engine.take_over(settings)
        if taken is None and now - heard > SILENT_SECONDS and state.outcome != "FLAT":
            taken = _gone_on_with(pressed, state, entries)
        if taken is not None:
            skip = _After(len(entries), on_entry)
            return engine.run(settings, taken, on_entry=skip, timing=timing)
        _pause.wait(LOOK_SECONDS)


def _gone_on_with(pressed: Pressed, state: StopState, entries: list[Entry]) -> Pressed:
    """The stop as it was begun: a trading system that took its halt knows it by who pressed it, and why."""
    begun = Press(state.actor, state.via, state.reason, state.drill, pressed.id)
    return replace(pressed, press=begun, joined=False, taken_over=True, entries=entries)


class _After:
    """Passes entries on but for the first ones, which were told already."""

    def __init__(self, count: int, on_entry: Callable[[Entry], None]) -> None:
        self._left, self._on_entry = count, on_entry

    def __call__(self, entry: Entry) -> None:
        self._left -= 1
        if self._left < 0:
            self._on_entry(entry)
