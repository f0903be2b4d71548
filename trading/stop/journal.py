"""The journal of one stop: one JSON object a line, and what it says in sum. It is the record of the stop.

Each line is brought to the disk, by a thread of its own: a slow disk must not hold up a stop, nor end it.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from trading.stop.files import sync_folder
from trading.stop.summary import Step, StopState, summary

__all__ = [
    "Entry",
    "Journal",
    "Step",
    "StopState",
    "append",
    "give_reason",
    "latest",
    "make",
    "read",
    "summary",
    "write",
]

Entry = dict[str, Any]
CLOSE_SECONDS = 2.0
TAIL = 16 * 1024
"""Bytes at the end of a journal in which its last entries are."""
_END = None


class Journal:
    """Writes one journal. ``problem`` says why the file cannot be written; the entries are kept in memory then.

    ``drill`` marks every line; ``on_entry`` is called with each entry, in the thread that added it. ``earlier``: what
    the file holds already.
    """

    def __init__(
        self,
        path: Path,
        *,
        drill: bool = False,
        on_entry: Callable[[Entry], None] | None = None,
        earlier: Iterable[Entry] = (),
    ) -> None:
        self.path, self.drill, self.on_entry = path, drill, on_entry
        self.entries: list[Entry] = list(earlier)
        self.problem = ""
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="stop-journal", daemon=True)
        self._writer.start()

    def add(self, event: str, **fields: Any) -> Entry:
        """Add an entry; it is on the disk a moment later."""
        entry = make(event, drill=self.drill, **fields)
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> None:
        """Add an entry that was made before."""
        self.entries.append(entry)
        self._lines.put(_line(entry))
        if self.on_entry is not None:
            self.on_entry(entry)

    def close(self) -> None:
        """Wait until everything is on the disk, at most two seconds."""
        self._lines.put(_END)
        self._writer.join(CLOSE_SECONDS)

    def _write(self) -> None:
        named = False
        while (line := self._lines.get()) is not _END:
            lines, ends = [line], False
            while not self._lines.empty():
                more = self._lines.get()
                if more is _END:
                    ends = True
                    break
                lines.append(more)
            try:
                _append(self.path, b"".join(lines))
                if not named:
                    sync_folder(self.path.parent)
                    named = True
            except OSError as error:
                self.problem = f"the journal {self.path} cannot be written: {error.strerror}"
            if ends:
                return


def append(path: Path, event: str, *, drill: bool = False, **fields: Any) -> Entry:
    """Add an entry to a journal that another process may be writing; it is on the disk on return. Raises OSError."""
    entry = make(event, drill=drill, **fields)
    write(path, [entry])
    return entry


def write(path: Path, entries: Sequence[Entry], *, durable: bool = True) -> None:
    """Add entries to a journal; ``durable``: they are on the disk on return. Raises OSError."""
    _append(path, b"".join(_line(entry) for entry in entries), durable=durable)


def ended(path: Path) -> bool:
    """Whether the stop of a journal has ended, from its last lines. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return any(entry["event"] == "end" for entry in _parse(file.read()))


def make(event: str, *, drill: bool = False, at: float | None = None, **fields: Any) -> Entry:
    """An entry; ``at`` in seconds since 1970, now without it."""
    entry = {"at": round(time.time() if at is None else at, 4), "event": event, **fields}
    return entry | {"drill": True} if drill else entry


def read(path: Path) -> list[Entry]:
    """Every entry of a journal; what is no whole line, as after a power cut, is left out. Raises OSError."""
    return _parse(path.read_bytes())


def _parse(content: bytes) -> list[Entry]:
    found = []
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("event"), str) and isinstance(entry.get("at"), int | float):
            found.append(entry)
    return found


def latest(folder: Path) -> Path | None:
    """The newest journal of a folder of stops; None when there is none."""
    found = [(path.stat().st_mtime, path) for path in folder.glob("*.jsonl")]
    return max(found)[1] if found else None


def give_reason(folder: Path, stop_id: str, actor: str, reason: str) -> Entry:
    """Keep the reason of a stop that was pressed without one. Raises OSError."""
    return append(folder / f"{stop_id}.jsonl", "reason", actor=actor, reason=reason)


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False, default=str).encode() + b"\n"


def _append(path: Path, lines: bytes, *, durable: bool = True) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # the line before was cut off by a power cut
        os.write(descriptor, lines)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new and durable:
        sync_folder(path.parent)
