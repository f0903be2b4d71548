"""Whether a chain is as it was written. Entries, signed statements and lines in, what is wrong out.

No Django and no database in here: what reads them is in ``audit/trail.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from audit.chain import GENESIS, digest, link, loads
from audit.checkpoints import Keys, Statement

Entry = tuple[int, int, bytes, bytes, dict[str, Any] | None]
"""Number in the chain, id of the record, digest, hash, and the fields of the record, None when it is not there."""
UNUSABLE = (ValueError, TypeError, RecursionError)
"""What ``digest`` raises for fields that no record can have."""

OMITTED = {"type", "seq", "digest"}
"""The members of a line for an entry that an export left out."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that is not as it was written."""

    seq: int | None
    """The entry; None when it is about no entry."""
    what: str

    def __str__(self) -> str:
        return self.what if self.seq is None else f"entry {self.seq:,}: {self.what}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a signed statement says of the chain."""

    seq: int
    head: bytes
    source: str
    """For people: ``checkpoint of 2026-01-21T03:04:05Z in the database``."""


class Walk:
    """Goes along the chain, entry by entry, and stops at the first one that is wrong.

    Args:
        seq, head: the entry to start behind and its hash, which is taken as right.
        marks: what was signed. Those before the start are left out.
    """

    def __init__(self, seq: int = 0, head: bytes = GENESIS, marks: Iterable[Mark] = ()) -> None:
        self.seq, self.head = seq, head
        self._marks = sorted((mark for mark in marks if mark.seq > seq), key=lambda mark: -mark.seq)

    def take(self, entries: Iterable[Entry]) -> Wrong | None:
        """Verify the entries that follow; the first wrong one, or None. May be called again with the next ones."""
        seq, head, marks = self.seq, self.head, self._marks
        try:
            for number, record_id, kept_digest, kept_hash, fields in entries:
                if number != seq + 1:
                    return missing(seq + 1, number - 1) if number > seq else Wrong(number, "stands twice in the chain")
                if fields is None:
                    return Wrong(number, f"its record {record_id} is gone")
                if _digest(fields) != kept_digest:
                    return Wrong(number, f"its record {record_id} is not as it was written")
                head_now = link(head, kept_digest)
                if head_now != kept_hash:
                    return Wrong(number, "its hash does not follow from the entry before it")
                seq, head = number, head_now
                while marks and marks[-1].seq == seq:
                    if (mark := marks.pop()).head != head:
                        return Wrong(seq, f"its hash is not the one in the {mark.source}: the chain was made anew")
        finally:
            self.seq, self.head = seq, head
        return None

    def end(self) -> Wrong | None:
        """Whether something was signed that lies behind the last entry: then the end of the chain was cut off."""
        if not self._marks:
            return None
        last = self._marks[0]
        gone = missing(self.seq + 1, last.seq)
        return Wrong(gone.seq, f"{gone.what}: the {last.source} counts {last.seq:,} entries")


def missing(first: int, last: int) -> Wrong:
    """A gap in the numbers of the chain."""
    return Wrong(first, "is gone" if first == last else f"and those up to {last:,} are gone")


def judge(statements: Iterable[Statement], keys: Keys, place: str) -> tuple[list[Mark], list[Wrong]]:
    """What statements say of the chain, and which of them nobody trusted has signed or stand out of order."""
    good: list[Mark] = []
    wrong: list[Wrong] = []
    before: Statement | None = None
    for statement in statements:
        words = source(statement, place)
        if problem := statement.problem(keys):
            wrong.append(Wrong(statement.seq, f"the {words} {problem}"))
        elif before is not None and (statement.seq < before.seq or statement.at < before.at):
            wrong.append(Wrong(statement.seq, f"the {words} stands behind a later one"))
        else:
            before = statement
            good.append(Mark(statement.seq, statement.head, words))
    return good, wrong


def removed(copied: Iterable[Statement], kept: Iterable[Statement], place: str) -> Iterable[Wrong]:
    """Statements of a copy that the database no longer has. (It may have some that could not be copied.)"""
    known = {statement.signature for statement in kept}
    for statement in copied:
        if statement.signature not in known:
            yield Wrong(statement.seq, f"the {source(statement, place)} is gone from the database")


def source(statement: Statement, place: str) -> str:
    """A statement in words."""
    return f"checkpoint of {statement.at} in {place}"


def parse_statements(lines: Iterable[str]) -> tuple[list[Statement], list[int]]:
    """The statements of a copy, and the numbers of lines that are none (a crash may have torn one)."""
    statements, unreadable = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                statements.append(Statement.parse(line))
            except ValueError:
                unreadable.append(number)
    return statements, unreadable


class ExportWalk:
    """Verifies an export with its proof (JSON Lines), line by line.

    An export has the records that were asked for, in the order of the chain; entries in between that were left out
    stand with their digest only. So the hashes can be computed up to a signed checkpoint, the last line.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._head: bytes | None = None
        self.seq = self.records = self.omitted = self.pending = 0
        self.statement: Statement | None = None

    def take(self, line: str) -> Wrong | None:
        """Verify the next line; what is wrong with it, or None."""
        try:
            given = loads(line)
            kind = given["type"]
            if self.statement is not None and kind != "pending":
                return Wrong(None, "there is something behind the checkpoint, which is to be the last line")
            if kind in ("record", "omitted"):
                return self._entry(given)
            if kind == "checkpoint":
                return self._checkpoint(line)
            if kind == "pending":
                self.pending += 1
                return None
        except (KeyError, AttributeError, *UNUSABLE) as error:
            return Wrong(self.seq + 1, f"its line is not as an export has it ({error!r})")
        return Wrong(self.seq + 1, f"its line has the unknown type {kind!r}")

    def end(self) -> Wrong | None:
        """Whether the last line was missing."""
        if self.statement is None and self.records + self.omitted:
            return Wrong(self.seq, "no checkpoint follows: the file was cut, or is not whole yet")
        return None

    def _entry(self, given: dict[str, Any]) -> Wrong | None:
        seq, kept = int(given["seq"]), bytes.fromhex(given["digest"])
        if self._head is None:
            if given["type"] != "record":
                return Wrong(seq, "the export does not begin with a record")
            self.seq, self._head = seq - 1, bytes.fromhex(given["prev"])
        if seq != self.seq + 1:
            return missing(self.seq + 1, seq - 1) if seq > self.seq else Wrong(seq, "stands twice in the file")
        head = link(self._head, kept)
        if given["type"] == "record":
            if _digest(given["record"]) != kept:
                return Wrong(seq, "its record is not as it was written")
            if bytes.fromhex(given["prev"]) != self._head or bytes.fromhex(given["hash"]) != head:
                return Wrong(seq, "its hash does not follow from the entry before it")
            self.records += 1
        elif given.keys() != OMITTED:
            return Wrong(seq, "is said to be left out, but its line says more than its digest")
        else:
            self.omitted += 1
        self.seq, self._head = seq, head
        return None

    def _checkpoint(self, line: str) -> Wrong | None:
        statement = Statement.parse(line)
        self.statement = statement
        if problem := statement.problem(self._keys):
            return Wrong(statement.seq, f"the {source(statement, 'the file')} {problem}")
        if self._head is None:
            return None
        if statement.seq != self.seq or statement.head != self._head:
            return Wrong(self.seq, f"its hash is not the one in the {source(statement, 'the file')}")
        return None


def _digest(fields: dict[str, Any]) -> bytes:
    """No digest equals that of fields that no record can have."""
    try:
        return digest(fields)
    except UNUSABLE:
        return b""
