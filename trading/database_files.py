"""Backups as files: written beside their place and renamed when complete, with a manifest, and removed when too old.

No Django.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trading.database_tools import ToolError

ENDING, PART, MANIFEST = ".dump", ".part", ".json"
SPARE_BYTES = 64 * 1024 * 1024
"""So much must be left on the disk besides the backup itself."""
_CHUNK = 1 << 20
Bytes = Callable[[int], None]
"""Told how many bytes are done."""


def folder(name: str) -> Path:
    """The folder of the backups, made (mode 700) when it is missing. Raises ToolError."""
    path = Path(name)
    if not path.is_absolute():
        raise ToolError(f"`database.folder` of the system definition must be an absolute path, not {name!r}.")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"The folder {path} for backups cannot be made: {error.strerror}.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ToolError(f"The folder {path} for backups cannot be written to by the console's workers.")
    return path


def refuse_full(path: Path, needed: int) -> None:
    """Raise ToolError when the disk of a folder has no room for ``needed`` bytes."""
    free = shutil.disk_usage(path).free
    if free < needed + SPARE_BYTES:
        raise ToolError(
            f"The disk of {path} has {in_words(free)} free; a backup may take {in_words(needed)} and should leave "
            f"{in_words(SPARE_BYTES)}. Make room, or lower `database.keep`. Nothing was written."
        )


def new_path(place: Path, environment: str, at: datetime | None = None) -> Path:
    """``production-20261123T140211Z.dump``; numbered when two are made within a second."""
    stem = f"{environment}-{(at or datetime.now(UTC)):%Y%m%dT%H%M%SZ}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    return next(path for name in names if not (path := place / f"{name}{ENDING}").exists())


def sweep(place: Path, environment: str) -> None:
    """Remove what a backup that was cut off left: only one runs in an environment at a time."""
    for path in place.glob(f"{environment}-*{ENDING}{PART}"):
        path.unlink(missing_ok=True)


class Writer:
    """A backup that is being written; it takes its name only when complete, and leaves nothing otherwise."""

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(path.name + PART)
        self.size, self._hash = 0, hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self._file = os.fdopen(os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise ToolError(f"{self.part} cannot be written: {error.strerror}.") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk refuses the last bytes, too
            self._file.close()
        self.part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """The next bytes. Raises ToolError when the disk is full or broken."""
        try:
            self._file.write(data)
        except OSError as error:
            raise ToolError(f"{self.part} cannot be written: {error.strerror}. Nothing was kept.") from None
        self._hash.update(data)
        self.size += len(data)

    def keep(self) -> str:
        """Bring it safely to the disk under its name; its SHA-256. Raises ToolError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self.part.rename(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise ToolError(f"{self.path} cannot be completed: {error.strerror}.") from None
        return self._hash.hexdigest()


def adopt(part: Path, path: Path) -> tuple[str, int]:
    """Give a file that an own command wrote its name; SHA-256 and size. Raises ToolError when there is none."""
    try:
        digest = sha256(part)
        size = part.stat().st_size
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o600)
        part.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ToolError(f"The own command ended well, but its file {part} cannot be kept: {error.strerror}.") from None
    if not size:
        path.unlink()
        raise ToolError(f"The own command ended well, but wrote an empty {part.name}. It was removed.")
    return digest, size


def sha256(path: Path, told: Bytes = lambda done: None) -> str:
    """The checksum of a file."""
    found, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            found.update(data)
            done += len(data)
            told(done)
    return found.hexdigest()


def refuse_changed(path: Path, size: int | None, digest: str, told: Bytes = lambda done: None) -> None:
    """Raise ToolError when a backup is gone, or is not what was written."""
    try:
        present = path.stat().st_size
        if size is not None and present != size:
            raise ToolError(
                f"{path} has {present:,} bytes, not the {size:,} that were written: it is damaged. Use another backup."
            )
        found = sha256(path, told)
    except OSError as error:
        raise ToolError(f"The backup {path} cannot be read: {error.strerror}. Use another one.") from None
    if found != digest:
        raise ToolError(
            f"{path} has the SHA-256 {found[:12]}…, not {digest[:12]}… as when it was written: it is damaged or was "
            "changed. Use another backup."
        )


def write_manifest(path: Path, facts: dict[str, Any]) -> None:
    """What a backup holds, as JSON beside it, for the day on which the console is gone, too."""
    beside, part = path.with_suffix(MANIFEST), path.with_suffix(MANIFEST + PART)
    try:
        part.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
        part.chmod(0o600)
        part.rename(beside)
    except OSError as error:
        raise ToolError(f"The manifest {beside} cannot be written: {error.strerror}.") from None


def remove(path: Path) -> None:
    """Remove a backup with its manifest; harmless when it is gone."""
    path.unlink(missing_ok=True)
    path.with_suffix(MANIFEST).unlink(missing_ok=True)


def in_words(size: float | None) -> str:
    """Bytes as ``812 B``, ``4.1 MB``."""
    if size is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
