"""The console's own role, in the database of an installation: it may read and add, and nothing gets it further."""

from __future__ import annotations

import psycopg
import pytest
from django.core import checks
from psycopg import errors

from audit import protection
from tests.audit.conftest import TABLES, add_records
from tests.services import services

CONSOLE = "opsconsole"
EVERY = [*TABLES, "audit_pending"]


@pytest.fixture
def console(protected):
    with protected.console(autocommit=True) as database:
        add_records(database, 2)
        yield database


@pytest.fixture
def admin(protected):
    """A superuser whose changes are rolled back."""
    with protected.admin() as database, database.transaction(force_rollback=True):
        yield database


REFUSED = [
    *(
        f"UPDATE {table} SET {column} = {column}"
        for table, column in zip(EVERY, ("reason", "hash", "head", "record_id"), strict=True)
    ),
    *(f"DELETE FROM {table}" for table in TABLES),
    *(f"TRUNCATE {table} CASCADE" for table in EVERY),
    *(f"DROP TABLE {table} CASCADE" for table in EVERY),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in EVERY),
    *(f"ALTER TABLE {table} OWNER TO {CONSOLE}" for table in EVERY),
    *(f"ALTER TABLE {table} RENAME TO elsewhere" for table in EVERY),
    *(f"DROP TRIGGER {table}_refuse_change ON {table}" for table in TABLES),
    *(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE" for table in TABLES),
    "ALTER TABLE audit_record ADD COLUMN note text",
    "ALTER TABLE audit_record DISABLE TRIGGER audit_record_enqueue",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_record EXECUTE FUNCTION audit_refuse()",
    "CREATE RULE mine AS ON INSERT TO audit_record DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE OR REPLACE FUNCTION audit_enqueue() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DROP FUNCTION audit_refuse() CASCADE",
    "DROP SCHEMA public CASCADE",
    "ALTER SCHEMA public RENAME TO private",
    f"ALTER SCHEMA public OWNER TO {CONSOLE}",
    "SET session_replication_role = replica",
    "ALTER DATABASE protected SET session_replication_role = replica",
    "SET ROLE opsc_audit",
    "SET ROLE postgres",
    f"GRANT opsc_audit TO {CONSOLE}",
    f"GRANT UPDATE ON audit_record TO {CONSOLE}",
    f"ALTER ROLE {CONSOLE} SUPERUSER",
    "COPY audit_record TO PROGRAM 'true'",
    "SELECT * FROM audit_record FOR UPDATE",
]


@pytest.mark.parametrize("act", REFUSED)
def test_the_console_may_not(console, act):
    with pytest.raises(errors.InsufficientPrivilege), console.transaction():
        # GRANT of a right that one does not have is only warned about.
        for notice in _run(console, act):
            raise errors.InsufficientPrivilege(notice)
    assert console.execute("SELECT count(*) FROM audit_record").fetchone() == (2,)


def _run(database, act):
    notices = []
    database.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    database.execute(act)
    return [text for text in notices if "no privileges were granted" in text]


def test_the_console_may_add_read_and_take_notes_off(console):
    assert console.execute("DELETE FROM audit_pending").rowcount == 2
    assert console.execute("SELECT count(*) FROM audit_record").fetchone() == (2,)
    console.execute("CREATE TABLE of_its_own (id int)")
    console.execute("DROP TABLE of_its_own")


