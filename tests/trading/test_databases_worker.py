"""A real worker, rung through the broker: it carries a run out, and when it is killed nothing is half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from tests.deployments.world import until
from tests.trading import database_scene
from tests.trading.database_world import ROWS
from trading import database_runs, databases

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
made, book, halted, ada = database_scene.made, database_scene.book, database_scene.halted, database_scene.ada
done = database_scene.done


@pytest.fixture
def worker(db, tmp_path) -> Iterator[subprocess.Popen]:
    """A process of its own, on the database of the tests."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    environ = {**os.environ, "DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}"))}
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "opsconsole",
        "worker",
        "-Q",
        "default",
        "-P",
        "threads",
        "-c",
        "2",
    ]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen([*command, *quiet], cwd=ROOT, env=environ, stdout=log, stderr=log)
    until(lambda: "ready." in (tmp_path / "worker.log").read_text(), "the worker is ready", 60)
    yield process
    process.kill()
    process.wait()


def is_finished(run) -> bool:
    run.refresh_from_db()
    return run.is_finished


def test_a_worker_is_rung_and_killed_in_the_middle(worker, book, production, ada, halted):
    backup = databases.back_up(ada, production, "Through the broker")
    until(lambda: is_finished(backup), "the backup ends", 60)
    assert backup.status == "succeeded" and backup.facts["rows"] == ROWS, backup.detail
    book.run("DELETE FROM book.fills")
    with psycopg.connect(book.url) as other:
        other.execute("LOCK TABLE book.positions IN ACCESS SHARE MODE")  # the restore waits in its middle
        run = databases.restore(ada, production, backup, "Wrong migration")
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'book.positions'::regclass"
        until(lambda: book.run(waits), "the restore waits for the table", 60)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    sessions = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{book.name}' AND application_name LIKE 'opsconsole%'"
    until(lambda: not book.admin(sessions), "its sessions end", 30)
    assert book.rows() == {**ROWS, "fills": 0}, "the data are as they were"
    run.refresh_from_db()
    assert run.status == "running"
    run.seen_at = timezone.now() - timedelta(seconds=61)
    run.save()
    assert database_runs.end_lost() == 1 and is_finished(run) and "Its worker ended in the middle" in run.detail
    again = done(databases.restore(ada, production, backup, "Once more"))
    assert again.status == "succeeded" and book.rows() == ROWS
