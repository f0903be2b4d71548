"""What is in a schema: its tables, their rows, whether each can be read, and the SQL around a restore. No Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from psycopg import sql

from trading.database_tools import Place, ToolError

Report = Callable[[int, str], None]
"""Told how far it is, in per cent, and what it does now."""
READY = "opsconsole-restored-and-checked"
"""What psql prints when everything is restored and checked, and nothing is committed yet."""
_TABLES = """
SELECT c.relname, pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relkind = 'r' ORDER BY c.relname
"""
_OUTSIDE = """
SELECT format('view %%I.%%I', vn.nspname, v.relname)
  FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace vn ON vn.oid = v.relnamespace
  JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE tn.nspname = %(schema)s AND vn.nspname <> %(schema)s
UNION
SELECT format('foreign key %%I of %%I.%%I', f.conname, tn.nspname, t.relname)
  FROM pg_constraint f JOIN pg_class t ON t.oid = f.conrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_class r ON r.oid = f.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
 WHERE f.contype = 'f' AND rn.nspname = %(schema)s AND tn.nspname <> %(schema)s
 ORDER BY 1 LIMIT 5
"""
# The tables at once, so that each is locked for the shortest time; what is not in the backup goes, too.
_CLEAR = """DO $opsc$
DECLARE one record;
BEGIN
  FOR one IN SELECT c.oid, c.oid::regclass AS name,
      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
      WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY c.relkind = 'S'
  LOOP
    IF EXISTS (SELECT FROM pg_class WHERE oid = one.oid) THEN
      EXECUTE format('DROP %s %s CASCADE', one.kind, one.name);
    END IF;
  END LOOP;
END $opsc$;
"""
_CHECK = """DO $opsc$
DECLARE found bigint;
BEGIN
  SELECT count(*) INTO found FROM {table};
  IF found <> {rows} THEN
    RAISE EXCEPTION 'the restored table % has % rows, not the % of the backup', {name}, found, {rows};
  END IF;
