"""The sequencer: every record once, in one chain, one at a time, over kills and lost connections."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit import trail
from audit.chain import GENESIS, digest, link
from audit.checkpoints import KeyFileError, Signer, Statement, trusted_keys
from audit.copies import CopyCommand, latest_beside
from audit.sequencer import LOCK, Sequencer
from tests.audit.conftest import INSERT, ROOT, add_records, triggers_off


def wait_until(reached, what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return found


def one(database, query, *values):
    return database.execute(query, values).fetchone()[0]


@contextmanager
def running(protected, folder, **more):
    """The command as it runs in an installation."""
    env = protected.env(OPSC_VAR=str(folder), PYTHONUNBUFFERED="1", **more)
    log = (folder / f"log-{time.monotonic_ns()}").open("w+")
    process = subprocess.Popen([sys.executable, "manage.py", "audit_sequencer"], cwd=ROOT, env=env, stderr=log)
    process.said = lambda: Path(log.name).read_text()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        log.close()


def worker(database):
    """Pid of the database session that holds the lock."""
    return database.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", (LOCK,)
    ).fetchone()  # fmt: skip


def test_entries_follow_each_other_without_a_gap(chained):
    chained.add(25)
    with chained.database.console() as database, database.transaction():
        rows = [*trail.entries(database)]
        assert one(database, "SELECT count(*) FROM audit_pending") == 0
    head = GENESIS
    for number, (seq, record, kept, hashed, fields) in enumerate(rows, 1):
        head = link(head, digest(fields))
        assert (seq, record, kept, hashed) == (number, fields["id"], digest(fields), head)
    assert len(rows) == 25


def test_records_that_commit_late_come_later_and_none_is_lost(chained):
    with chained.database.console(autocommit=True) as writer, chained.database.console(autocommit=True) as late:
        with late.transaction():
            (early_id,) = add_records(late, 1)
            (second,) = add_records(writer, 1)
            assert early_id < second and chained.sequencer.step(writer) == 1
        assert chained.sequencer.step(writer) == 1
        order = [row[0] for row in writer.execute("SELECT record_id FROM audit_chain ORDER BY seq")]
    assert order == [second, early_id]


def test_a_step_that_fails_changes_nothing_and_the_next_goes_on(chained, monkeypatch):
    with chained.database.console(autocommit=True) as database:
        add_records(database, 3)
        database.execute("SET default_transaction_read_only = on")
        with pytest.raises(trail.psycopg.errors.ReadOnlySqlTransaction):
            chained.sequencer.step(database)
        database.execute("SET default_transaction_read_only = off")
        assert one(database, "SELECT count(*) FROM audit_pending") == 3
        assert chained.sequencer.step(database) == 3 and chained.sequencer.step(database) == 0
        assert trail.head(database)[0] == 3


def test_what_cannot_be_chained_holds_up_nobody(chained):
    """A note on a record that is gone, a second note on a chained one, and a record nested deeper than Python goes."""
    chained.add(2)
    deep = "[" * 2_500 + "]" * 2_500
    with chained.database.console(autocommit=True) as database:
        first = one(database, "SELECT min(id) FROM audit_record")
        database.execute("INSERT INTO audit_pending VALUES (%s), (987654321)", (first,))
        odd = database.execute(INSERT, (uuid.uuid4(), "Eve", "x", 1, "x", "", None, deep, "")).fetchone()[0]
        add_records(database, 1)
        while chained.sequencer.step(database):
            pass
        waiting = database.execute("SELECT record_id FROM audit_pending ORDER BY 1").fetchall()
        assert waiting == [(odd,), (987654321,)] and trail.head(database)[0] == 3
        chained.sequencer.checkpoint(database)
    with chained.database.admin() as database:
        found = [str(wrong) for wrong in chained.verify(database).wrong]
    assert found == ["record 987654321, which waits for the chain, is gone"]


def test_quiet_seconds_renew_the_signature_and_grow_nothing(chained):
    chained.add(1)
    latest = latest_beside(chained.copy.path)
    before, lines = Statement.parse(latest.read_text()), chained.copy.path.read_text()
    with chained.database.console(autocommit=True) as database:
        for _ in range(3):
            chained.sequencer.checkpoint(database)
        assert one(database, "SELECT count(*) FROM audit_checkpoint") == 1
    after = Statement.parse(latest.read_text())
    assert chained.copy.path.read_text() == lines and lines.count("\n") == 1
    assert (after.seq, after.head) == (before.seq, before.head) and after.at > before.at
    assert after.problem(trusted_keys(chained.key)) == ""


def test_a_copy_that_cannot_be_written_is_told_and_caught_up(chained):
    chained.copy.path.parent.mkdir(exist_ok=True)
    chained.copy.path.mkdir()
    chained.add(2)
    with chained.database.console(autocommit=True) as database:
        assert "Is a directory" in one(database, "SELECT copy_problem FROM audit_verification")
        chained.copy.path.rmdir()
        chained.sequencer.checkpoint(database)
        assert one(database, "SELECT copy_problem FROM audit_verification") == ""
    with chained.database.admin() as database:
        result = chained.verify(database)
    assert (result.wrong, result.copied) == ([], 2)


def test_a_torn_line_swallows_no_other(chained):
    chained.add(1)
    with chained.copy.path.open("a") as file:
        file.write('{"at": "2026-')
    chained.add(1)
    with chained.database.admin() as database:
        result = chained.verify(database)
    assert result.wrong == [] and result.notes == [f"line 2 of {chained.copy.path} cannot be read"]


def test_a_chain_that_contradicts_its_signature_is_not_signed(chained):
    chained.add(5)
    with chained.database.admin() as database, triggers_off(database):
        database.execute("DELETE FROM audit_chain WHERE seq > 3")
    for sequencer in (chained.sequencer, Sequencer(Signer.of_file(chained.key), chained.copy)):
        with chained.database.console(autocommit=True) as database:
            sequencer._last = sequencer._last or sequencer._last_copied()  # as at the begin of its work
            assert sequencer.checkpoint(database) is None
            assert one(database, "SELECT count(*) FROM audit_checkpoint") == 1


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path):
    path = tmp_path / "new" / "signing_key.pem"
    first, second = Signer.of_file(path), Signer.of_file(path)
    assert first.key_id == second.key_id and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*trusted_keys(path)] == [first.key_id]
    path.unlink()
    other = Signer.of_file(path)
    assert {*trusted_keys(path)} == {first.key_id, other.key_id}
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Signer.of_file(path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(KeyFileError, match="holds no key"):
        Signer.of_file(path)


def statement(tmp_path):
    return Signer.of_file(tmp_path / "key.pem").sign(datetime.now(UTC), 1, bytes(32 * [1]))


def test_a_program_of_yours_gets_each_checkpoint(tmp_path):
    program = tmp_path / "keep"
    program.write_text(f'#!/bin/sh\ncat >> "{tmp_path}/$1"\nenv > {tmp_path}/env\n')
    program.chmod(0o755)
    command, sent = CopyCommand([str(program), "kept; touch oops"]), statement(tmp_path)
    command.put(sent)
    command.stop()
    assert Statement.parse((tmp_path / "kept; touch oops").read_text()) == sent and command.problem == ""
    assert not (tmp_path / "oops").exists() and "DATABASE_URL" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    ("text", "seconds", "problem"),
    [
        ("#!/bin/sh\necho no room >&2\nexit 3\n", 10, "ended with status 3: no room"),
        ("#!/bin/sh\nexec sleep 30\n", 0.3, "did not end within 0.3 s"),
        ("no program", 10, "cannot be run: Exec format error"),
    ],
)
def test_a_program_that_fails_is_told_and_tried_again(tmp_path, text, seconds, problem):
    program = tmp_path / "keep"
    program.write_text(text)
    program.chmod(0o755)
    command = CopyCommand([str(program)], seconds)
    command.put(statement(tmp_path))
    wait_until(lambda: problem in command.problem, "the problem is told")
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/kept\n")
    command.retry()
    wait_until(lambda: command.problem == "", "the next attempt works")
    command.stop()
    assert Statement.parse((tmp_path / "kept").read_text()).seq == 1


def test_one_works_and_the_next_takes_over(protected, tmp_path):
    with (
        running(protected, tmp_path) as first,
        protected.console(autocommit=True) as database,
        protected.admin(autocommit=True) as admin,
    ):
        wait_until(lambda: worker(admin), "the first one works")
        with running(protected, tmp_path) as second:
            wait_until(lambda: "another one works" in second.said(), "the second one waits")
            add_records(database, 50)
            wait_until(lambda: trail.head(database)[0] == 50, "records are chained", 2)
            first.send_signal(signal.SIGKILL)
            add_records(database, 50)
            wait_until(lambda: trail.head(database)[0] == 100, "the second one took over", 5)
            # A lost connection: it comes back by itself.
            admin.execute("SELECT pg_terminate_backend(%s)", worker(admin))
            add_records(database, 50)
            wait_until(lambda: trail.head(database)[0] == 150, "it came back", 5)
            wait_until(lambda: one(database, "SELECT checkpoint_seq FROM audit_verification") == 150, "it is signed")
            wait_until(lambda: one(database, "SELECT walked_seq FROM audit_verification") == 150, "it is walked")
            second.send_signal(signal.SIGTERM)
            assert second.wait(10) == 0
        assert "Traceback" not in second.said()
        assert one(database, "SELECT count(*) FROM audit_pending") == 0
    done = protected.manage("audit_verify", "--json", OPSC_VAR=str(tmp_path))
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["result"] == "intact" and found["entries"] == found["signed"] == 150
    assert (tmp_path / "audit" / "signing_key.pem").exists()
