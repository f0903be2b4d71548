"""The database: the book of trades, positions and configurations in PostgreSQL, in a schema of its own.

Every statement is a transaction of its own and no lock is held between two, so that a restore of the tables gets its
turn at once. After a lost connection the next call makes a new one.
"""

import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from .schema import migrate

log = logging.getLogger("trading_system")
KEPT_TRADES = 50_000
KEPT_POSITIONS = 50_000
START_SECONDS = 10.0
RETRY_SECONDS = 0.25
# The server gives up before the caller does (records.py), so that an answer that comes late is never misread.
OPTIONS = "-c statement_timeout=1500 -c lock_timeout=1000 -c idle_in_transaction_session_timeout=5000"
COLUMNS = ("id", "at", "strategy", "symbol", "side", "size", "price", "pnl", "outcome")
# What trying again cannot mend: sign-in refused, no such database or role.
HOPELESS = ("authentication failed", "not permitted to log in", "does not exist", "permission denied", "pg_hba.conf")


class BookUnavailable(Exception):
    """The database did not do as asked; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed trade, or an order that failed (then without side, size, price and pnl). Amounts in coins and USD.

    `key` makes a repetition harmless: whoever does not know whether it was stored, stores it again.
    """

    key: uuid.UUID
    at: float
    strategy: str
    symbol: str
    outcome: str
    side: str | None = None
    size: Decimal | None = None
    price: Decimal | None = None
    pnl: Decimal | None = None


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """One position of a snapshot: signed size in coins, prices in USD."""

    symbol: str
    size: Decimal
    entry_price: Decimal
    mark_price: Decimal | None


@dataclass(frozen=True, slots=True)
class UsedConfig:
    """The configuration that an instance runs with."""

    revision: str
    version: str
    content: dict[str, Any]


