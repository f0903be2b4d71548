"""The sequencer: puts new records into the chain and signs a checkpoint every second. One works, others wait.

A record and the note that it waits are written in one transaction (trigger ``audit_record_enqueue``). So nothing is
lost while no sequencer runs: records wait, and the age of the oldest one tells. Taking notes off and adding entries are
one transaction, too: after a kill at any point the next sequencer goes on without a gap.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from audit import trail
from audit.chain import digest, link
from audit.checkpoints import Signer, Statement
from audit.copies import CopyCommand, CopyFile

logger = logging.getLogger(__name__)

LOCK = 0x0A0D17  # "audit"
"""Key of the advisory lock that the working sequencer holds; it ends with the session that holds it."""
BATCH = 2_000
IDLE_SECONDS = 0.1
"""Between two looks for new records."""
LOCK_SECONDS = 0.5
"""Between two looks whether the working sequencer is gone."""
CHECKPOINT_SECONDS = 1.0
RETRY_SECONDS = (0.2, 5.0)
"""First and longest pause after the database was lost."""

WAITING = "SELECT record_id FROM audit_pending WHERE record_id <> ALL(%s::bigint[]) ORDER BY record_id LIMIT %s"
RECORDS = f"SELECT {trail.RECORD} FROM audit_record r WHERE r.id = ANY(%s::bigint[]) ORDER BY r.id"
CHAINED = "SELECT record_id FROM audit_chain WHERE record_id = ANY(%s::bigint[])"
APPEND = "COPY audit_chain (seq, record_id, digest, hash) FROM STDIN (FORMAT binary)"
DONE = "DELETE FROM audit_pending WHERE record_id = ANY(%s::bigint[])"
SIGNED = "INSERT INTO audit_checkpoint (at, seq, head, key_id, signature) VALUES (%s, %s, %s, %s, %s)"
NOTED = """
    INSERT INTO audit_verification (id, tail_seq, walk_seq, wrong_what, checkpoint_at, checkpoint_seq, copy_problem)
    VALUES (1, 0, 0, '', %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET checkpoint_at = EXCLUDED.checkpoint_at,
        checkpoint_seq = EXCLUDED.checkpoint_seq, copy_problem = EXCLUDED.copy_problem
"""


class Sequencer:
    """Runs until stopped.

    Args:
        signer: the key for the checkpoints.
        copy: the file outside the database.
        command: a program that copies checkpoints elsewhere.
        connect: opens the connection on which everything is done; by default one to the console's database.
    """

    def __init__(
        self,
        signer: Signer,
        copy: CopyFile,
        command: CopyCommand | None = None,
        connect: Callable[[], trail.Connection] = lambda: trail.connect("audit sequencer"),
    ) -> None:
        self._signer, self._copy, self._command, self._connect = signer, copy, command, connect
        self._stop = threading.Event()
        self._refused: set[int] = set()
        self._last: Statement | None = None
        self._is_fresh = True
        self._owed: Statement | None = None
        self._copy_problem = ""
        self._says_wrong = self._working = False

    @property
    def is_working(self) -> bool:
        """Whether this one holds the lock."""
        return self._working

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()

    def run(self) -> None:
        """Work, or wait until the one that works is gone; after a lost connection, try again."""
        pause = RETRY_SECONDS[0]
        while not self._stop.is_set():
            try:
                with self._connect() as database:
                    if self._wait_for_lock(database):
                        pause, self._working = RETRY_SECONDS[0], True
                        self._work(database)
            except psycopg.Error as error:
                self._working = False
                logger.warning("audit sequencer: the database is lost, next try in %.1f s: %s", pause, error)
                self._stop.wait(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])
        if self._command:
            self._command.stop()

    def _wait_for_lock(self, database: trail.Connection) -> bool:
        waits = False
        while not self._stop.is_set():
            row = database.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
            if row and row[0]:
                logger.info("audit sequencer: working")
                return True
            if not waits:
                logger.info("audit sequencer: another one works, waiting for its end")
            waits = True
            self._stop.wait(LOCK_SECONDS)
        return False

    def _work(self, database: trail.Connection) -> None:
        # What another sequencer has signed meanwhile counts; and this run signs anew, as a copy may be missing.
        self._last, self._is_fresh = self._last_copied(), True
        due = time.monotonic()
        while not self._stop.is_set():
            taken = self.step(database)
            now = time.monotonic()
            if now >= due:
                self.checkpoint(database)
                due = max(due + CHECKPOINT_SECONDS, now)
            if taken < BATCH:
                self._stop.wait(min(IDLE_SECONDS, max(0.0, due - time.monotonic())))
        self.checkpoint(database)

    def step(self, database: trail.Connection) -> int:
        """Put the oldest waiting records into the chain, at most ``BATCH``; how many there were.

        Raises:
            psycopg.Error: the database does not answer; nothing was changed.
        """
        rows = database.execute(WAITING, ([*self._refused], BATCH)).fetchall()
        ids = [row[0] for row in rows]
        if not ids:
            return 0
        with database.transaction():
            known = {row[0] for row in database.execute(CHAINED, (ids,))}
            rows = database.execute(RECORDS, (ids,), binary=True).fetchall()
            self._append(database, [row for row in rows if row[0] not in known], known)
        for gone in {*ids} - {row[0] for row in rows} - known:
            logger.critical("audit record %s was written and is gone before it came into the chain", gone)
            self._refused.add(gone)
        return len(ids)

    def _append(self, database: trail.Connection, rows: list[Any], done: set[int]) -> None:
        seq, head = trail.head(database)
        links: list[tuple[int, int, bytes, bytes]] = []
        for row in rows:
            try:
                kept = digest(trail.fields_of(row))
            except (ValueError, TypeError, RecursionError) as error:
                # Nothing of ours writes such a record; it waits, for all to see, and does not hold up the others.
                logger.critical("audit record %s cannot be put into the chain: %s", row[0], error)
                self._refused.add(row[0])
                continue
            seq, head = seq + 1, link(head, kept)
            links.append((seq, row[0], kept, head))
        with database.cursor() as cursor, cursor.copy(APPEND) as copying:
            copying.set_types(["int8", "int8", "bytea", "bytea"])
            for entry in links:
                copying.write_row(entry)
        database.execute(DONE, ([*(entry[1] for entry in links), *done],))

    def checkpoint(self, database: trail.Connection) -> Statement | None:
        """Sign what the chain is now. New entries make a row and a line in the copy, else the latest is renewed.

        None when the chain contradicts what was signed before: that is not signed.

        Raises:
            psycopg.Error: the database does not answer.
        """
        if self._contradicts(database):
            return None
        seq, head = trail.head(database)
        at = datetime.now(UTC)
        statement = self._signer.sign(at, seq, head)
        if is_new := self._is_fresh or self._last is None or self._last.seq != seq:
            # First the row, then the line: so every line of the copy has its row.
            database.execute(SIGNED, (at, seq, head, statement.key_id, statement.signature))
            self._owed = statement
        self._last, self._is_fresh = statement, False
        self._keep(statement, is_new)
        copy_problem = self._copy_problem or (self._command.problem if self._command else "")
        database.execute(NOTED, (at, seq, copy_problem))
        return statement

    def _contradicts(self, database: trail.Connection) -> bool:
        last = self._last
        if last is None or trail.hash_of(database, last.seq) == last.head:
            self._says_wrong = False
            return False
        if not self._says_wrong:
            logger.critical(
                "audit chain: entry %s is not what was signed at %s. No checkpoint is signed until somebody has looked "
                "(manage.py audit_verify).",
                last.seq,
                last.at,
            )
        self._says_wrong = True
        return True

    def _last_copied(self) -> Statement | None:
        """The newest statement of this key in the copy."""
        try:
            return self._copy.last(self._signer.trusts)
        except OSError as error:
            logger.error("audit checkpoints in %s cannot be read: %s", self._copy.path, error)
            return None

    def _keep(self, statement: Statement, is_new: bool) -> None:
        try:
            if self._owed is not None:
                self._copy.append(self._owed)
                self._owed = None
            self._copy.refresh(statement)
            self._copy_problem = ""
        except OSError as error:
            if not self._copy_problem:
                logger.error("audit checkpoint %s cannot be copied to %s: %s", statement.seq, self._copy.path, error)
            self._copy_problem = f"{self._copy.path}: {error.strerror}"
        if self._command and is_new:
            self._command.put(statement)
        elif self._command:
            self._command.retry()
