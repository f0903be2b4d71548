"""``opsctl db`` against a console that really listens, with a worker that is this test."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.db import connection

from audit.actors import Actor
from environments.models import Instance
from tests.environments.answers import STATE, answer, serve
from tests.trading.database_world import ROWS, making, reset
from trading import database_runs, databases
from trading.models import DatabaseRun

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def made():
    with making() as book:
        yield book


@pytest.fixture
def book(made, production, tmp_path):
    reset(made)
    secret = tmp_path / "database.url"
    secret.write_text(made.url)
    folder = tmp_path / "backups"
    production.database = {"url": f"file:{secret}", "schema_name": "book", "folder": str(folder), "keep": 5}
    production.writer_slot = production.slots.get(name="blue")
    production.save()
    with serve({"GET /v1/state": answer({**STATE, "role": "HALTED"})}) as server:
        Instance.objects.filter(slot__environment=production).update(base_url=server.url)
        yield made


@pytest.fixture
def worker(book):
    """Takes what waits, as a worker that the broker rings."""
    end = threading.Event()

    def work() -> None:
        while not end.wait(0.05):
            for pk in DatabaseRun.objects.filter(status="waiting").values_list("pk", flat=True):
                database_runs.work(pk)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    end.set()
    thread.join()


def test_from_a_backup_to_a_restore(shell_of, admin, book, worker, production):
    shell = shell_of(admin)
    assert "There is no backup" in shell.run("db", "list", "production").stdout
    empty = shell.run("db", "restore", "production")
    assert empty.returncode == 5 and "opsctl db backup production" in empty.stderr
    made = shell.run("db", "backup", "production", "--reason", "Before the migration")
    assert made.returncode == 0, made.stderr
    run = DatabaseRun.objects.get()
    assert "✓ Backup of production:" in made.stdout and "6,202 rows in 3 tables" in made.stdout
    assert run.path in made.stdout and run.sha256 in made.stdout and run.reason == "Before the migration"
    (listed,) = shell.json("db", "list", "production")["runs"]
    assert (listed["id"], listed["rows"]) == (str(run.pk), ROWS)
    assert str(run.pk)[:8] in shell.run("db", "list").stdout
    proved = shell.json("db", "verify", "production", "--backup", "latest", "--reason", "Check")
    assert proved["status"] == "succeeded" and proved["backup"] == str(run.pk)
    book.run("DROP TABLE book.fills")
    damaged = shell.run("db", "verify", "production", "--reason", "Odd numbers")
    assert damaged.returncode == 1 and "the table fills is missing" in damaged.stdout
    restoring = shell.start("db", "restore", "production", "--backup", str(run.pk)[:8])
    while f"/databases/production/restore/{run.pk}/" not in (line := restoring.stderr.readline()):
        assert line, "it says where it is confirmed"
    ada = Actor(name="Ada", via="session", user=admin, role="Admin")
    databases.restore(ada, production, run, "Confirmed on the page")
    out, _ = restoring.communicate(timeout=60)
    assert restoring.returncode == 0 and "✓ Restore of production: Restored 6,202 rows" in out, out
    assert book.rows() == ROWS
    kinds = [one["kind"] for one in shell.json("db", "list", "production", "--all")["runs"]]
    assert sorted(kinds) == ["backup", "backup", "restore", "verify", "verify"]


def test_what_ends_without_a_worker(shell_of, admin, operator, book):
    shell = shell_of(admin)
    late = shell.run("db", "backup", "production", "--reason", "x", "--timeout", "1")
    assert late.returncode == 8 and "It goes on." in late.stderr
    busy = shell.run("db", "verify", "production", "--reason", "x")
    assert busy.returncode == 5 and "is under way" in busy.stderr
    DatabaseRun.objects.update(status="failed", finished_at="2026-01-01T00:00Z")
    asked = shell.json("db", "backup", "production", "--reason", "x", "--no-wait")
    assert asked["status"] == "waiting"
    denied = shell_of(operator).run("db", "backup", "production", "--reason", "x")
    assert denied.returncode == 4 and "It takes: Admin" in denied.stderr
    assert shell.run("db", "backup", "nowhere", "--reason", "x").returncode == 2
    assert shell.run("db", "backup", "production").returncode == 2, "a reason is needed"


def test_a_backup_is_named_by_the_beginning_of_its_id(shell_of, admin, book, production, tmp_path):
    for _ in range(2):
        DatabaseRun.objects.create(
            environment=production, kind="backup", status="succeeded", path="/x", actor_name="x", reason="x", size=1
        )
    shell = shell_of(admin)
    several = shell.run("db", "restore", "production", "--backup", "")
    assert several.returncode == 2 and "several backups begin" in several.stderr
    assert "no backup begins" in shell.run("db", "restore", "production", "--backup", "zz").stderr
    page = shell.json("db", "restore", "production", "--no-wait", code=7)["confirm_at"]
    newest = DatabaseRun.objects.latest("requested_at")
    assert page.endswith(f"/databases/production/restore/{newest.pk}/")
    assert not Path("/x").exists()
