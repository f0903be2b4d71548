"""The audit trail: how many records a second it takes, how far the chain lags behind, and how fast it is verified.

On a Postgres of its own with the real sequencer process and a protected trail. Each record is a transaction of its own,
with fsync, as an act of a person is; ``pgbench`` sends them, so that what is measured is the trail and not the sender.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from environments.drivers.program import Program
from opsconsole.bench.figures import Figure, of_durations
from opsconsole.config import ROOT
from opsconsole.local.paths import LocalServiceError
from opsconsole.local.ports import free_ports
from opsconsole.local.postgres import PostgresServer
from opsconsole.local.postgres_home import settle
from opsconsole.local.supervisor import Supervisor

INSERTS, VERIFIED = 5_000, 25_000
"""The goals: records a second."""
LAG_MS = 500.0
SECONDS = 10
CLIENTS = 16
BULK = 200_000
"""Records that are added at once before verifying."""
EVERY = 0.05
"""Seconds between two looks at the oldest record that waits."""
RECORD = """
INSERT INTO audit_record (uuid, at, actor_name, via, role, action, object_type, object_id, object_name, environment,
    outcome, reason, before, after, request_id, address)
SELECT gen_random_uuid(), statement_timestamp(), 'Person ' || n % 50, 'session', 'Admin', 'deployment.act' || n % 30,
    'deployment', (n % 5000)::text, 'v1.2.' || n % 9 || ' to v1.3.0', (ARRAY['production', 'staging', ''])[n % 3 + 1],
    CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'done' END, 'Better threshold for strategy ' || n % 100,
    jsonb_build_object('status', 'running', 'weight', n % 100),
    jsonb_build_object('status', 'held', 'weight', n % 100, 'share', 0.25, 'steps', ARRAY[1, 2, 3]),
    md5(n::text), '10.0.0.' || n % 250