class Book:
    """The book of one environment as one instance keeps it. Every method blocks: used from one worker thread only.

    Each raises BookUnavailable. `url_file` holds postgresql://…; it is read anew for each connection, so that a
    changed password needs no restart.
    """

    def __init__(self, url_file: Path, instance: str) -> None:
        self._url_file = url_file
        self._instance = instance
        self._connection: psycopg.Connection | None = None
        self._highest = 0

    def open(self, seconds: float = START_SECONDS) -> None:
        """Connects and brings the tables up to date; tries for `seconds` before it raises."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._migrate()
                return
            except BookUnavailable as error:
                if time.monotonic() > deadline or any(words in str(error) for words in HOPELESS):
                    raise
                log.warning("%s; trying again", error)
            time.sleep(RETRY_SECONDS)

    def add(self, trades: list[Trade]) -> None:
        """Stores trades that are not stored yet, in this order."""
        columns = [
            [trade.key for trade in trades],
            [self._instance] * len(trades),
            [_moment(trade.at) for trade in trades],
            *([getattr(trade, name) for trade in trades] for name in COLUMNS[2:]),
        ]
        with self._asked() as connection, connection.transaction():
            self._count_on(connection)
            rows = connection.execute(
                "INSERT INTO trades (key, instance, at, strategy, symbol, side, size, price, pnl, outcome)"
                " SELECT * FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::text[],"
                " %s::numeric[], %s::numeric[], %s::numeric[], %s::text[]) ON CONFLICT (key) DO NOTHING RETURNING id",
                columns,
            ).fetchall()
        self._highest = max([self._highest, *(row[0] for row in rows)])

    def snapshot(self, at: float, positions: list[HeldPosition], config: UsedConfig) -> None:
        """Keeps the positions as they are, and the configuration in use."""
        with self._asked() as connection, connection.transaction():
            connection.cursor().executemany(
                "INSERT INTO positions (at, instance, symbol, size, entry_price, mark_price)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [(_moment(at), self._instance, p.symbol, p.size, p.entry_price, p.mark_price) for p in positions],
            )
            connection.execute(
                "INSERT INTO config_revisions (revision, instance, version, content) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (revision) DO NOTHING",
                (config.revision, self._instance, config.version, Jsonb(config.content)),
            )

    def after(self, trade_id: int, limit: int) -> list[dict[str, Any]]:
        """This instance's first `limit` trades with an id above `trade_id`, oldest first; amounts are texts."""
        with self._asked() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(COLUMNS)} FROM trades WHERE instance = %s AND id > %s ORDER BY id LIMIT %s",
                (self._instance, trade_id, limit),
            ).fetchall()
        return [_plain(dict(zip(COLUMNS, row, strict=True))) for row in rows]

    def response_time(self) -> float:
        """Seconds that a read takes."""
        with self._asked() as connection:
            started = time.perf_counter()
            connection.execute("SELECT max(id) FROM trades").fetchone()
            return time.perf_counter() - started

    def check_writable(self) -> None:
        """Writes a trade and takes it back."""
        with self._asked() as connection, connection.transaction(force_rollback=True):
            connection.execute(
                "INSERT INTO trades (key, instance, at, strategy, symbol, outcome)"
                " VALUES (gen_random_uuid(), %s, now(), 'smoke', '-', 'failed')",
                (self._instance,),
            )

    def prune(self) -> None:
        """Forgets what is older than the last KEPT_TRADES trades and KEPT_POSITIONS positions."""
        with self._asked() as connection:
            for table, kept in (("trades", KEPT_TRADES), ("positions", KEPT_POSITIONS)):
                connection.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - %s", (kept,))

    def interrupt(self) -> None:
        """Breaks the connection from another thread: a call that hangs ends with BookUnavailable."""
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _count_on(self, connection: psycopg.Connection) -> None:
        """A restored book counts from where it was saved; whoever reads on after an id would miss the next trades.

        To be called in the transaction of the insert: having read the sequence holds off a restore until its end.
        """
        row = connection.execute("SELECT last_value FROM trades_id_seq").fetchone()
        if row is not None and row[0] < self._highest:
            log.warning("database: the book went back from trade %d to %d", self._highest, row[0])
            connection.execute("SELECT setval('trades_id_seq', %s)", (self._highest,))

    def _migrate(self) -> None:
        with self._asked() as connection:
            row = connection.execute("SELECT current_schema()").fetchone()
            if row is None or row[0] is None:
                raise BookUnavailable(f"{self._where()}: no schema of its search path exists; make one for its role")
            applied = migrate(connection)
        if applied:
            log.info("database: schema %s brought to version %d", row[0], applied[-1])

    @contextlib.contextmanager
    def _asked(self) -> Iterator[psycopg.Connection]:
        """The connection; whatever goes wrong with it becomes BookUnavailable, and a broken one is forgotten."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
        except psycopg.Error as error:
            if self._connection is not None and (self._connection.broken or self._connection.closed):
                self._connection = None
            raise BookUnavailable(f"{self._where()}: {_first_line(error)}") from error

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self._url(),
            autocommit=True,
            # A restore makes the tables anew: nothing may be remembered about the old ones.
            prepare_threshold=None,
            connect_timeout=2,
            options=OPTIONS,
            application_name=f"trading_system {self._instance}",
        )

    def _url(self) -> str:
        try:
            return self._url_file.read_text().strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text file"
            raise BookUnavailable(f"OPSC_DATABASE_URL_FILE: {self._url_file} cannot be read: {why}") from error

    def _where(self) -> str:
        """The database for a message: never its password."""
        try:
            parts = conninfo_to_dict(self._url())
        except psycopg.Error:
            return (
                f"OPSC_DATABASE_URL_FILE: {self._url_file} holds no address like postgresql://user:password@host/name"
            )
        host, port = parts.get("host") or "localhost", parts.get("port") or 5432
        return f"database {parts.get('dbname')} at {host}:{port} (named in {self._url_file})"


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    amounts = {name: None if row[name] is None else format(row[name], "f") for name in ("size", "price", "pnl")}
    return row | amounts | {"at": row["at"].timestamp()}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
