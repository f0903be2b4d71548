"""Reads the audit trail from the database as it stands there, past the ORM: for the sequencer and for verification."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection as console

from audit import verify
from audit.chain import FIELDS, GENESIS, loads
from audit.checkpoints import Keys, Statement
from audit.verify import Entry, Mark, Walk, Wrong

Connection = psycopg.Connection[Any]
_AT, _BEFORE, _AFTER = (FIELDS.index(name) for name in ("at", "before", "after"))
_CASTS = {"uuid": "::text", "at": "::text", "before": "::text", "after": "::text"}
RECORD = ", ".join(f"r.{name}{_CASTS.get(name, '')}" for name in FIELDS)
ENTRIES = f"""
    SELECT c.seq, c.record_id, c.digest, c.hash, {RECORD}
    FROM audit_chain c LEFT JOIN audit_record r ON r.id = c.record_id
    WHERE c.seq > %s AND c.seq <= %s ORDER BY c.seq
"""
LOST = """
    SELECT r.id FROM audit_record r
    WHERE r.id > %s AND r.id <= %s
      AND NOT EXISTS (SELECT 1 FROM audit_chain c WHERE c.record_id = r.id)
      AND NOT EXISTS (SELECT 1 FROM audit_pending p WHERE p.record_id = r.id)
    ORDER BY r.id LIMIT 1
"""
EMPTIED = """
    SELECT p.record_id FROM audit_pending p
    WHERE NOT EXISTS (SELECT 1 FROM audit_record r WHERE r.id = p.record_id) ORDER BY p.record_id LIMIT 1
"""
STATEMENTS = "SELECT at::text, seq, head, key_id, signature FROM audit_checkpoint"
END = 2**63 - 1
FETCHED = 2_000
"""Rows on the way at a time."""
SAY_EVERY = 50_000
"""Entries between two words of progress."""


def connect(application: str, *, statement_seconds: int = 15) -> Connection:
    """A connection of its own to the console's database, in autocommit mode.

    Args:
        application: a name for the database's list of sessions.
        statement_seconds: limit of one statement; 0 for none.

    Raises:
        psycopg.OperationalError: the database does not answer.
    """
    kept = console.settings_dict
    # Times come as text: in this form, whatever the database's own settings are.
    options = f"-c timezone=UTC -c datestyle=ISO,YMD -c statement_timeout={statement_seconds}s"
    return psycopg.connect(
        host=kept["HOST"] or None,
        port=kept["PORT"] or None,
        dbname=kept["NAME"],
        user=kept["USER"] or None,
        password=kept["PASSWORD"] or None,
        application_name=f"opsconsole {application}",
        connect_timeout=3,
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        options=options,
        autocommit=True,
    )


def fields_of(row: Sequence[Any]) -> dict[str, Any]:
    """The fields of a record from the columns ``RECORD``: the same as ``chain.record_fields`` gives.

    Raises:
        ValueError, RecursionError: what it holds is more than JSON can be here.
    """
    values = [*row]
    values[_AT] = _moment(values[_AT])
    for index in (_BEFORE, _AFTER):
        if values[index] is not None:
            values[index] = loads(values[index])
    return dict(zip(FIELDS, values, strict=True))


def _moment(text: str) -> str:
    """``2026-01-21 03:04:05.12+00`` in the canonical form; a time that no record can have stays as it is."""
    day, _, rest = text.partition(" ")
    time_of_day, plus, zone = rest.partition("+")
    if zone != "00":
        return text
    seconds, _, fraction = time_of_day.partition(".")
    return f"{day}T{seconds}.{fraction:0<6}Z"


def entries(database: Connection, after: int = 0, until: int = END) -> Iterator[Entry]:
    """The entries behind one and up to another, in order, few in memory at a time. Inside a transaction."""
    with database.cursor(name="audit_entries", binary=True) as cursor:
        cursor.itersize = FETCHED
        cursor.execute(ENTRIES, (after, until))
        for row in cursor:
            yield row[0], row[1], row[2], row[3], _fields_or_none(row)


def _fields_or_none(row: Sequence[Any]) -> dict[str, Any] | None:
    if row[4] is None:
        return None
    try:
        return fields_of(row[4:])
    except (ValueError, RecursionError):
        return {}  # digests to something else than what was written


def statements(database: Connection, after: int = -1, until: int = END) -> list[Statement]:
    """The checkpoints in the database for entries behind one and up to another, oldest first."""
    return _statements(database, f"{STATEMENTS} WHERE seq > %s AND seq <= %s ORDER BY id", (after, until))


def signed_ahead(database: Connection) -> Statement | None:
    """A checkpoint that counts more entries than there are; None as long as all is well."""
    ahead = f"{STATEMENTS} WHERE seq > (SELECT coalesce(max(seq), 0) FROM audit_chain) ORDER BY seq DESC LIMIT 1"
    return next(iter(_statements(database, ahead, ())), None)


def _statements(database: Connection, query: str, parameters: Sequence[int]) -> list[Statement]:
    rows = database.execute(query, parameters)  # type: ignore[call-overload]
    return [Statement(_moment(at), seq, bytes(head), key, bytes(signature)) for at, seq, head, key, signature in rows]


def head(database: Connection) -> tuple[int, bytes]:
    """Number and hash of the last entry; (0, 32 zero bytes) for an empty chain."""
    row = database.execute("SELECT seq, hash FROM audit_chain ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(row[0]), bytes(row[1])) if row else (0, GENESIS)


def hash_of(database: Connection, seq: int) -> bytes | None:
    """The hash of an entry as it stands there; None when there is no such entry."""
    if seq == 0:
        return GENESIS
    row = database.execute("SELECT hash FROM audit_chain WHERE seq = %s", (seq,)).fetchone()
    return bytes(row[0]) if row else None


def lost_records(database: Connection, after: int = 0, until: int = END) -> Iterator[Wrong]:
    """The first record that is neither in the chain nor waits for it, and the first that waits and is gone."""
    if row := database.execute(LOST, (after, until)).fetchone():
        yield Wrong(None, f"record {row[0]} is not in the chain and does not wait for it")
    if row := database.execute(EMPTIED).fetchone():
        yield Wrong(None, f"record {row[0]}, which waits for the chain, is gone")


@dataclass(slots=True)
class Result:
    """What a verification found."""

    first: int
    """The first entry that was verified."""
    entries: int = 0
    """Number of the last entry that is as it was written."""
    signed: int = 0
    """Number of the last entry that is covered by a good signature."""
    signed_by: str = ""
    """The checkpoint that covers it, in words."""
    checkpoints: int = 0
    copied: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    """All that was found, the first entry first."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the checkpoints outside the database."""

    name: str
    lines: Sequence[str]
    is_whole: bool = True
    """Whether each line is also in the database; not so for the signature of an idle second."""

    @classmethod
    def of_file(cls, path: Path, *, is_whole: bool = True) -> Copy:
        """The copy in a file. Raises OSError."""
        return cls(str(path), path.read_text(errors="replace").splitlines(), is_whole)