FROM {source}
"""
ONE = "\\set n random(1, 100000000)\n" + RECORD.format(source="(SELECT :n::bigint AS n) one").replace("\n", " ") + ";\n"


@dataclass(frozen=True)
class Trail:
    """A running database with a protected trail and its sequencer."""

    folder: Path
    postgres: PostgresServer

    @property
    def env(self) -> dict[str, str]:
        """The environment of the console's processes."""
        return {
            "DJANGO_SETTINGS_MODULE": "opsconsole.settings",
            "OPSC_SECRET_KEY": secrets.token_hex(32),
            "DATABASE_URL": self.postgres.url("audit", role="opsconsole"),
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "OPSC_HTTPS": "false",
            "OPSC_VAR": str(self.folder),
        }

    def connect(self) -> psycopg.Connection[Any]:
        """A connection as the console."""
        return psycopg.connect(self.env["DATABASE_URL"], autocommit=True)

    def manage(self, *arguments: str, **env: str) -> str:
        """Run a management command; what it printed. Raises LocalServiceError."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.env, **env}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LocalServiceError(f"manage.py {arguments[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout


def measure() -> list[Figure]:
    """All figures of the trail. Raises LocalServiceError."""
    with _running() as trail:
        # Without any limit first: how much it takes, and that the chain catches up by itself.
        fastest, _ = _insert(trail, 0)
        caught_up = _catch_up(trail)
        rate, lags = _insert(trail, INSERTS)
        _catch_up(trail)
        notes = {
            "fastest inserts a second": round(fastest),
            "seconds to catch up after that": round(caught_up, 2),
            "inserts a second while the lag was taken": round(rate),
        }
        wrong = [] if rate > 0.9 * INSERTS else [f"only {rate:,.0f} of {INSERTS:,} records a second were sent"]
        lag = of_durations(
            "audit", "Lag of the audit chain at 5,000 records/s", lags, LAG_MS, judged="max", notes=notes
        )
        lag.met = lag.met and not wrong
        figures = [_rate("Audited inserts", INSERTS, fastest), lag]
        return [*figures, _verified(trail)]


@contextmanager
def _running() -> Iterator[Trail]:
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-audit-") as name:
        folder = Path(name)
        postgres = PostgresServer(folder / "postgres", free_ports(1)[0])
        supervisor = Supervisor(folder / "supervisor", "bench")
        trail = Trail(folder, postgres)
        try:
            postgres.prepare()
            supervisor.up([postgres.program()])
            postgres.wait_ready()
            postgres.ensure_role("opsconsole")
            postgres.ensure_database("audit", owner="opsconsole")
            admin = postgres.url("audit")
            trail.manage("protect_audit", "--migrate", "--verbosity", "0", DATABASE_ADMIN_URL=admin)
            supervisor.add(_sequencer(trail))
            supervisor.wait_running(["audit-sequencer"])
            yield trail
        finally:
            supervisor.shutdown()
            postgres.remove()


def _sequencer(trail: Trail) -> Program:
    return Program(
        name="audit-sequencer",
        command=(sys.executable, "manage.py", "audit_sequencer"),
        cwd=ROOT,
        log=trail.folder / "audit-sequencer.log",
        env=trail.env,
        autorestart="always",
        startretries=10,
        stop_wait_seconds=10,
        priority=100,
    )


def _insert(trail: Trail, rate: int) -> tuple[float, list[float]]:
    """Insert for some seconds, at most ``rate`` a second (0: no limit); the true rate, and lags in milliseconds."""
    script = trail.folder / "insert.sql"
    script.write_text(ONE)
    pgbench = settle(trail.postgres.data_dir).binaries / "pgbench"
    command = [
        str(pgbench),
        "-n",
        "-M",
        "prepared",
        "-c",
        str(CLIENTS),
        "-j",
        "2",
        "-T",
        str(SECONDS),
        "-f",
        str(script),
    ]
    command += ["-R", str(rate)] if rate else []
    with trail.connect() as database:
        before, began = _count(database), time.monotonic()
        running = subprocess.Popen(
            [*command, trail.env["DATABASE_URL"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lags = []
        while running.poll() is None:
            lags.append(_lag(database))
            time.sleep(EVERY)
        seconds, (said, _) = time.monotonic() - began, running.communicate()
        if running.returncode != 0:
            raise LocalServiceError(f"pgbench failed: {said[-1000:]}")
        return (_count(database) - before) / seconds, lags


def _count(database: psycopg.Connection[Any]) -> int:
    row = database.execute("SELECT count(*) FROM audit_record").fetchone()
    return int(row[0]) if row else 0


def _lag(database: psycopg.Connection[Any]) -> float:
    """Age of the oldest record that waits for the chain, in milliseconds; 0 when none does."""
    row = database.execute(
        "SELECT extract(epoch FROM clock_timestamp() - at) * 1000 FROM audit_record "
        "WHERE id = (SELECT min(record_id) FROM audit_pending)"
    ).fetchone()
    return float(row[0]) if row else 0.0


def _catch_up(trail: Trail) -> float:
    """Seconds until no record waits. Raises LocalServiceError after two minutes."""
    began = time.monotonic()
    with trail.connect() as database:
        while _lag(database):
            if time.monotonic() - began > 120:
                raise LocalServiceError(f"the sequencer does not catch up; see {trail.folder}/audit-sequencer.log")
            time.sleep(EVERY)
    return time.monotonic() - began


def _verified(trail: Trail) -> Figure:
    with trail.connect() as database:
        database.execute(RECORD.format(source=f"generate_series(1, {BULK}) AS n").encode())
    chained = _catch_up(trail)
    time.sleep(2.0)  # the next checkpoint covers all of it
    found = json.loads(trail.manage("audit_verify", "--json"))
    figure = _rate("Audit records verified", VERIFIED, found["entries"] / found["seconds"])
    figure.n = found["entries"]
    figure.notes = {f"records/s when the chain takes {BULK:,} at once": round(BULK / chained), **found}
    figure.notes.pop("wrong")
    figure.wrong = [str(wrong) for wrong in found["wrong"]]
    return figure


def _rate(title: str, goal: int, rate: float) -> Figure:
    return Figure("audit", title, f"≥ {goal}", "/s", 1, rate >= goal, max=rate)
