"""Where checkpoints are kept outside the database: a file, and whatever a program of yours copies them to.

The file gets a line for each checkpoint that has new entries. The signature of an idle second only replaces the small
file ``latest`` beside it, so that quiet nights grow nothing. No Django and no database in here.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from audit.checkpoints import Statement

logger = logging.getLogger(__name__)

COMMAND_SECONDS = 10.0
TAIL_BYTES = 16_384
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


class CopyFile:
    """The file of checkpoints, one JSON line each, only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.latest = latest_beside(path)

    def append(self, statement: Statement) -> None:
        """Add a line and see it on the disk. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not self.path.exists()
        with self.path.open("ab+") as file:
            # A line that a crash tore off is ended, so that it does not swallow this one.
            torn = file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
            file.write((b"\n" if torn else b"") + statement.line().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self.path.parent)

    def last(self, is_good: Callable[[Statement], bool]) -> Statement | None:
        """The newest line that is a good statement; None without one. Reads the end of the file. Raises OSError."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        for line in reversed(lines):
            try:
                statement = Statement.parse(line)
            except ValueError:
                continue
            if is_good(statement):
                return statement
        return None

    def refresh(self, statement: Statement) -> None:
        """Replace the latest signature in one step. Raises OSError."""
        self.latest.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.latest.with_name(f".{self.latest.name}.new")
        with partial.open("w") as file:
            file.write(statement.line() + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.latest)


def latest_beside(path: Path) -> Path:
    """The file with the newest signature that belongs to a file of checkpoints."""
    return path.with_name(f"{path.stem}.latest.json")


class CopyCommand:
    """Runs a program for each checkpoint, one at a time and beside the work; only the newest waits.

    command: an absolute program and its arguments; it gets the checkpoint as one JSON line on its standard input.
    """

    def __init__(self, command: Sequence[str], seconds: float = COMMAND_SECONDS) -> None:
        self._command, self._seconds = [*command], seconds
        self._changed = threading.Condition()
        self._waiting: Statement | None = None
        self._failed: Statement | None = None
        self._stopped = False
        self.problem = ""
        """Why the newest checkpoint was not copied; empty when it was."""
        self._thread = threading.Thread(target=self._run, name="checkpoint-copy", daemon=True)
        self._thread.start()

    def put(self, statement: Statement) -> None:
        """Copy this checkpoint soon; returns at once."""
        with self._changed:
            self._waiting = statement
            self._changed.notify_all()

    def retry(self) -> None:
        """Try again when the last attempt failed and none is under way."""
        with self._changed:
            if self._failed is not None and self._waiting is None:
                self._waiting, self._failed = self._failed, None
                self._changed.notify_all()

    def stop(self) -> None:
        """End after what is under way and the newest checkpoint that waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(2 * self._seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._stopped)
                statement, self._waiting = self._waiting, None
            if statement is None:
                return
            problem = self._copy(statement)
            if problem and not self.problem:
                logger.warning("audit checkpoint %s was not copied: %s", statement.seq, problem)
            with self._changed:
                self.problem, self._failed = problem, statement if problem else None

    def _copy(self, statement: Statement) -> str:
        try:
            done = subprocess.run(
                self._command,
                input=statement.line().encode() + b"\n",
                env=ENVIRONMENT,
                cwd="/",
                capture_output=True,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{self._command[0]} did not end within {self._seconds:g} s"
        except OSError as error:
            return f"{self._command[0]} cannot be run: {error.strerror}"
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()[-300:].replace("\x00", "")
            return f"{self._command[0]} ended with status {done.returncode}: {words}"
        return ""


def _sync_folder(path: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
