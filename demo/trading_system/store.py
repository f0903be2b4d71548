"""What survives a restart: the granted epoch, the halt, the emergency latch, and the book of trades."""

import json
import os
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KEPT_TRADES = 50_000


class StoreError(Exception):
    """A file of the state directory cannot be read or written; the text names it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What the instance may do: the highest epoch it was granted, and whether (and why) it is halted."""

    epoch: int = 0
    halted: bool = False
    breaker: dict[str, Any] | None = None


class AuthorityFile:
    """The authority and the latch, each in a file that is on the disk before a method returns."""

    def __init__(self, directory: Path) -> None:
        self._authority = directory / "authority.json"
        self._latch = directory / "latch.json"

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
        """The emergency latch {at, actor, reason}, or None. It is released by removing latch.json while stopped."""
        return _read(self._latch)

    def set_latch(self, latch: dict[str, Any]) -> None:
        """Latches durably. Raises StoreError."""
        _write(self._latch, latch)


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
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


class TradeBook:
    """The database: trades in SQLite. Used from one worker thread only."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "trades.sqlite3"
        self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=1.0)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS trades (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, strategy TEXT,"
            " symbol TEXT, side TEXT, size TEXT, price TEXT, pnl TEXT, outcome TEXT)"
        )
        self._connection.execute("DELETE FROM trades WHERE id <= (SELECT max(id) FROM trades) - ?", (KEPT_TRADES,))

    def add(self, at: float, trade: dict[str, str | None]) -> int:
        """Stores one trade {strategy, symbol, side, size, price, pnl, outcome}; answers its id."""
        cursor = self._connection.execute(
            "INSERT INTO trades (at, strategy, symbol, side, size, price, pnl, outcome)"
            " VALUES (:at, :strategy, :symbol, :side, :size, :price, :pnl, :outcome)",
            {"at": at, **trade},
        )
        return int(cursor.lastrowid or 0)

    def after(self, trade_id: int, limit: int) -> list[dict[str, Any]]:
        """The first `limit` trades with an id above `trade_id`, oldest first."""
        columns = ("id", "at", "strategy", "symbol", "side", "size", "price", "pnl", "outcome")
        rows = self._connection.execute(
            f"SELECT {', '.join(columns)} FROM trades WHERE id > ? ORDER BY id LIMIT ?", (trade_id, limit)
        )
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def response_time(self) -> float:
        """Seconds that a read takes. Raises sqlite3.Error when the database does not answer."""
        started = time.perf_counter()
        self._connection.execute("SELECT max(id) FROM trades").fetchone()
        return time.perf_counter() - started

    def check_writable(self) -> None:
        """Takes and gives back the write lock. Raises sqlite3.Error."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()
