"""``manage.py protect_audit``: take the audit tables out of the console's own hands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from audit import protection
from audit.actions import record
from audit.actors import system
from audit.checks import query

ACTOR = system("protect_audit")


class Command(BaseCommand):
    help = (
        "Give the audit tables to a role that cannot sign in, so that the console can read and add records but never "
        "change one. Needs DATABASE_ADMIN_URL. Running it again is harmless. Use --migrate instead of the command "
        "migrate: migrations of the audit tables need the administrator, too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="migrate everything first, then protect")
        parser.add_argument("--check", action="store_true", help="change nothing; status 1 and a list when unprotected")

    def handle(self, *args: object, migrate: bool, check: bool, **options: Any) -> None:
        console = str(connection.settings_dict["USER"])
        if check:
            if found := protection.problems(query, console):
                raise CommandError("The audit trail could be changed:\n" + "\n".join(f"  {text}" for text in found))
            self.stdout.write("The audit trail is protected.")
            return
        try:
            with _administrator() as admin:
                if migrate:
                    self._migrate(admin, console, int(options["verbosity"]))
                changed = protection.protect(admin, console)
        except protection.ProtectionError as error:
            raise CommandError(f"The audit tables cannot be protected: {error}") from error
        if changed:
            with transaction.atomic():
                record(ACTOR, "audit.protected", after={"owner": protection.OWNER, "console": console})
        self.stdout.write(f"The audit trail is protected: {console} can read and add records, and change none.")

    def _migrate(self, admin: psycopg.Connection[Any], console: str, verbosity: int) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        ours = [migration.name for migration, _ in plan if migration.app_label == "audit"]
        if not ours:
            call_command("migrate", verbosity=verbosity)
            return
        with protection.opened(admin, console) as was_closed:
            call_command("migrate", verbosity=verbosity)
        if was_closed:
            with transaction.atomic():
                record(ACTOR, "audit.opened", after={"migrations": ours})


@contextmanager
def _administrator() -> Iterator[psycopg.Connection[Any]]:
    url = settings.CONFIG.database_admin_url
    if not url:
        raise CommandError(
            "Set DATABASE_ADMIN_URL to the console's database with an administrator's role, for this command only: "
            "DATABASE_ADMIN_URL=postgresql://postgres:…@host:5432/name manage.py protect_audit"
        )
    try:
        admin = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.Error as error:
        raise CommandError(f"DATABASE_ADMIN_URL does not lead to a database: {str(error).strip()}") from error
    with admin:
        if admin.info.dbname != connection.settings_dict["NAME"]:
            raise CommandError(
                f"DATABASE_ADMIN_URL leads to the database {admin.info.dbname}, "
                f"but DATABASE_URL to {connection.settings_dict['NAME']}: name the same."
            )
        yield admin
