"""A trading system's database for tests: a role that owns a schema of its own, with thousands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg

from tests.services import services
from trading.database_copies import Copy, Kept
from trading.database_tools import Place

PASSWORD = "s3cret/with:signs@and%more"
QUOTED = "s3cret%2Fwith%3Asigns%40and%25more"
TRADES = 5_000
BOOK = f"""
CREATE TABLE book.trades (id bigserial PRIMARY KEY, at timestamptz NOT NULL, symbol text NOT NULL, pnl numeric NOT NULL,
    note text);
CREATE TABLE book.positions (symbol text PRIMARY KEY, size numeric NOT NULL);
CREATE TABLE book.fills (id bigserial PRIMARY KEY, trade bigint REFERENCES book.trades, size numeric);
CREATE INDEX ON book.trades (symbol, at);
CREATE TYPE book.side AS ENUM ('long', 'short');
CREATE VIEW book.winners AS SELECT * FROM book.trades WHERE pnl > 0;
INSERT INTO book.trades (at, symbol, pnl, note) SELECT now() - i * interval '1 minute', 'BTC', i % 7 - 3,
    E'line one\\nline two\\t\\\\. ' || i FROM generate_series(1, {TRADES}) i;
INSERT INTO book.positions VALUES ('BTC', 0.5), ('ETH', -2);
INSERT INTO book.fills (trade, size) SELECT i, 1 FROM generate_series(1, 1200) i;
"""
ROWS = {"trades": TRADES, "positions": 2, "fills": 1200}


@dataclass
class Book:
    """The schema ``book`` in a database of its own, as the trading system's role sees it."""

    name: str
    place: Place

    @property
    def url(self) -> str:
        """With the password."""
        return self.place.url

    def run(self, query: str) -> list[tuple]:
        """As the trading system."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(query)
            return found.fetchall() if found.description else []

    def admin(self, query: str, database: str = "") -> list[tuple]:
        """As the server's administrator."""
        return as_admin(query, database or self.name)

    def rows(self) -> dict[str, int]:
        """How many rows each table has now."""
        names = self.run("SELECT relname FROM pg_class WHERE relnamespace = 'book'::regnamespace AND relkind = 'r'")
        return {name: self.run(f"SELECT count(*) FROM book.{name}")[0][0] for (name,) in names}


def as_admin(query: str, database: str = "postgres") -> list[tuple]:
    """Run something as the administrator of the tests' server."""
    with psycopg.connect(services.postgres.url(database), autocommit=True) as connection:
        found = connection.execute(query)
        return found.fetchall() if found.description else []


@contextmanager
def making(*, may_create: bool = True) -> Iterator[Book]:
    """A role and a database that are gone afterwards."""
    name = f"book_{uuid4().hex[:8]}"
    right = "CREATEDB" if may_create else "NOCREATEDB"
    as_admin(f"CREATE ROLE {name} LOGIN NOSUPERUSER {right} PASSWORD '{PASSWORD}'")
    as_admin(f"CREATE DATABASE {name}")
    as_admin(f"CREATE SCHEMA book AUTHORIZATION {name}", name)
    url = f"postgresql://{name}:{QUOTED}@127.0.0.1:{services.postgres.port}/{name}"
    book = Book(name, Place(url, "book"))
    book.run(BOOK)
    try:
        yield book
    finally:
        for (other,) in as_admin(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'"):
            as_admin(f"DROP DATABASE {other} WITH (FORCE)")
        as_admin(f"DROP ROLE {name}")


def kept(copy: Copy, **changed: object) -> Kept:
    """A backup as the console remembers it."""
    return Kept(**{"path": copy.path, "size": copy.size, "sha256": copy.sha256, "rows": copy.rows, **changed})  # type: ignore[arg-type]


def reset(book: Book) -> None:
    """The schema as it was made."""
    book.admin(f"DROP SCHEMA IF EXISTS book CASCADE; CREATE SCHEMA book AUTHORIZATION {book.name}")
    book.run(BOOK)


def silent(percent: int, text: str) -> None:
    """Nobody listens to the progress."""


def folder_of(tmp_path: Path) -> Path:
    """Where the backups of a test go."""
    path = tmp_path / "backups"
    path.mkdir(exist_ok=True)
    return path
