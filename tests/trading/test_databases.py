"""Runs on a database, from the request to the end: who may, what is kept, what is told, what is left when it breaks."""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from alerts.models import Alert
from audit.models import Record
from tests.trading import database_scene
from tests.trading.database_world import PASSWORD, QUOTED, ROWS
from trading import clearance_checks, database_files, database_runs, database_work, databases
from trading.errors import NotConfigured, WrongState
from trading.models import DatabaseRun

pytestmark = pytest.mark.django_db(transaction=True)
made, book, halted, ada, backup = (
    database_scene.made,
    database_scene.book,
    database_scene.halted,
    database_scene.ada,
    database_scene.backup,
)
done, saying = database_scene.done, database_scene.saying


def test_a_backup_from_request_to_end(book, production, ada):
    run = databases.back_up(ada, production, "Before the migration")
    assert (run.status, run.kind, run.actor_name, run.reason) == (
        "waiting",
        "backup",
        "Ada Admin",
        "Before the migration",
    )
    run = done(run)
    assert (run.status, run.progress, run.facts["rows"]) == ("succeeded", 100, ROWS)
    path = Path(run.path)
    assert path.stat().st_size == run.size and database_files.sha256(path) == run.sha256
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert (manifest["rows"], manifest["sha256"], manifest["schema"]) == (ROWS, run.sha256, "book")
    kept = {record.action: record for record in Record.objects.filter(object_type="databaserun")}
    assert kept["database.backup"].outcome == "intent" and kept["database.finished"].outcome == "done"
    assert kept["database.finished"].after["sha256"] == run.sha256
    assert done(run).finished_at == run.finished_at, "a message that comes twice does it once"


def test_the_password_is_nowhere(book, production, ada, halted, backup, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = Path(production.database["url"].removeprefix("file:"))
    wrong.write_text(book.url.replace("127.0.0.1:", "127.0.0.1:1"))
    failed = done(databases.back_up(ada, production, "Wrong port"))
    wrong.write_text(book.url.replace(QUOTED, "wrong"))
    refused = done(databases.back_up(ada, production, "Wrong password"))
    assert failed.status == refused.status == "failed" and "the password is wrong" in refused.detail
    assert "cannot be reached" in failed.detail
    wrong.write_text(book.url)
    Path(backup.path).write_bytes(b"no archive")
    done(databases.verify(ada, production, "Damaged", backup))
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(string_agg(t::text, ' '), '') FROM audit_record t")
        kept = cursor.fetchone()[0]
        cursor.execute("SELECT coalesce(string_agg(t::text, ' '), '') FROM trading_databaserun t")
        kept += cursor.fetchone()[0]
        cursor.execute("SELECT coalesce(string_agg(t::text, ' '), '') FROM alerts_alert t")
        kept += cursor.fetchone()[0]
    manifests = "".join(path.read_text() for path in Path(backup.path).parent.glob("*.json"))
    for secret in (PASSWORD, QUOTED):
        assert secret not in kept + manifests + caplog.text


def test_verifying_a_backup_and_the_data(book, production, ada, backup):
    proved = done(databases.verify(ada, production, "Check", backup))
    assert proved.status == "succeeded" and "6,202 rows in 3 tables" in proved.detail, proved.detail
    assert done(databases.verify(ada, production, "Check")).facts["rows"] == ROWS
    book.run("DROP TABLE book.fills; DELETE FROM book.positions WHERE symbol = 'ETH'")
    damaged = done(databases.verify(ada, production, "Check"))
    assert damaged.status == "failed" and "the table fills is missing" in damaged.detail
    alert = Alert.objects.get(kind="database", key="production.data", cleared_at=None)
    assert alert.severity == "critical" and "fills is missing" in alert.detail
    assert alert.link == f"/databases/runs/{damaged.pk}/"


def test_a_restore_from_request_to_end(book, production, ada, halted, backup):
    book.run("DELETE FROM book.fills; UPDATE book.trades SET pnl = 0; INSERT INTO book.positions VALUES ('SOL', 1)")
    assert done(databases.verify(ada, production, "Check")).status == "succeeded", "fewer rows are told, not an error"
    run = done(databases.restore(ada, production, backup, "Wrong migration"))
    assert run.status == "succeeded", run.detail
    assert book.rows() == ROWS and "6,202 rows in 3 tables" in run.detail
    safety = DatabaseRun.objects.get(facts__before=str(run.pk))
    assert safety.has_file and safety.facts["rows"] == {"trades": 5000, "positions": 3, "fills": 0}
    assert run.facts["safety"] == safety.path and Path(safety.path).name in run.detail
    back = done(databases.restore(ada, production, safety, "It was right before"))
    assert back.status == "succeeded" and book.rows() == {"trades": 5000, "positions": 3, "fills": 0}


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"blue": "ACTIVE", "green": "STANDBY"}, "production-blue-1 is ACTIVE"),
        ({"blue": "STANDBY", "green": "STANDBY"}, "production-blue-1 is STANDBY, not HALTED: it is let trade again"),
        ({"blue": "HALTED", "green": "REDUCING"}, "production-green-1 is REDUCING"),
        ({"blue": "HALTED"}, "production-green-1 does not answer, and whether it runs is not known"),
    ],
)
def test_no_restore_while_anything_may_trade(book, production, ada, backup, roles, words):
    with saying(**roles), pytest.raises(WrongState, match=words):
        databases.restore(ada, production, backup, "Wrong migration")
    assert not DatabaseRun.objects.filter(kind="restore").exists()


