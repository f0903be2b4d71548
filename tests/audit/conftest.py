"""A database of its own whose audit trail is protected as in production, and what chains and verifies it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit import trail
from audit.checkpoints import Signer, trusted_keys
from audit.copies import CopyFile, latest_beside
from audit.sequencer import Sequencer
from tests.services import services

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("audit_record", "audit_chain", "audit_checkpoint")
OPTIONS = "-c timezone=UTC -c datestyle=ISO,YMD"
INSERT = """
    INSERT INTO audit_record (uuid, at, actor_name, via, role, action, object_type, object_id, object_name,
        environment, outcome, reason, before, after, request_id, address)
    VALUES (%s, clock_timestamp(), %s, 'session', 'Admin', %s, 'deployment', %s, %s, 'production', 'done', %s, %s, %s,
        %s, '127.0.0.1') RETURNING id
"""


@dataclass(frozen=True)
class Protected:
    """A database with a protected trail, and the two who can sign in to it."""

    name: str

    @property
    def admin_url(self) -> str:
        return services.postgres.url(self.name)

    @property
    def console_url(self) -> str:
        return services.postgres.url(self.name, role="opsconsole")

    def admin(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.admin_url, options=OPTIONS, **options)

    def console(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.console_url, options=OPTIONS, **options)

    def env(self, **more: str) -> dict[str, str]:
        """What a command of the console needs to work with this database."""
        return {**os.environ, "DATABASE_URL": self.console_url, "DJANGO_SETTINGS_MODULE": "opsconsole.settings", **more}

    def manage(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(command, env=self.env(**more), capture_output=True, text=True, timeout=120, check=False)

    def empty(self) -> None:
        """Start over, as only a superuser can."""
        with self.admin() as database, triggers_off(database):
            database.execute(f"TRUNCATE {', '.join(TABLES)}, audit_pending, audit_verification")


@contextmanager
def triggers_off(database: psycopg.Connection[Any]) -> Iterator[None]:
    """As a superuser who wants to change records would begin."""
    for table in TABLES:
        database.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    yield
    for table in TABLES:
        database.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
        for what in ("change", "truncate"):
            database.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_refuse_{what}")
    database.execute("ALTER TABLE audit_record ENABLE ALWAYS TRIGGER audit_record_enqueue")


@pytest.fixture(scope="session")
def protected_database() -> Protected:
    """Migrated by the console's role, then protected by the administrator's, both by the command of the guide."""
    made = Protected("protected")
    services.postgres.ensure_database(made.name, owner="opsconsole")
    done = made.manage("protect_audit", "--migrate", "--verbosity", "0", DATABASE_ADMIN_URL=made.admin_url)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def protected(protected_database: Protected) -> Protected:
    """The same, with an empty trail."""
    protected_database.empty()
    return protected_database


def add_records(database: psycopg.Connection[Any], count: int, name: str = "Ada Admin") -> list[int]:
    """Add records as the console does, one statement each; their ids."""
    ids = []
    for number in range(count):
        after = json.dumps({"status": "running", "weight": 0.1 * number, "steps": [1, 2, {"done": None}], "n": number})
        values = (uuid.uuid4(), name, "deployment.started", number, f"v1.2.{number}", "Because", None, after, "r" * 32)
        row = database.execute(INSERT, values).fetchone()
        assert row is not None
        ids.append(row[0])
    return ids


@dataclass
class Chained:
    """A chain in the protected database with its key and its copy."""

    database: Protected
    sequencer: Sequencer
    copy: CopyFile
    key: Path

    def add(self, count: int) -> None:
        """Records, in the chain and signed."""
        with self.database.console(autocommit=True) as database:
            add_records(database, count)
            while self.sequencer.step(database):
                pass
            self.sequencer.checkpoint(database)

    def verify(self, database: psycopg.Connection[Any], **options: Any) -> trail.Result:
        """All that ``audit_verify`` looks at."""
        copies = [trail.Copy.of_file(self.copy.path), trail.Copy.of_file(latest_beside(self.copy.path), is_whole=False)]
        return trail.verify_trail(database, trusted_keys(self.key), copies, **options)


@pytest.fixture
def chained(protected: Protected, tmp_path: Path) -> Chained:
    """A chain without an entry."""
    key, copy = tmp_path / "audit" / "signing_key.pem", CopyFile(tmp_path / "audit" / "checkpoints.jsonl")
    return Chained(protected, Sequencer(Signer.of_file(key), copy), copy, key)


@pytest.fixture
def chain(chained: Chained) -> Callable[[int], Chained]:
    """A chain of so many records with a checkpoint for each twenty: ``chain(100)``."""

    def make(count: int) -> Chained:
        for _ in range(count // 20):
            chained.add(20)
        return chained

    return make
