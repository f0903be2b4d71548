"""The only place where opsctl waits: the console tells a command line nothing by itself, so it is asked again."""

from __future__ import annotations

import time


def pause(seconds: float) -> None:
    """Wait before asking again."""
    time.sleep(max(0.0, seconds))


def now() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()
