"""What survives a restart on this host: the granted epoch, the halt, the emergency latch, strategies switched off."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class StoreError(Exception):
    """A file of the state directory cannot be read or written; the text names it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What the instance may do: the highest epoch it was granted, and whether (and why) it is halted."""

    epoch: int = 0
    halted: bool = False
    breaker: dict[str, Any] | None = None


class AuthorityFile:
    """The authority, the latch and the switches, each in a file that is on the disk before a method returns."""

    def __init__(self, directory: Path) -> None:
        self._authority = directory / "authority.json"
        self._latch = directory / "latch.json"
        self._switches = directory / "strategies.json"

    def read(self) -> Authority:
        """The stored authority, or epoch 0. Raises StoreError on a damaged file: guessing would break the fence."""
        raw = _read(self._authority)
        try:
            return Authority(int(raw["epoch"]), bool(raw["halted"]), raw["breaker"]) if raw else Authority()
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self._authority} is damaged ({error!r}); restore it before starting") from error

    def write(self, authority: Authority) -> None:
        """Stores the authority durably. Raises StoreError."""
        _write(self._authority, asdict(authority))

    def latch(self) -> dict[str, Any] | None:
        """The emergency latch {at, actor, reason}, or None. Raises StoreError on a damaged file."""
        return _read(self._latch)

    def set_latch(self, latch: dict[str, Any]) -> None:
        """Latches durably. Raises StoreError."""
        _write(self._latch, latch)

    def clear_latch(self) -> None:
        """Removes the latch durably; harmless when there is none. Raises StoreError."""
        try:
            self._latch.unlink(missing_ok=True)
            _sync(self._latch.parent)
        except OSError as error:
            raise StoreError(f"{self._latch} cannot be removed: {error.strerror}") from error

    def switched_off(self) -> dict[str, Any]:
        """Strategies that a person switched off, by name: {at, actor, reason}. Raises StoreError."""
        return _read(self._switches) or {}

    def set_switched_off(self, switches: dict[str, Any]) -> None:
        """Keeps them durably. Raises StoreError."""
        _write(self._switches, switches)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} is damaged: not a JSON object")
    return value


def _write(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
