"""Verifies the chain little by little while the console runs, so that the page can say what is known without a walk.

New entries are verified as soon as they are written, by reading them back. Beside that a walk goes over all entries, a
slice at a time, and begins anew when it came to the end: it finds what was changed long after it was written. A page
may say "intact to entry N" because of the first, and "all of it looked at on this day" because of the second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, close_old_connections, transaction

from audit import trail, verify
from audit.actions import record
from audit.actors import system
from audit.checkpoints import KeyFileError, Keys, trusted_keys
from audit.copies import CopyFile
from audit.models import Verification
from audit.verify import Walk, Wrong

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
SLICE = 1_000
"""Entries of the walk at each tick: some 40 ms of work a second."""
LOST_SLICE = 20_000
REST_SECONDS = 60.0
"""Between two walks."""
ACTOR = system("audit walker")


class Walker:
    """Runs until stopped.

    Args:
        is_wanted: whether it shall verify now: beside the sequencer that works, not beside one that waits.
    """

    def __init__(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._is_wanted = is_wanted
        self._stop = threading.Event()
        self._tail: Walk | None = None
        self._walk: Walk | None = None
        self._lost_from: int | None = None
        self._rest_until = 0.0

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()

    def run(self) -> None:
        """Verify a little every second."""
        while not self._stop.is_set():
            try:
                with trail.connect("audit walker") as database:
                    while not self._stop.wait(TICK_SECONDS):
                        close_old_connections()
                        if self._is_wanted():
                            self.tick(database)
            except (psycopg.Error, DatabaseError) as error:
                logger.warning("audit walker: the database is lost: %s", error)
                self._stop.wait(TICK_SECONDS)
            except (KeyFileError, OSError) as error:
                logger.error("audit walker: %s", error)
                self._stop.wait(REST_SECONDS)

    def tick(self, database: trail.Connection) -> None:
        """Verify what is new and one slice of the walk, and note how far it is.

        Raises:
            psycopg.Error, DatabaseError: the database does not answer.
            KeyFileError, OSError: the keys or the copy cannot be read.
        """
        state, _ = Verification.objects.get_or_create(pk=1)
        keys = trusted_keys(settings.AUDIT_SIGNING_KEY)
        wrong = self._look_at_tail(database, state, keys)
        changes: dict[str, Any] = {"tail_seq": state.tail_seq, "tail_at": datetime.now(UTC)}
        if wrong is None and time.monotonic() >= self._rest_until:
            wrong = self._look_at_slice(database, keys, changes)
        if wrong is not None:
            self._tail = self._walk = self._lost_from = None
            self._rest_until = time.monotonic() + REST_SECONDS
        Verification.objects.filter(pk=1).update(**changes)
        self._tell(state, wrong, came_round="walked_at" in changes)

    def _look_at_tail(self, database: trail.Connection, state: Verification, keys: Keys) -> Wrong | None:
        """Verify the entries since the last look, and what the newest signature outside the database says."""
        if self._tail is None:
            kept = trail.hash_of(database, state.tail_seq)
            if kept is None:
                return verify.missing(state.tail_seq, state.tail_seq)
            self._tail = Walk(state.tail_seq, kept)
        elif trail.hash_of(database, self._tail.seq) != self._tail.head:
            return Wrong(self._tail.seq, "is not what it was when it was verified last")
        copied = CopyFile(settings.AUDIT_CHECKPOINTS).last(lambda statement: not statement.problem(keys))
        if copied is not None and trail.hash_of(database, copied.seq) != copied.head:
            return Wrong(
                copied.seq, f"is not what was signed: {verify.source(copied, str(settings.AUDIT_CHECKPOINTS))}"
            )
        if ahead := trail.signed_ahead(database):
            signed, unsigned = verify.judge([ahead], keys, "the database")
            return unsigned[0] if unsigned else Walk(*trail.head(database), signed).end()
        wrong = self._tail.take(_slice(database, self._tail.seq, 10 * SLICE))
        state.tail_seq = self._tail.seq
        return wrong

    def _look_at_slice(self, database: trail.Connection, keys: Keys, changes: dict[str, Any]) -> Wrong | None:
        if self._lost_from is not None:
            return self._look_for_lost(database, changes)
        walk = self._walk or Walk()
        self._walk = walk
        before = walk.seq
        signed, unsigned = verify.judge(trail.statements(database, before, before + SLICE), keys, "the database")
        walk = self._walk = Walk(walk.seq, walk.head, signed)
        wrong = walk.take(_slice(database, before, SLICE)) or (unsigned[0] if unsigned else None)
        changes["walk_seq"] = walk.seq
        if wrong is None and walk.seq < before + SLICE:
            self._lost_from = 0
        return wrong

    def _look_for_lost(self, database: trail.Connection, changes: dict[str, Any]) -> Wrong | None:
        """After the entries: whether a record was never chained, a slice of ids at a time."""
        assert self._lost_from is not None and self._walk is not None
        until = self._lost_from + LOST_SLICE
        wrong = next(trail.lost_records(database, self._lost_from, until), None)
        row = database.execute("SELECT max(id) FROM audit_record").fetchone()
        self._lost_from = until
        if wrong is None and until >= ((row and row[0]) or 0):
            changes |= {"walked_seq": self._walk.seq, "walked_at": datetime.now(UTC)}
            self._walk = self._lost_from = None
            self._rest_until = time.monotonic() + REST_SECONDS
        return wrong

    @staticmethod
    def _tell(state: Verification, wrong: Wrong | None, *, came_round: bool) -> None:
        """Note and record the first thing that is wrong, and later that a whole walk found all right again."""
        if wrong is not None and not state.wrong_what:
            logger.critical("audit chain is not as it was written: %s", wrong)
            found = {"wrong_seq": wrong.seq, "wrong_what": str(wrong), "wrong_at": datetime.now(UTC)}
            act, after = "audit.chain_wrong", {"entry": wrong.seq, "what": str(wrong)}
        elif wrong is None and state.wrong_what and came_round:
            found = {"wrong_seq": None, "wrong_what": "", "wrong_at": None}
            act, after = "audit.chain_right", {"what_was_wrong": state.wrong_what}
        else:
            return
        with transaction.atomic():
            Verification.objects.filter(pk=1).update(**found)
            record(ACTOR, act, after=after)


def _slice(database: trail.Connection, after: int, length: int) -> Iterator[verify.Entry]:
    with database.transaction():
        yield from trail.entries(database, after, after + length)