def verify_trail(
    database: Connection,
    keys: Keys,
    copies: Sequence[Copy] = (),
    *,
    start: int = 1,
    progress: Callable[[int], None] = lambda seq: None,
) -> Result:
    """Verify the whole trail, or from entry ``start`` on (what is before is then taken as right).

    In one transaction: better one that sees one state of the database (REPEATABLE READ).

    Raises:
        psycopg.Error: the database does not answer.
    """
    began, result = time.monotonic(), Result(first=start)
    kept = statements(database)
    result.checkpoints = len(kept)
    signed, unsigned = verify.judge(kept, keys, "the database")
    result.wrong += unsigned
    for copy in copies:
        signed += _compare(copy, kept, keys, result)
    _walk(database, signed, result, progress)
    if start == 1:
        result.wrong += lost_records(database)
    newest = max((mark for mark in signed if mark.seq <= result.entries), key=lambda mark: mark.seq, default=None)
    if newest is not None:
        result.signed, result.signed_by = newest.seq, newest.source
    if not signed and result.entries:
        result.wrong.append(Wrong(result.entries, "no checkpoint was ever signed for this chain"))
    elif result.signed < result.entries:
        result.notes.append(
            f"entries from {result.signed + 1:,} on are not signed yet: the next checkpoint covers them"
        )
    result.wrong.sort(key=lambda wrong: END if wrong.seq is None else wrong.seq)
    result.seconds = time.monotonic() - began
    return result


def _compare(copy: Copy, kept: list[Statement], keys: Keys, result: Result) -> list[Mark]:
    copied, unreadable = verify.parse_statements(copy.lines)
    result.copied += len(copied)
    result.notes += [f"line {number} of {copy.name} cannot be read" for number in unreadable]
    signed, unsigned = verify.judge(copied, keys, copy.name)
    result.wrong += unsigned
    if copy.is_whole:
        result.wrong += verify.removed(copied, kept, copy.name)
    return signed


def _walk(database: Connection, signed: list[Mark], result: Result, progress: Callable[[int], None]) -> None:
    before = result.first - 1
    start_hash = hash_of(database, before)
    if start_hash is None:
        result.wrong.append(Wrong(result.first, f"entry {before:,} before it is not there"))
        return
    walk = Walk(before, start_hash, signed)
    wrong = walk.take(_told(entries(database, before), progress)) or walk.end()
    result.entries = walk.seq
    if wrong:
        result.wrong.append(wrong)


def _told(found: Iterable[Entry], progress: Callable[[int], None]) -> Iterator[Entry]:
    for entry in found:
        if entry[0] % SAY_EVERY == 0:
            progress(entry[0])
        yield entry