def test_trading_that_begins_while_it_is_restored_undoes_it(book, production, ada, backup, halted, monkeypatch):
    book.run("DELETE FROM book.fills")
    run = databases.restore(ada, production, backup, "Wrong migration")
    ready = threading.Event()
    before = database_work._refuse_commit

    def resumed(found):
        ready.set()
        with saying(blue="ACTIVE", green="STANDBY"):
            before(found)

    monkeypatch.setattr(database_work, "_refuse_commit", resumed)
    run = done(run)
    assert ready.is_set() and run.status == "failed" and "is ACTIVE" in run.detail
    assert book.rows()["fills"] == 0, "the data are as they were"
    assert DatabaseRun.objects.filter(facts__before=str(run.pk)).exists(), "the state before is kept all the same"


def test_a_run_that_was_taken_for_lost_does_not_commit(book, production, ada, backup, halted, monkeypatch):
    book.run("DELETE FROM book.fills")
    run = databases.restore(ada, production, backup, "Wrong migration")
    before = database_work._refuse_commit

    def late(found):
        DatabaseRun.objects.filter(pk=run.pk).update(seen_at=timezone.now() - timedelta(minutes=2))
        assert database_runs.end_lost() == 1
        before(found)

    monkeypatch.setattr(database_work, "_refuse_commit", late)
    run = done(run)
    assert run.status == "failed" and "worker ended in the middle" in run.detail and book.rows()["fills"] == 0


def test_damaged_data_are_restored_only_when_it_was_said(book, production, ada, backup, halted):
    book.run(f"REVOKE SELECT ON book.trades FROM {book.name}")
    run = done(databases.restore(ada, production, backup, "Damage"))
    assert run.status == "failed" and "The table trades cannot be read" in run.detail
    assert "even if the present state cannot be read" in run.detail
    run = done(databases.restore(ada, production, backup, "Damage", even_if_unreadable=True))
    assert run.status == "succeeded" and "The state before could not be backed up" in run.detail, run.detail
    assert book.rows() == ROWS


def test_a_restore_from_a_damaged_file_changes_nothing(book, production, ada, backup, halted):
    book.run("DELETE FROM book.fills")
    path = Path(backup.path)
    path.write_bytes(path.read_bytes()[:-300])
    DatabaseRun.objects.filter(pk=backup.pk).update(size=path.stat().st_size, sha256=database_files.sha256(path))
    backup.refresh_from_db()
    run = done(databases.restore(ada, production, backup, "Damage"))
    assert run.status == "failed" and "The data are as they were before." in run.detail
    assert book.rows() == {**ROWS, "fills": 0}


def test_who_may(book, production, staging, backup, actor_of, operator, developer, halted):
    for user in (operator, developer):
        for act in (
            lambda who: databases.back_up(who, production, "x"),
            lambda who: databases.verify(who, production, "x", backup),
            lambda who: databases.restore(who, production, backup, "x"),
        ):
            with pytest.raises(Forbidden):
                act(actor_of(user))
    assert Record.objects.filter(action="access.denied").count() == 6
    staging.database = production.database
    staging.save()
    assert databases.back_up(actor_of(developer), staging, "May do so outside of production").status == "waiting"


def test_what_is_refused(book, production, staging, ada, backup, halted):
    staging.database = {}
    staging.save()
    with pytest.raises(NotConfigured, match="has no `database`"):
        databases.back_up(ada, staging, "x")
    for reason in ("", " ", "x" * 2001):
        with pytest.raises(InvalidRequest):
            databases.back_up(ada, production, reason)
    with pytest.raises(InvalidRequest, match="no backup of staging"):
        databases.verify(ada, staging, "x", backup)
    failed = DatabaseRun.objects.create(
        environment=production, kind="backup", status="failed", actor_name="x", reason="x"
    )
    with pytest.raises(InvalidRequest, match="it failed"):
        databases.restore(ada, production, failed, "x")
    databases.back_up(ada, production, "First")
    with pytest.raises(WrongState, match="Backup by Ada Admin is under way"):
        databases.verify(ada, production, "Second")
    with pytest.raises(WrongState, match="is under way"):
        databases.restore(ada, production, backup, "Third")


def test_nothing_may_begin_to_trade_during_a_restore(book, production, ada, backup, halted):
    assert databases.restore_under_way in clearance_checks._under_way
    assert databases.restore_under_way(production) == ""
    databases.restore(ada, production, backup, "x")
    assert databases.restore_under_way(production) == "The database of production is being restored."
