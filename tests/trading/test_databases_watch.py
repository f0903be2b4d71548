"""What happens when a worker dies, what is done each day by itself, what is kept, and own commands."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.domain import InvalidRequest
from alerts.models import Alert
from audit.actors import system as system_actor
from audit.intents import without_end
from audit.models import Record
from audit.queries import Reader
from environments.models import Instance
from tests.environments.answers import hang, serve
from tests.trading import database_scene
from tests.trading.database_world import QUOTED
from trading import database_runs, database_watch, database_work, databases
from trading.errors import WrongState
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


def test_a_killed_worker_is_noticed(book, production, ada):
    run = databases.back_up(ada, production, "x")
    DatabaseRun.objects.filter(pk=run.pk).update(status="running", seen_at=timezone.now() - timedelta(seconds=61))
    part = Path(production.database["folder"])
    part.mkdir()
    (part / "production-20260101T000000Z.dump.part").write_text("half")
    again = databases.back_up(ada, production, "Again")
    run.refresh_from_db()
    assert run.status == "failed" and run.detail == "Its worker ended in the middle. Nothing was changed. Ask again."
    assert done(again).status == "succeeded" and list(part.glob("*.part")) == []
    assert Record.objects.filter(action="database.finished", object_id=str(run.pk), outcome="failed").exists()


def test_a_run_that_nobody_takes_ends(book, production, ada):
    run = databases.back_up(ada, production, "x")
    DatabaseRun.objects.filter(pk=run.pk).update(requested_at=timezone.now() - timedelta(minutes=11))
    database_watch.look()
    run.refresh_from_db()
    assert run.status == "failed" and "No worker took it" in run.detail


def test_a_sign_of_life_is_given_while_a_query_takes_long(book, production, ada, monkeypatch):
    monkeypatch.setattr(database_runs, "BEAT_SECONDS", 0.05)
    run = databases.back_up(ada, production, "x")
    seen = []

    def slow(found, report):
        began = DatabaseRun.objects.get(pk=found.pk).seen_at
        for _ in range(200):
            seen.append(DatabaseRun.objects.get(pk=found.pk).seen_at)
            if seen[-1] > began:
                break
            threading.Event().wait(0.02)
        assert seen[-1] > began
        return database_work.Done("It lives")

    monkeypatch.setitem(database_work.DO, "backup", slow)
    assert done(run).detail == "It lives"


def test_an_error_of_our_own_ends_it_and_tells_no_secret(book, production, ada, monkeypatch, caplog):
    def broken(found, report):
        raise RuntimeError(f"cannot parse {book.url}")

    monkeypatch.setitem(database_work.DO, "backup", broken)
    run = done(databases.back_up(ada, production, "x"))
    assert run.status == "failed" and "An error of the console's own (RuntimeError)" in run.detail
    assert QUOTED not in run.detail + caplog.text and "RuntimeError in" in caplog.text


def test_old_backups_are_removed_but_not_the_newest_that_was_proved(book, production, ada, backup):
    done(databases.verify(ada, production, "Check", backup))
    more = [done(databases.back_up(ada, production, f"Number {number}")) for number in (2, 3, 4)]
    backup.refresh_from_db()
    assert backup.has_file and Path(backup.path).exists(), "it is proved"
    for run in more:
        run.refresh_from_db()
    assert [run.has_file for run in more] == [False, True, True]
    names = {path.name for path in Path(production.database["folder"]).iterdir()}
    kept = {Path(run.path).stem for run in (backup, *more[1:])}
    assert names == {f"{stem}{ending}" for stem in kept for ending in (".dump", ".json")}
    with pytest.raises(InvalidRequest, match="its file was removed"):
        databases.verify(ada, production, "x", more[0])


def test_the_daily_backup_and_what_is_told_without_one(book, production, ada):
    database_watch.look()
    assert DatabaseRun.objects.count() == 0, "nothing is live"
    production.live_slot = production.slots.get(name="blue")
    production.save()
    database_watch.look()
    first = DatabaseRun.objects.get()
    assert (first.actor_name, first.reason, first.status) == ("schedule", "Daily backup", "waiting")
    database_watch.look()
    assert done(first).status == "succeeded" and DatabaseRun.objects.count() == 1
    day = timedelta(hours=24, minutes=1)
    DatabaseRun.objects.update(requested_at=timezone.now() - day, finished_at=timezone.now() - day)
    database_watch.look()
    second = DatabaseRun.objects.latest("requested_at")
    assert second.status == "waiting" and not Alert.objects.exists()
    Path(production.database["url"].removeprefix("file:")).write_text(book.url.replace(QUOTED, "wrong"))
    assert done(second).status == "failed"
    told = Alert.objects.get(key="production.backup")
    assert told.severity == "warning" and "the password is wrong" in told.detail
    database_watch.look()
    assert DatabaseRun.objects.count() == 2, "after a failure it waits an hour"
    DatabaseRun.objects.filter(pk=first.pk).update(finished_at=timezone.now() - timedelta(hours=26))
    database_watch.look()
    old = Alert.objects.get(key="production.age")
    assert old.severity == "critical" and old.title == "No backup of production for 26 hours"
    Path(production.database["url"].removeprefix("file:")).write_text(book.url)
    assert done(databases.back_up(ada, production, "By hand")).status == "succeeded"
    assert not Alert.objects.filter(cleared_at=None).exists()


def test_looking_takes_few_queries(book, production, ada, backup):
    production.live_slot = production.slots.get(name="blue")
    production.save()
    with CaptureQueriesContext(connection) as seen:
        database_watch.look()
    assert len(seen) == 3, [query["sql"] for query in seen]


def test_own_commands(book, production, ada, halted):
    production.database |= {
        "backup": ["/bin/sh", "-c", 'echo "50 %"; echo saved > "$0"', "{file}"],
        "verify": ["/bin/sh", "-c", 'grep -q saved "$0"', "{file}"],
        "restore": ["/bin/sh", "-c", 'echo "restored into {schema}"'],
    }
    production.save()
    made = done(databases.back_up(ada, production, "x"))
    assert made.status == "succeeded" and Path(made.path).read_text() == "saved\n" and made.facts["rows"] == {}
    assert done(databases.verify(ada, production, "x", made)).status == "succeeded"
    restored = done(databases.restore(ada, production, made, "x"))
    assert restored.status == "succeeded" and "could not be counted" in restored.detail
    assert restored.facts["said"] == "restored into book"
    production.database["restore"] = ["/bin/false"]
    production.save()
    assert "false failed (exit status 1)" in done(databases.restore(ada, production, made, "x")).detail


def test_an_instance_that_hangs_is_not_quiet(book, production, ada, backup):
    with serve({"GET /v1/state": hang}) as server, saying(green="STANDBY"):
        Instance.objects.filter(name="production-blue-1").update(base_url=server.url)
        with pytest.raises(WrongState, match="production-blue-1 does not answer"):
            databases.restore(ada, production, backup, "x")


def test_an_act_under_way_is_no_alarm_and_one_without_end_is(book, production, ada):
    run = databases.back_up(ada, production, "x")
    later = timezone.now() + timedelta(minutes=5)
    assert without_end(Reader(None), later) == []
    DatabaseRun.objects.filter(pk=run.pk).update(status="failed")
    assert [record.action for record in without_end(Reader(None), later)] == ["database.backup"]


def test_the_system_may_do_it_by_itself(book, production):
    assert done(databases.back_up(system_actor("schedule"), production, "Daily backup")).actor is None
