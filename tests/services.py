"""Real Postgres and Valkey for the whole test run, on free ports and in a temporary folder.

A plugin (``-p tests.services``), because Django's settings need the addresses before any conftest is read.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import psycopg
import pytest

from opsconsole.local.ports import free_ports
from opsconsole.local.postgres import PostgresServer
from opsconsole.local.supervisor import Supervisor
from opsconsole.local.valkey import ValkeyServer


class Services:
    """The services of this run."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="opsconsole-tests-")
        root = Path(self._folder.name)
        ports = free_ports(2)
        self.postgres = PostgresServer(root / "postgres", ports[0])
        self.valkey = ValkeyServer(root / "valkey", ports[1])
        self.supervisor = Supervisor(root / "supervisor", "tests")
        self.var = root / "var"
        (self.var / "static").mkdir(parents=True)

    def start(self) -> None:
        """Start both and point Django's settings at them."""
        self.postgres.prepare()
        self.supervisor.up([self.postgres.program(), self.valkey.program()])
        self.postgres.wait_ready()
        self.valkey.wait_ready()
        # As in production the console is no superuser; only the tests' own database needs the right to be made.
        self.postgres.ensure_role("opsconsole", may_create_databases=True)
        self.postgres.ensure_database("opsconsole", owner="opsconsole")
        self._forget_power_cuts()
        os.environ.update(
            OPSC_SECRET_KEY=secrets.token_hex(32),
            DATABASE_URL=self.postgres.url("opsconsole", role="opsconsole"),
            REDIS_URL=self.valkey.url(),
            OPSC_HTTPS="false",
            OPSC_ALLOWED_HOSTS="127.0.0.1,localhost,testserver",
            OPSC_VAR=str(self.var),
        )

    def _forget_power_cuts(self) -> None:
        """Do nothing for a disk that outlives a power cut: what these tests leave behind is removed in the end."""
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            for name in ("fsync", "full_page_writes", "synchronous_commit", "wal_compression", "autovacuum"):
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop both and remove every file."""
        self.supervisor.shutdown()
        self.postgres.remove()
        self._folder.cleanup()


services = Services()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before pytest-django reads the settings."""
    services.start()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """After everything, the test database included."""
    services.stop()
