"""A person at a terminal: a command on a pseudo terminal, read and typed to as it goes on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from tests.opsctl.conftest import PATIENCE, Shell

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a pseudo terminal of 110 x 40."""

    def __init__(self, shell: Shell, *arguments: str) -> None:
        self._side, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
        environ = {**shell.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"}
        streams = {"stdin": inner, "stdout": inner, "stderr": inner}
        self._process = subprocess.Popen(
            shell.command(*arguments),
            **streams,
            env=environ,
            cwd=shell.home,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # /dev/tty, where a passphrase is asked for
        )
        os.close(inner)
        self.raw = ""

    @property
    def text(self) -> str:
        """Everything written so far, without the codes that move and colour."""
        return ESCAPES.sub("", self.raw)

    def read_until(self, words: str) -> None:
        """Wait until it is written."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} never came: {self.text}"
            assert self._read(), f"it ended without {words!r}: {self.text}"

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._side, text.encode())

    def end(self) -> int:
        """Wait for its end; the exit code."""
        while self._read():
            pass
        os.close(self._side)
        return self._process.wait(timeout=PATIENCE)

    def _read(self) -> bool:
        if not select.select([self._side], [], [], PATIENCE)[0]:
            return False
        try:
            piece = os.read(self._side, 65_536)
        except OSError:  # the other side is closed
            return False
        self.raw += piece.decode(errors="replace")
        return bool(piece)
