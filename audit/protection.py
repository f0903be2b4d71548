"""Who may do what to the audit tables: their owner cannot sign in, and the console may read and add, nothing else.

A trigger refuses changes already (migration 0003), but whoever owns a table can drop its triggers, and whoever owns the
schema can drop the table. So an administrator gives both to a role of their own, once and after each migration of these
tables: ``manage.py protect_audit``. A superuser can still do everything; what one changes is found by ``audit_verify``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

OWNER = "opsc_audit"
"""Owns the audit tables; NOLOGIN, and the console is no member of it."""
GRANTS = {
    "audit_record": ("SELECT", "INSERT"),
    "audit_chain": ("SELECT", "INSERT"),
    "audit_checkpoint": ("SELECT", "INSERT"),
    "audit_pending": ("SELECT", "INSERT", "DELETE"),
}
"""All that the console's role may do to each table."""
TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
FUNCTIONS = ("audit_refuse", "audit_enqueue")
TRIGGERS = (
    *(
        f"{table}_refuse_{what}"
        for table in ("audit_record", "audit_chain", "audit_checkpoint")
        for what in ("change", "truncate")
    ),
    "audit_record_enqueue",
)
_FILE_ROLES = ("pg_execute_server_program", "pg_write_server_files")

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one statement and gives its rows."""


class ProtectionError(Exception):
    """The tables cannot be protected; the message says why and what to do."""


def query_of(connection: psycopg.Connection[Any]) -> Query:
    """Statements on a connection of psycopg."""

    def query(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    return query


def problems(query: Query, console: str) -> list[str]:
    """Ways in which the role ``console`` could change the trail, read from the catalogue; empty when there is none."""
    if not query("SELECT 1 FROM pg_roles WHERE rolname = %s", (console,)):
        return [f"there is no role {console}"]
    of_role = [*_of_role(query, console)]
    if any("superuser" in text for text in of_role):
        return of_role
    return [
        *of_role,
        *_of_owner(query, console),
        *_of_tables(query, console),
        *_of_triggers(query),
    ]


def _of_role(query: Query, console: str) -> Iterator[str]:
    row = query("SELECT rolsuper, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = %s", (console,))[0]
    for has, word in zip(row, ("a superuser", "allowed to make roles", "allowed to replicate"), strict=True):
        if has:
            yield f"the role {console} is {word}"
    for role in _FILE_ROLES:
        if not row[0] and query("SELECT pg_has_role(%s, %s, 'MEMBER')", (console, role))[0][0]:
            yield f"the role {console} is a member of {role} and can write files of the server"
    has_parameters = int(query("SHOW server_version_num", ())[0][0]) >= 150_000
    may_set = "SELECT has_parameter_privilege(%s, 'session_replication_role', 'SET')"
    if not row[0] and has_parameters and query(may_set, (console,))[0][0]:
        yield f"the role {console} may switch triggers off (session_replication_role)"


def _of_owner(query: Query, console: str) -> Iterator[str]:
    found = query(
        "SELECT rolcanlogin, rolsuper, pg_has_role(%s, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s",
        (console, OWNER),
    )
    if not found:
        yield f"there is no role {OWNER}, which is to own the audit tables"
        return
    can_login, is_super, is_member = found[0]
    if can_login:
        yield f"the role {OWNER} can sign in"
    if is_super:
        yield f"the role {OWNER} is a superuser"
    if is_member:
        yield f"the role {console} is a member of {OWNER}"


def _of_tables(query: Query, console: str) -> Iterator[str]:
    for table, granted in GRANTS.items():
        found = query(
            """
            SELECT pg_get_userbyid(c.relowner), pg_get_userbyid(n.nspowner), n.nspname,
                   pg_has_role(%s, n.nspowner, 'MEMBER')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)
            """,
            (console, table),
        )
        if not found:
            yield f"there is no table {table}: run manage.py migrate"
            continue
        owner, schema_owner, schema, owns_schema = found[0]
        if owner != OWNER:
            yield f"{table} belongs to {owner} instead of {OWNER}"
        if owns_schema:
            yield f"{table} is in the schema {schema} of {schema_owner}, so that {console} can drop it"
        yield from _of_rights(query, console, table, granted)
    for name in FUNCTIONS:
        for (owner,) in query("SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = %s", (name,)):
            if owner != OWNER:
                yield f"the function {name} belongs to {owner} instead of {OWNER}"


def _of_rights(query: Query, console: str, table: str, granted: Sequence[str]) -> Iterator[str]:
    for right in TABLE_RIGHTS:
        has = query("SELECT has_table_privilege(%s, to_regclass(%s), %s)", (console, table, right))[0][0]
        if not has and right in ("SELECT", "INSERT", "UPDATE", "REFERENCES") and right not in granted:
            has = query("SELECT has_any_column_privilege(%s, to_regclass(%s), %s)", (console, table, right))[0][0]
        if has and right not in granted:
            yield f"{console} may {right} on {table}"
        if not has and right in granted:
            yield f"{console} may not {right} on {table}, which it needs"


def _of_triggers(query: Query) -> Iterator[str]:
    rows = query("SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgname = ANY(%s)", ([*TRIGGERS],))
    found = {str(name): str(enabled) for name, enabled in rows}
    for name in TRIGGERS:
        if name not in found:
            yield f"the trigger {name} is gone"
        elif found[name] != "A":
            yield f"the trigger {name} does not always run"


def protect(admin: psycopg.Connection[Any], console: str) -> bool:
    """Give the audit tables to their owner and the console its few rights; whether anything had to be changed.

    One transaction; harmless when repeated.

    Args:
        admin: a connection of an administrator to the console's database, in autocommit mode.
        console: the role that the console signs in as.

    Raises:
        ProtectionError: it cannot be done, or the catalogue says afterwards that there is still a way around.
    """
    query = query_of(admin)
    before = problems(query, console)
    if not before:
        return False
    exists = query("SELECT 1 FROM pg_roles WHERE rolname = %s", (console,))
    if hopeless := [*_of_role(query, console)] if exists else before:
        raise ProtectionError(
            "; ".join(hopeless) + ". Let the console sign in as a role of its own: "
            "CREATE ROLE … LOGIN NOSUPERUSER PASSWORD …. Make it the owner of the database and of its tables, and "
            "name it in DATABASE_URL."
        )
    try:
        with admin.transaction():
            _give_away(admin, console)
    except psycopg.Error as error:
        raise ProtectionError(
            f"{str(error).strip()}. DATABASE_ADMIN_URL has to name a superuser, or the role that owns the database and "
            "may create roles."
        ) from error
    if after := problems(query, console):
        raise ProtectionError("the audit tables are still not protected: " + "; ".join(after))
    return True


def _give_away(admin: psycopg.Connection[Any], console: str) -> None:
    owner, role = sql.Identifier(OWNER), sql.Identifier(console)

    def run(text: str, **names: sql.Composable) -> None:
        admin.execute(sql.SQL(text).format(owner=owner, role=role, **names))  # type: ignore[arg-type]

    exists = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone()
    run("ALTER ROLE {owner} NOLOGIN NOSUPERUSER" if exists else "CREATE ROLE {owner} NOLOGIN")
    run("REVOKE {owner} FROM {role}")
    row = admin.execute(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('audit_record')"
    ).fetchone()
    if row is None:
        raise ProtectionError("there is no table audit_record in this database: run manage.py migrate first")
    schema = sql.Identifier(row[0].strip('"'))
    run("ALTER SCHEMA {schema} OWNER TO {owner}", schema=schema)
    run("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}", schema=schema)
    for name, granted in GRANTS.items():
        table = sql.Identifier(name)
        run("ALTER TABLE {table} OWNER TO {owner}", table=table)
        run("REVOKE ALL ON {table} FROM PUBLIC, {role}", table=table)
        run("GRANT {rights} ON {table} TO {role}", table=table, rights=sql.SQL(", ".join(granted)))
    for name in FUNCTIONS:
        run("ALTER FUNCTION {function}() OWNER TO {owner}", function=sql.Identifier(name))


@contextmanager
def opened(admin: psycopg.Connection[Any], console: str) -> Iterator[bool]:
    """While the block runs, the console may migrate the audit tables as if it owned them; whether it was needed."""
    owned = "SELECT 1 FROM pg_class WHERE oid = to_regclass('audit_record') AND pg_get_userbyid(relowner) = %s"
    is_closed = admin.execute(owned, (OWNER,)).fetchone() is not None
    names = {"owner": sql.Identifier(OWNER), "role": sql.Identifier(console)}
    if is_closed:
        admin.execute(sql.SQL("GRANT {owner} TO {role}").format(**names))
    try:
        yield is_closed
    finally:
        if is_closed:
            admin.execute(sql.SQL("REVOKE {owner} FROM {role}").format(**names))
