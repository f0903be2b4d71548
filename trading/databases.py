"""The use cases of a trading system's database: back up, verify, restore.

Each makes a run; a worker carries it out (``database_runs.py``). One runs in an environment at a time.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from accounts.domain import InvalidRequest
from accounts.roles import CONFIGURE
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from audit.models import Outcome
from environments.models import Environment
from environments.permissions import require
from trading import database_events, database_guard, database_runs
from trading.errors import NotConfigured, WrongState
from trading.models import DatabaseRun

REASON_LIMIT = 2000
RESTORE = "database.restore"
"""The audited name of the act; what the fresh proof is bound to."""
EVEN_IF_UNREADABLE = "even_if_unreadable"
Kind = DatabaseRun.Kind


@use_case
def back_up(actor: Actor, environment: Environment, reason: str) -> DatabaseRun:
    """Ask for a backup of the database as it is now. It goes on beside trading.

    Raises:
        Forbidden: the actor may not change this environment's configuration.
        NotConfigured: its definition has no ``database``.
        WrongState: something else is under way with this database.
        InvalidRequest: the reason is missing or too long.
    """
    return _ask(actor, environment, Kind.BACKUP, reason)


@use_case
def verify(actor: Actor, environment: Environment, reason: str, backup: DatabaseRun | None = None) -> DatabaseRun:
    """Ask whether a backup can be restored; without one, whether the data as it is now can be read.

    Raises:
        Forbidden, NotConfigured, WrongState, InvalidRequest: as in ``back_up``; or the backup has no file.
    """
    require(actor, CONFIGURE, environment)
    if backup is not None:
        _refuse_useless(environment, backup)
    return _ask(actor, environment, Kind.VERIFY, reason, backup)


@use_case
def refuse_restore(actor: Actor, environment: Environment, backup: DatabaseRun, reason: str) -> None:
    """Everything that ``restore`` refuses, asked before the fresh proof is: a proof works once.

    Raises:
        Forbidden, NotConfigured, WrongState, InvalidRequest: as ``restore``.
    """
    _check_restore(actor, environment, backup, reason)


@use_case
def restore(
    actor: Actor, environment: Environment, backup: DatabaseRun, reason: str, *, even_if_unreadable: bool = False
) -> DatabaseRun:
    """Ask for the data to be replaced by a backup. Trading has to be halted, then and until the commit.

    The caller has confirmed the actor's fresh proof (interface, level L3).

    Args:
        even_if_unreadable: go on when the present state, because it is damaged, cannot be backed up first.

    Raises:
        Forbidden, NotConfigured, WrongState, InvalidRequest: as in ``verify``; or something may be trading.
    """
    _check_restore(actor, environment, backup, reason)
    return _ask(actor, environment, Kind.RESTORE, reason, backup, {EVEN_IF_UNREADABLE: even_if_unreadable})


def restore_under_way(environment: Environment) -> str:
    """In words, that the data are being replaced, so that nothing may begin to trade; empty when they are not."""
    running = DatabaseRun.objects.under_way().filter(environment=environment, kind=Kind.RESTORE).exists()
    return f"The database of {environment.name} is being restored." if running else ""


def _check_restore(actor: Actor, environment: Environment, backup: DatabaseRun, reason: str) -> None:
    require(actor, CONFIGURE, environment)
    _refuse_useless(environment, backup)
    _clean_reason(reason)
    if DatabaseRun.objects.under_way().filter(environment=environment).exists():
        raise WrongState(_busy(environment))
    database_guard.refuse_while_trading(environment)


def _ask(
    actor: Actor,
    environment: Environment,
    kind: Any,
    reason: str,
    backup: DatabaseRun | None = None,
    facts: dict[str, Any] | None = None,
) -> DatabaseRun:
    require(actor, CONFIGURE, environment)
    reason = _clean_reason(reason)
    if not environment.database:
        raise NotConfigured(
            f"The definition of {environment.name} has no `database`: write where it is and where backups go, then run "
            "manage.py apply_system. Nothing was done."
        )
    database_runs.end_lost(environment)
    run = DatabaseRun(environment=environment, kind=kind, backup=backup, reason=reason, facts=facts or {})
    run.actor, run.actor_name = actor.user, actor.name
    try:
        with transaction.atomic():
            run.save()
    except IntegrityError as error:
        raise WrongState(_busy(environment)) from error
    after = {"kind": kind, "backup": str(backup.pk) if backup else None, **run.facts}
    record(
        actor,
        f"database.{kind}",
        run,
        environment=environment.name,
        outcome=Outcome.INTENT,
        reason=reason,
        after=after,
    )
    database_events.publish(run)
    database_events.ring_on_commit(run)
    return run


def _busy(environment: Environment) -> str:
    found = DatabaseRun.objects.under_way().filter(environment=environment).first()
    what = f"{found.get_kind_display()} by {found.actor_name}" if found else "Another act"
    return f"{what} is under way with the database of {environment.name}. Wait for its end. Nothing was done."


def _refuse_useless(environment: Environment, backup: DatabaseRun) -> None:
    if backup.environment_id != environment.pk or backup.kind != Kind.BACKUP:
        raise InvalidRequest("backup", f"This is no backup of {environment.name}.")
    if not backup.has_file:
        why = "its file was removed, since newer ones were made" if backup.is_finished else "it is not finished"
        why = "it failed" if backup.status == DatabaseRun.Status.FAILED else why
        raise InvalidRequest("backup", f"This backup cannot be used: {why}. Choose another one.")


def _clean_reason(reason: str) -> str:
    text = (reason or "").strip()
    if not text:
        raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
    if len(text) > REASON_LIMIT:
        raise InvalidRequest("reason", f"The reason has {len(text)} characters; at most {REASON_LIMIT} are kept.")
    return text