END $opsc$;
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading every table to its last byte."""

    rows: dict[str, int]
    """Rows of each table that can be read."""
    unreadable: dict[str, str]
    """Why the others cannot."""
    missing: tuple[str, ...] = ()
    """Tables that the last backup has, and that are not there any more."""
    fewer: tuple[str, ...] = ()
    """Tables with fewer rows than in the last backup, in words; that may be right."""


def tables(connection: psycopg.Connection, place: Place) -> dict[str, int]:
    """Each table of the schema with its size in bytes, without indexes.

    Raises:
        ToolError: there is no such schema, or no table in it.
    """
    if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (place.schema,)).fetchone():
        raise ToolError(f"There is no schema {place.schema} in {place.where}. Check `database.schema`.")
    found = {str(name): int(size) for name, size in connection.execute(_TABLES, (place.schema,))}
    if not found:
        raise ToolError(f"The schema {place.schema} of {place.where} has no table: there is nothing to back up.")
    return found


def count(connection: psycopg.Connection, place: Place, names: Mapping[str, int], report: Report) -> dict[str, int]:
    """Rows of each table. Raises ToolError when one cannot be read."""
    found = {}
    for number, name in enumerate(names):
        report(10 * number // len(names), f"Counting the rows of {name}")
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(place.schema, name))
        try:
            row = connection.execute(query).fetchone()
        except psycopg.Error as error:
            raise ToolError(f"The table {name} cannot be read: {_said(place, error)}.") from None
        found[name] = int(row[0]) if row else 0
    return found


def read_everything(place: Place, expected: Mapping[str, int], report: Report) -> Reading:
    """Read every value of every table, and compare with the rows of the last backup.

    Raises:
        ToolError: the database cannot be reached, or has no such schema.
    """
    with place.connect() as connection:
        names = _listed(connection, place)
    rows: dict[str, int] = {}
    unreadable: dict[str, str] = {}
    for number, name in enumerate(names):
        report(100 * number // len(names), f"Reading {name}")
        try:
            rows[name] = _read(place, name)
        except psycopg.Error as error:
            unreadable[name] = _said(place, error)
    missing = tuple(sorted(set(expected) - set(names)))
    fewer = tuple(
        f"{name} has {rows[name]:,} rows, {expected[name]:,} in the last backup"
        for name in sorted(rows)
        if rows[name] < expected.get(name, 0)
    )
    return Reading(rows, unreadable, missing, fewer)


def _listed(connection: psycopg.Connection, place: Place) -> list[str]:
    """The tables; none at all is a damage to be told like any other, not an error."""
    return [str(name) for name, _ in connection.execute(_TABLES, (place.schema,))]


def _read(place: Place, name: str) -> int:
    """Rows of one table, each of them read in full: COPY writes one line a row."""
    query = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(place.schema, name))
    # A connection of its own: a page that is damaged enough takes the server's process along.
    with place.connect() as connection, connection.cursor().copy(query) as copy:
        return sum(bytes(block).count(b"\n") for block in copy)


def refuse_outside(place: Place) -> None:
    """Raise ToolError when something in another schema hangs on this one: a restore would take it along."""
    with place.connect() as connection:
        found = [str(name) for (name,) in connection.execute(_OUTSIDE, {"schema": place.schema})]
    if found:
        raise ToolError(
            f"Outside of the schema {place.schema}, these depend on it: {', '.join(found)}. A restore would drop them. "
            "Remove them first. Nothing was changed."
        )


def opening(place: Place, *, make_schema: bool) -> bytes:
    """SQL before a restore: within one transaction, the schema is emptied."""
    make = sql.SQL("CREATE SCHEMA IF NOT EXISTS {};\n").format(sql.Identifier(place.schema)).as_string(None)
    clear = sql.SQL(_CLEAR).format(schema=sql.Literal(place.schema)).as_string(None)
    return f"BEGIN;\n{make if make_schema else ''}{clear}".encode()


def closing(place: Place, rows: Mapping[str, int]) -> bytes:
    """SQL after a restore: each table has the rows of the backup, or the transaction ends in an error."""
    checks = [
        sql.SQL(_CHECK)
        .format(table=sql.Identifier(place.schema, name), rows=sql.Literal(number), name=sql.Literal(name))
        .as_string(None)
        for name, number in sorted(rows.items())
    ]
    return f"\n{''.join(checks)}SELECT '{READY}';\n".encode()


@contextmanager
def scratch(place: Place) -> Iterator[Place]:
    """A database to restore into for a trial: one kept for it (``<name>_verify``), else a new one, dropped after.

    Raises:
        ToolError: there is none, and the role may not make one.
    """
    kept = f"{place.database}_verify"
    with place.connect(autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (kept,)).fetchone():
            yield place.elsewhere(kept)
            return
        row = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if not (row and row[0]):
            raise ToolError(
                f"A verification restores into a database of its own. The role {place.role} may not make one, and "
                f'there is none called {kept}. An administrator of the server makes it once: CREATE DATABASE "{kept}" '
                f'OWNER "{place.role}".'
            )
        _drop_left_over(connection, kept)
    name = f"{kept[:50]}_{uuid4().hex[:8]}"
    with place.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield place.elsewhere(name)
    finally:
        with place.connect(autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def empty(place: Place) -> None:
    """Remove what a trial left in the schema."""
    with place.connect() as connection:
        connection.execute(sql.SQL(_CLEAR).format(schema=sql.Literal(place.schema)))


def _drop_left_over(connection: psycopg.Connection, kept: str) -> None:
    """What a killed worker left: databases of our name, of this role, in which nobody is."""
    query = """SELECT datname FROM pg_database d WHERE datname ~ %s AND datdba = current_user::regrole
        AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datid = d.oid)"""
    pattern = "^" + kept[:50].replace(".", r"\.") + "_[0-9a-f]{8}$"
    for (name,) in connection.execute(query, (pattern,)).fetchall():
        try:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        except psycopg.errors.ObjectInUse:  # another environment's verification has just begun there
            continue


def _said(place: Place, error: psycopg.Error) -> str:
    lines = place.clean(str(error)).strip().splitlines()
    return " ".join(lines[0].split())[:300] if lines else type(error).__name__
