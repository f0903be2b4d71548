"""System check of the audit trail: ``manage.py check --deploy --database default``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import Tags, Warning, register
from django.db import Error as DatabaseError
from django.db import connection

from audit import protection


@register(Tags.database, deploy=True)
def trail_is_protected(app_configs: object, databases: Sequence[str] | None = None, **kwargs: object) -> list[Warning]:
    """W001: the console's own role could change the audit trail. W002: that could not be looked at."""
    if not databases or connection.alias not in databases:
        return []
    try:
        found = protection.problems(query, str(connection.settings_dict["USER"]))
    except DatabaseError as error:
        return [Warning(f"Whether the audit trail is protected could not be read: {error}", id="audit.W002")]
    hint = "Run manage.py protect_audit with DATABASE_ADMIN_URL set."
    return [Warning(f"The audit trail could be changed: {problem}.", hint=hint, id="audit.W001") for problem in found]


def query(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a statement on the console's own connection."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
