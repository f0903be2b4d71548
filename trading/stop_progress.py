"""Rings the pages that follow a running stop whenever its journal grows: in this process, without Valkey."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import UUID

from accounts.hub import ring_here
from trading.stop import tasks

LOOK_SECONDS = 0.25
FORGOTTEN_AFTER = 60
"""So many looks without anybody drawing the stop, and it is not looked at any more."""
_lock = threading.Lock()
_watched: dict[UUID, int] = {}
_paths: dict[UUID, Path] = {}
_pause = threading.Event()


def watch(stop: UUID, path: Path) -> None:
    """Look at a journal four times a second, as long as somebody draws its stop."""
    with _lock:
        begins = not _watched
        _watched[stop], _paths[stop] = FORGOTTEN_AFTER, path
    if begins:
        tasks.start(_look, name="stop-progress")


def _look() -> None:
    sizes: dict[UUID, int] = {}
    while True:
        _pause.wait(LOOK_SECONDS)
        with _lock:
            for stop in list(_watched):
                _watched[stop] -= 1
                if not _watched[stop]:
                    del _watched[stop], _paths[stop]
            if not _watched:
                return
            paths = dict(_paths)
        for stop, path in paths.items():
            try:
                size = path.stat().st_size
            except OSError:
                continue
            if sizes.get(stop, size) != size:
                ring_here(f"stop.{stop}")
            sizes[stop] = size