def test_a_temporary_table_of_the_same_name_catches_no_note(console):
    console.execute("CREATE TEMP TABLE audit_pending (record_id bigint)")
    add_records(console, 1)
    assert console.execute("SELECT count(*) FROM pg_temp.audit_pending").fetchone() == (0,)
    assert console.execute("SELECT count(*) FROM public.audit_pending").fetchone() == (3,)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("act", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_even_a_superuser_is_refused_as_long_as_the_triggers_are_there(console, admin, table, act):
    column = {"audit_record": "reason", "audit_chain": "hash", "audit_checkpoint": "head"}[table]
    admin.execute("SET LOCAL session_replication_role = replica")
    with pytest.raises(errors.InsufficientPrivilege, match=f"append-only: .* on {table}"), admin.transaction():
        admin.execute(act.format(table, column))


WEAK = {
    "GRANT UPDATE ON audit_record TO opsconsole": "opsconsole may UPDATE on audit_record",
    "GRANT UPDATE (reason) ON audit_record TO PUBLIC": "opsconsole may UPDATE on audit_record",
    "GRANT DELETE ON audit_chain TO PUBLIC": "opsconsole may DELETE on audit_chain",
    "REVOKE INSERT ON audit_checkpoint FROM opsconsole": "opsconsole may not INSERT on audit_checkpoint",
    "GRANT opsc_audit TO opsconsole": "a member of opsc_audit",
    "GRANT pg_write_all_data TO opsconsole": "opsconsole may UPDATE on audit_record",
    "GRANT pg_execute_server_program TO opsconsole": "can write files of the server",
    "GRANT SET ON PARAMETER session_replication_role TO opsconsole": "may switch triggers off",
    "ALTER ROLE opsc_audit LOGIN": "opsc_audit can sign in",
    "ALTER ROLE opsconsole SUPERUSER": "opsconsole is a superuser",
    "ALTER ROLE opsconsole CREATEROLE": "allowed to make roles",
    "ALTER SCHEMA public OWNER TO pg_database_owner": "so that opsconsole can drop it",
    "ALTER TABLE audit_record OWNER TO opsconsole": "audit_record belongs to opsconsole",
    "ALTER FUNCTION audit_refuse() OWNER TO opsconsole": "the function audit_refuse belongs to opsconsole",
    "ALTER TABLE audit_chain DISABLE TRIGGER audit_chain_refuse_change": "refuse_change does not always run",
    "ALTER TABLE audit_chain ENABLE TRIGGER audit_chain_refuse_change": "refuse_change does not always run",
    "DROP TRIGGER audit_record_enqueue ON audit_record": "the trigger audit_record_enqueue is gone",
    "ALTER TABLE audit_pending RENAME TO elsewhere": "there is no table audit_pending",
}


@pytest.mark.parametrize("weakening", WEAK)
def test_each_weakness_is_seen_in_the_catalogue(admin, weakening):
    query = protection.query_of(admin)
    assert protection.problems(query, CONSOLE) == []
    admin.execute(weakening)
    assert any(WEAK[weakening] in text for text in protection.problems(query, CONSOLE))


def test_protecting_again_changes_nothing_and_mends_what_was_weakened(protected):
    with protected.admin(autocommit=True) as admin:
        assert protection.protect(admin, CONSOLE) is False
        admin.execute("GRANT UPDATE ON audit_record TO PUBLIC")
        assert protection.protect(admin, CONSOLE) is True
        assert protection.problems(protection.query_of(admin), CONSOLE) == []


def test_the_console_migrates_the_tables_only_while_they_are_open(protected):
    change = "ALTER TABLE audit_record ADD COLUMN note text"
    with protected.admin(autocommit=True) as admin, protected.console() as console:
        with protection.opened(admin, CONSOLE) as was_closed, console.transaction(force_rollback=True):
            console.execute(change)
        assert was_closed
        with pytest.raises(errors.InsufficientPrivilege), console.transaction():
            console.execute(change)
        assert protection.problems(protection.query_of(admin), CONSOLE) == []


def test_the_command_says_what_it_needs_and_what_it_found(protected):
    assert protected.manage("protect_audit", "--check").stdout == "The audit trail is protected.\n"
    without = protected.manage("protect_audit")
    assert without.returncode == 1 and "Set DATABASE_ADMIN_URL" in without.stderr
    again = protected.manage("protect_audit", "--migrate", DATABASE_ADMIN_URL=protected.admin_url)
    assert again.returncode == 0 and "can read and add records" in again.stdout
    with protected.admin() as database:
        assert database.execute("SELECT count(*) FROM audit_record").fetchone() == (0,)


def test_a_console_that_is_a_superuser_cannot_be_protected_from(protected):
    with protected.admin(autocommit=True) as admin:
        with pytest.raises(protection.ProtectionError, match="postgres is a superuser.*CREATE ROLE"):
            protection.protect(admin, "postgres")
        with pytest.raises(protection.ProtectionError, match="no role nobody_here"):
            protection.protect(admin, "nobody_here")
    with (
        psycopg.connect(services.postgres.url("postgres"), autocommit=True) as elsewhere,
        pytest.raises(protection.ProtectionError, match="run manage.py migrate first"),
    ):
        protection.protect(elsewhere, CONSOLE)


def test_the_deploy_check_warns_where_nobody_protected_the_trail(db):
    found = checks.run_checks(tags=["database"], include_deployment_checks=True, databases=["default"])
    assert {warning.id for warning in found} == {"audit.W001"}
    assert any("audit_record belongs to opsconsole" in warning.msg for warning in found)
    assert checks.run_checks(tags=["database"], include_deployment_checks=True) == []


def test_an_earlier_cluster_is_refused_with_what_to_do(tmp_path, monkeypatch):
    """There the console itself was the administrator, and its name was the first of all."""
    from opsconsole.local.paths import LocalServiceError

    server = services.postgres
    monkeypatch.setattr(server, "user", "somebody_else")
    with pytest.raises(LocalServiceError, match="make demo-reset"):
        server.wait_ready()


def test_the_role_of_the_console_has_no_special_right():
    with psycopg.connect(services.postgres.url()) as database:
        row = database.execute(
            "SELECT rolsuper, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s", (CONSOLE,)
        ).fetchone()
    assert row == (False, False, False, False)
