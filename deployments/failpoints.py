"""Crash points for the chaos test: when the file ``<OPSC_FAILPOINTS>/<name>`` exists, this process dies or stops there.

Without the setting, ``reach`` does nothing. The file's text is the signal to send to ourselves: KILL or STOP.
"""

from __future__ import annotations

import os
import signal

from django.conf import settings


def reach(name: str) -> None:
    """Pass the crash point; each file is used once."""
    folder = settings.CONFIG.failpoints
    if folder is None:
        return
    path = folder / name
    try:
        text = path.read_text().strip()
        path.unlink()
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGSTOP if text == "STOP" else signal.SIGKILL)
