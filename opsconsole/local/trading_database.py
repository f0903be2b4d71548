"""The trading side's own PostgreSQL: the book of each environment, in a database that no other environment can enter.

A second server under the supervisor of the trading hosts: the console's may be gone without trading taking notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from environments.drivers.program import Program
from opsconsole.local.paths import write_private
from opsconsole.local.postgres import PostgresServer

PROGRAM = "trading-postgres"
SCRATCH = "_verify"


class TradingDatabase:
    """The server, and for each environment a role, a database and a schema of one name: `paper_<environment>`.

    data_dir: where the server's data shall be. urls: folder for the files with the addresses (mode 600), which the
    trading system and the console read: one for each environment, `<environment>.url`.
    """

    def __init__(self, data_dir: Path, port: int, urls: Path) -> None:
        self.server = PostgresServer(data_dir, port, name=PROGRAM)
        self.urls = urls

    def prepare(self) -> list[str]:
        """See `PostgresServer.prepare`: create the cluster the first time. Raises LocalServiceError."""
        return self.server.prepare()

    def program(self) -> Program:
        """The process for the supervisor; call `prepare` first."""
        return self.server.program()

    def url_file(self, environment: str) -> Path:
        """Where the address of an environment's book is; `ensure` writes it."""
        return self.urls / f"{environment}.url"

    def ensure(self, environments: Sequence[str]) -> None:
        """Wait for the server, then bring about what is missing for these environments. Raises LocalServiceError."""
        self.server.wait_ready()
        self.urls.mkdir(parents=True, exist_ok=True, mode=0o700)
        for environment in environments:
            write_private(self.url_file(environment), ensure_book(self.server, book_name(environment)))

    def remove(self) -> None:
        """Delete the data and the passwords. Stop the server first."""
        self.server.remove()


def book_name(environment: str) -> str:
    """The name of an environment's role, database and schema."""
    return f"paper_{environment.replace('-', '_')}"


def ensure_book(server: PostgresServer, name: str, *, scratch: bool = True) -> str:
    """Ensure role, database, schema and scratch database of one book; the address with which its role signs in.

    The role owns nothing but its schema. It may make schemas in its two databases, so that a restore can drop the
    schema and make it again, and a backup can be tried out in the scratch database. Raises psycopg.Error.
    """
    server.ensure_role(name)
    for database in (name, name + SCRATCH) if scratch else (name,):
        server.ensure_database(database)
        with psycopg.connect(server.url(database), autocommit=True, connect_timeout=5) as connection:
            # A role that nobody named may not even connect: staging never sees the book of production.
            for statement in (
                "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
                "GRANT CONNECT, CREATE ON DATABASE {database} TO {role}",
                "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            ):
                connection.execute(
                    sql.SQL(statement).format(database=sql.Identifier(database), role=sql.Identifier(name))
                )
            if database == name:
                connection.execute(
                    sql.SQL("CREATE SCHEMA IF NOT EXISTS {0} AUTHORIZATION {0}").format(sql.Identifier(name))
                )
    return server.url(name, role=name)
