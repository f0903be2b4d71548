"""Backing up, verifying and restoring a schema with PostgreSQL's tools. No Django.

A backup and the numbers of rows in its manifest are of one snapshot. A restore is one transaction: the schema is
emptied, filled from the backup, and its rows are counted before the commit, so that whatever goes wrong leaves the data
as it was.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import IsolationLevel

from trading import database_book as book
from trading import database_files as files
from trading.database_book import Report
from trading.database_tools import Place, Programs, Running, ToolError, own_command, programs

REPORT_SECONDS = 0.5
OWN_SECONDS = 2 * 3600
_DUMPING = re.compile(r'dumping contents of table "[^"]*?\.([^".]+)"')
_PERCENT = re.compile(r"(?<!\d)(\d{1,3})(?:\.\d+)?\s?%")
_COPYING = """
SELECT coalesce(sum(p.tuples_processed), 0) FROM pg_stat_progress_copy p JOIN pg_stat_activity a USING (pid)
 WHERE a.application_name = %s
"""
# The tools of version 17 and newer write it, older servers do not know it.
_NEW_SETTING, _KNOWS_IT = b"SET transaction_timeout = 0;\n", 17


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that was made."""

    path: Path
    size: int
    sha256: str
    seconds: float
    rows: dict[str, int]
    """Of each table, in the snapshot of the backup; empty for one of an own command."""
    server: int
    """Major version of the server; 0 when it is not known."""
    tool: str
    said: str = ""
    """The end of what an own command said."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup as it was kept, to be verified or restored."""

    path: Path
    size: int | None
    sha256: str
    rows: Mapping[str, int]


class CommitUnknown(ToolError):
    """The connection broke at the very commit of a restore."""


