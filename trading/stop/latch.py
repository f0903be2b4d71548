"""The latch: a file. While it is there, nothing may start or resume trading, whatever else was restarted."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from trading.stop.files import sync_folder, write_json

NAME = "latch.json"


@dataclass(frozen=True, slots=True)
class Latch:
    """Who engaged it. ``stop``: id of the stop; ``at``: seconds since 1970; ``problem``: why the file is unreadable."""

    stop: str
    environment: str
    at: float
    actor: str
    via: str = ""
    reason: str = ""
    drill: bool = False
    problem: str = ""


def engage(folder: Path, latch: Latch) -> Latch:
    """Ensure that the latch is engaged, and on the disk; the one that holds, which may be an earlier one.

    Raises:
        OSError: it could not be written.
    """
    before = read(folder)
    # A drill's latch gives way to a real one, never the other way round.
    if before is not None and not before.problem and (latch.drill or not before.drill):
        return before
    move(folder, latch)
    return latch


def move(folder: Path, latch: Latch) -> None:
    """Replace the latch, on the disk as well. Raises OSError."""
    write_json(folder / NAME, asdict(latch))


def read(folder: Path) -> Latch | None:
    """The latch that holds; None when there is none. A file that cannot be read holds, too."""
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return Latch("", folder.name, 0.0, "", problem=f"the latch cannot be read: {error}")
    try:
        found = json.loads(text)
        return Latch(**{**found, "at": float(found["at"])})
    except (ValueError, TypeError, KeyError) as error:
        return Latch("", folder.name, 0.0, "", problem=f"the latch is damaged: {error!r}")


def release(folder: Path) -> None:
    """Ensure that there is no latch, also after a power cut. Raises OSError."""
    with suppress(FileNotFoundError):
        (folder / NAME).unlink()
    if folder.is_dir():
        sync_folder(folder)
