"""Find and end the processes that belong to a supervisord, also when it is no longer there.

supervisord puts SUPERVISOR_SERVER_URL, which names its socket, into the environment of all it starts.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from opsconsole.local.paths import LocalServiceError

POLITE_SECONDS = 5.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Watched:
    """A process that cannot be mistaken for a later one with the same pid."""

    process: psutil.Process

    @classmethod
    def of_pid_file(cls, path: Path, argument: str) -> "Watched | None":
        """The process named by a pid file, when `argument` is on its command line; else None."""
        try:
            process = psutil.Process(int(path.read_text()))
            return cls(process) if argument in process.cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    @property
    def gone(self) -> bool:
        """True when it has ended; one that only waits for its parent to notice counts as ended."""
        try:
            return not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    @property
    def parent_pid(self) -> int | None:
        """The pid of its parent, None when it has ended."""
        try:
            return int(self.process.ppid())
        except psutil.NoSuchProcess:
            return None

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended; False when it has not after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.gone:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def kill(self) -> None:
        """SIGKILL, and wait for the end. Raises LocalServiceError when it does not end in 5 seconds."""
        self.send(signal.SIGKILL)
        if not self.wait(POLITE_SECONDS):
            raise LocalServiceError(f"process {self.process.pid} cannot be ended")

    def send(self, number: int) -> None:
        """Send a signal; harmless when the process has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)


def find(socket: Path) -> list[tuple[str, Watched]]:
    """The processes that the supervisord of this socket has started, and theirs: (program name, process)."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            env = process.environ() if process.pid not in mine else {}
        except (psutil.Error, OSError):
            continue
        if env.get("SUPERVISOR_SERVER_URL") == f"unix://{socket}":
            found.append((env.get("SUPERVISOR_PROCESS_NAME", ""), Watched(process)))
    return [(name, watched) for name, watched in found if not watched.gone]


def stop(socket: Path, stop_signals: Mapping[str, str]) -> None:
    """End all processes of the supervisord of this socket: first with each program's stop signal, then SIGKILL.

    stop_signals: program name to signal name, "TERM" where missing. Raises LocalServiceError when one survives.
    """
    found = find(socket)
    pids = {watched.process.pid for _, watched in found}
    # A program's own children are its to stop.
    heads = [(name, watched) for name, watched in found if watched.parent_pid not in pids]
    for name, watched in heads:
        watched.send(signal.Signals[f"SIG{stop_signals.get(name, 'TERM')}"])
        watched.send(signal.SIGCONT)
    deadline = time.monotonic() + POLITE_SECONDS
    for _, watched in heads:
        watched.wait(max(0.0, deadline - time.monotonic()))
    for _, watched in find(socket):
        watched.kill()