class _Meter:
    """How many rows are written: whole tables as pg_dump says, within the present one as the server says."""

    def __init__(self, rows: Mapping[str, int], place: Place, name: str) -> None:
        self._rows, self._name, self._before = rows, name, 0
        self._current = ""
        self._looked, self._best = 0.0, 0
        self._connection: psycopg.Connection | None = place.connect(autocommit=True)

    def line(self, line: str) -> None:
        """What pg_dump says; told in another thread."""
        if found := _DUMPING.search(line):
            self._before += self._rows.get(self._current, 0)
            self._current = found.group(1)

    def report(self, report: Report, low: int, high: int) -> None:
        """Tell how far it is, at most twice a second."""
        if time.monotonic() - self._looked < REPORT_SECONDS:
            return
        self._looked = time.monotonic()
        # The server forgets a table's progress at its end, a moment before pg_dump names the next one.
        done = self._best = max(self._best, min(self._before + self._inside(), total := sum(self._rows.values())))
        report(low + (high - low) * done // max(total, 1), f"Writing {self._current}" if self._current else "Writing")

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()

    def _inside(self) -> int:
        if self._connection is None:
            return 0
        try:
            row = self._connection.execute(_COPYING, (self._name,)).fetchone()
        except psycopg.Error:  # a server older than 14 does not tell
            self.close()
            self._connection = None
            return 0
        return int(row[0]) if row else 0


def back_up(place: Place, path: Path, report: Report) -> Copy:
    """Copy the schema into a file, as pg_dump's custom format.

    Raises:
        ToolError: it could not be made; nothing is kept then.
    """
    began, name = time.monotonic(), f"opsconsole backup {path.stem}"[:60]
    report(0, "Opening the database")
    with place.connect() as connection:
        connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
        server = connection.info.server_version // 10_000
        tools = programs(server)
        (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        sizes = book.tables(connection, place)
        files.refuse_full(path.parent, sum(sizes.values()))
        rows = book.count(connection, place, sizes, report)
        command = [tools.path("pg_dump"), "--format=custom", "--verbose", "--no-password"]
        command += [f"--schema={place.schema}", f"--snapshot={snapshot}", f"--dbname={place.address}"]
        meter = _Meter(rows, place, name)
        try:
            with (
                files.Writer(path) as writer,
                Running([*command, "--lock-wait-timeout=15000"], place, name=name, on_line=meter.line) as dump,
            ):
                for chunk in dump.chunks():
                    writer.write(chunk)
                    meter.report(report, 10, 95)
                dump.finish()
                report(95, "Bringing it safely to the disk")
                digest = writer.keep()
        finally:
            meter.close()
    return Copy(path, writer.size, digest, time.monotonic() - began, rows, server, f"pg_dump {tools.major}")


def back_up_by(command: tuple[str, ...], place: Place, path: Path, report: Report) -> Copy:
    """Copy with an own command. Raises ToolError."""
    began, part = time.monotonic(), path.with_name(path.name + files.PART)
    files.refuse_full(path.parent, 0)
    try:
        said = run_own(command, place, part, report)
        report(97, "Computing the checksum")
        digest, size = files.adopt(part, path)
    finally:
        part.unlink(missing_ok=True)
    return Copy(path, size, digest, time.monotonic() - began, {}, 0, Path(command[0]).name, said)


def run_own(command: tuple[str, ...], place: Place, file: Path, report: Report) -> str:
    """Run an own command to its end; what it said last. A percentage that it prints is its progress.

    Raises:
        ToolError: its exit status is not 0, or it takes longer than two hours.
    """
    seen = [0]

    def heard(line: str) -> None:
        if found := _PERCENT.search(line):
            seen[0] = max(seen[0], min(95, int(found.group(1))))

    words = own_command(command, place, file)
    environ = {"OPSC_DATABASE_URL": place.url, "OPSC_DATABASE_SCHEMA": place.schema}
    with Running(words, place, environ=environ, on_line=heard, feed=True, seconds=OWN_SECONDS) as running:
        while not running.ended_within(REPORT_SECONDS):
            report(seen[0], f"Running {running.name}")
        running.finish()
        return running.said


def verify(place: Place, kept: Kept, report: Report) -> None:
    """Prove that a backup can be restored: checksum, table of contents, and a restore into a database of its own.

    Raises:
        ToolError: it cannot, and why.
    """
    check_file(kept, report, 0, 15)
    with place.connect() as connection:
        tools = programs(connection.info.server_version // 10_000)
    report(15, "Reading its table of contents")
    _refuse_missing(tools, place, kept)
    with book.scratch(place) as other:
        report(20, f"Restoring into the database {other.database}")
        try:
            load(other, kept, report, low=20, high=95, is_trial=True)
        finally:
            if not other.database.startswith(f"{place.database}_verify_"):
                report(96, "Emptying the database of the trial")
                book.empty(other)


def check_file(kept: Kept, report: Report, low: int, high: int) -> None:
    """Raise ToolError when the file of a backup is not what was written."""
    size = max(kept.size or 0, 1)
    text = "Comparing the checksum of the file"
    files.refuse_changed(
        kept.path, kept.size, kept.sha256, lambda done: report(low + (high - low) * done // size, text)
    )


def _refuse_missing(tools: Programs, place: Place, kept: Kept) -> None:
    with Running([tools.path("pg_restore"), "--list", str(kept.path)], place, seconds=300) as listing:
        text = b"".join(listing.chunks()).decode("utf-8", "replace")
        listing.finish()
    missing = [name for name in sorted(kept.rows) if f" TABLE DATA {place.schema} {name} " not in text]
    if missing:
        raise ToolError(f"The backup has no data of these tables of its manifest: {', '.join(missing)}.")


def load(
    place: Place,
    kept: Kept,
    report: Report,
    *,
    low: int,
    high: int,
    is_trial: bool = False,
    may_commit: Callable[[], None] = lambda: None,
) -> None:
    """Replace what is in the schema by a backup, in one transaction.

    Args:
        is_trial: into a database that is only for it: the schema is made there, rights are not given.
        may_commit: asked last, when all is restored and counted; what it raises leaves the data as it was.

    Raises:
        ToolError: nothing was changed.
        CommitUnknown: whether the restore holds is not known.
    """
    with place.connect() as connection:
        server = connection.info.server_version // 10_000
    checked = threading.Event()
    name = f"opsconsole restore {place.schema}"[:60]
    read, write = _commands(programs(server), place, kept, is_trial=is_trial)
    with (
        Running(write, place, name=name, on_line=partial(_hear, checked), feed=True) as target,
        Running(read, place, name=name) as source,
    ):
        target.send(book.opening(place, make_schema=is_trial))
        total = max(sum(kept.rows.values()), 1)
        for done in _send(source, target, knows_it=server >= _KNOWS_IT):
            report(low + (high - low) * min(done, total) // (total + total // 20 + 1), "Restoring")
        source.finish()  # only an archive that was read to its end may be committed
        report(high - 1, "Counting the rows that were restored")
        target.send(book.closing(place, kept.rows))
        _wait(target, checked)
        may_commit()
        _commit(target)


def _send(source: Running, target: Running, *, knows_it: bool) -> Iterator[int]:
    """Give psql what pg_restore writes; how many lines so far."""
    done = 0
    for chunk in source.chunks():
        target.send(chunk if knows_it else chunk.replace(_NEW_SETTING, b""))
        done += chunk.count(b"\n")
        yield done


def _hear(checked: threading.Event, line: str) -> None:
    if line.strip() == book.READY:
        checked.set()


def _commands(tools: Programs, place: Place, kept: Kept, *, is_trial: bool) -> tuple[list[str], list[str]]:
    """What writes the backup as SQL, and what takes it."""
    read = [tools.path("pg_restore"), "--file=-", f"--schema={place.schema}", "--clean", "--if-exists", "--no-owner"]
    read += ["--no-privileges"] if is_trial else []
    write = [tools.path("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"]
    return [*read, str(kept.path)], [*write, "--set=ON_ERROR_STOP=1", f"--dbname={place.address}"]


def _wait(target: Running, checked: threading.Event) -> None:
    """Until psql has done everything so far; raises ToolError when it failed."""
    while not checked.wait(REPORT_SECONDS):
        if target.ended_within(0):
            target.finish()
            raise ToolError("psql ended before everything was restored. Nothing was changed.")


def _commit(target: Running) -> None:
    try:
        target.send(b"COMMIT;\n")
        target.finish()
    except ToolError as error:
        raise CommitUnknown(
            f"The connection broke at the commit, so it is not known whether the restore holds: {error} Verify the "
            "data as it is now, and compare the rows with the backup, before anything trades."
        ) from None
