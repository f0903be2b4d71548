"""Nonces: strictly increasing for each signer, in all threads of a process and in all processes of a user.

The exchange takes a nonce once, and takes milliseconds since 1970 for it: two threads that both take the time collide.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from pathlib import Path

_lock = threading.Lock()
_last: dict[str, int] = {}


def following(signer: str) -> int:
    """The next nonce of a signer's address. Never waits: without its file it is unique in this process only."""
    with _lock:
        wanted = max(time.time_ns() // 1_000_000, _last.get(signer, 0) + 1)
        _last[signer] = _shared(signer, wanted)
        return _last[signer]


def _shared(signer: str, wanted: int) -> int:
    """``wanted``, or what follows the last one that another process took."""
    try:
        descriptor = os.open(_folder() / signer.lower(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return wanted
    try:
        # Without waiting: who holds it may hang, and an emergency stop must not hang with it.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        text = os.pread(descriptor, 32, 0)
        last = int(text) if text.strip().isdigit() else 0
        # A last one far in the future was written by a clock that was wrong; it must not be kept for ever.
        taken = max(wanted, last + 1) if last < wanted + 60_000 else wanted
        os.pwrite(descriptor, b"%-20d" % taken, 0)
        return taken
    except OSError:
        return wanted
    finally:
        os.close(descriptor)


def _folder() -> Path:
    """A folder of this user alone. Raises OSError when it is somebody else's."""
    folder = Path(tempfile.gettempdir()) / f"opsconsole-nonces-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's")
    return folder
