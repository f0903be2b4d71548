"""Carrying out a run on a trading system's database, in a worker; and ending one whose worker is gone."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.domain import DomainError
from alerts.actions import clear, raise_alert
from alerts.models import Alert
from audit.actions import record
from audit.actors import system
from audit.models import Outcome
from environments.models import Environment
from environments.secrets import SecretMissing
from trading import database_events, database_work
from trading.database_tools import ToolError
from trading.database_work import Done
from trading.models import DatabaseRun

logger = logging.getLogger(__name__)
ACTOR = system("databases")
ALERT = "database"
BEAT_SECONDS, LOST_AFTER = 5.0, timedelta(seconds=60)
NOT_TAKEN_AFTER = timedelta(minutes=10)
REPORT_SECONDS = 0.5
FINISH_AGAIN = (1.0, 5.0, 15.0, 30.0)
"""Seconds before the end of a run is written once more, when the console's own database is away."""
Status, Kind = DatabaseRun.Status, DatabaseRun.Kind


def work(run_id: UUID) -> None:
    """Carry out a run that waits; harmless when it does not wait any more. Never raises for what the tools do."""
    now = timezone.now()
    taken = DatabaseRun.objects.filter(pk=run_id, status=Status.WAITING).update(
        status=Status.RUNNING, started_at=now, seen_at=now, detail="Begins"
    )
    if not taken:
        return None
    run = DatabaseRun.objects.select_related("environment", "backup").get(pk=run_id)
    status, done = _carry_out(run)
    for pause in FINISH_AGAIN:
        try:
            return _finish(run, status, done)
        except DatabaseError as error:  # the work is done; that it is has to be kept
            logger.warning("database run %s: its end was not kept, tried again: %s", run.pk, error)
            connection.close()
            threading.Event().wait(pause)
    return _finish(run, status, done)


def _carry_out(run: DatabaseRun) -> tuple[Any, Done]:
    try:
        with _Alive(run):
            return Status.SUCCEEDED, database_work.DO[run.kind](run, _reporter(run))
    except (ToolError, DomainError, SecretMissing) as error:
        return Status.FAILED, Done(str(error))
    except Exception as error:  # whatever it is, the run has to end and say so
        # Without the error's own text: the driver's may repeat the address, which holds the password.
        logger.error("database run %s failed: %s in %s", run.pk, type(error).__name__, _where(error))
        text = f"An error of the console's own ({type(error).__name__}); the worker's log has where, for {run.pk}."
        return Status.FAILED, Done(f"{text} {database_work.left_as(run)}")


def _where(error: Exception) -> str:
    """The places through which an error came, the innermost last."""
    return ", ".join(f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))


def end_lost(environment: Environment | None = None) -> int:
    """End runs whose worker gave no sign of life for a minute, and those that nobody took; how many there were."""
    now = timezone.now()
    lost = Q(status=Status.RUNNING, seen_at__lt=now - LOST_AFTER)
    not_taken = Q(status=Status.WAITING, requested_at__lt=now - NOT_TAKEN_AFTER)
    found = DatabaseRun.objects.filter(lost | not_taken).select_related("environment", "backup")
    runs = list(found if environment is None else found.filter(environment=environment))
    for run in runs:
        if run.status == Status.WAITING:
            text = (
                "No worker took it within ten minutes. Check that a worker of the queue “default” runs, and ask again."
            )
        else:
            text = f"Its worker ended in the middle. {database_work.left_as(run)} Ask again."
        _finish(run, Status.FAILED, Done(text))
    return len(runs)


def age_key(environment: Environment) -> str:
    """The alert that there is no backup for too long."""
    return f"{environment.name}.age"


def page_of(environment: Environment) -> str:
    """Where something can be done about it."""
    return f"/databases/{environment.name}/"


class _Alive:
    """Signs of life while a run is carried out, from a thread of its own: a single query may take minutes."""

    def __init__(self, run: DatabaseRun) -> None:
        self._run_id, self._end = run.pk, threading.Event()
        self._thread = threading.Thread(target=self._beat, name="database-run", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        try:
            while not self._end.wait(BEAT_SECONDS):
                try:
                    DatabaseRun.objects.filter(pk=self._run_id, status=Status.RUNNING).update(seen_at=timezone.now())
                except DatabaseError as error:
                    logger.warning("database run %s: no sign of life was written: %s", self._run_id, error)
                    connection.close()
        finally:
            connection.close()


def _reporter(run: DatabaseRun) -> Callable[[int, str], None]:
    """Keeps progress, at most twice a second; the console's own database may be away meanwhile."""
    kept: dict[str, Any] = {"at": 0.0, "progress": 0}

    def report(percent: int, text: str) -> None:
        percent = max(kept["progress"], min(99, percent))
        if time.monotonic() - kept["at"] < REPORT_SECONDS:
            return
        kept.update(at=time.monotonic(), progress=percent)
        try:
            with transaction.atomic():
                running = DatabaseRun.objects.filter(pk=run.pk, status=Status.RUNNING)
                running.update(progress=percent, detail=text, seen_at=timezone.now())
                database_events.publish(run)
        except DatabaseError as error:
            logger.warning("database run %s: progress was not kept: %s", run.pk, error)
            connection.close()

    return report


def _finish(run: DatabaseRun, status: Any, done: Done) -> None:
    """Keep how it ended. What a worker says itself stands, also when it was taken for lost before."""
    now = timezone.now()
    with transaction.atomic():
        locked = (
            DatabaseRun.objects.select_for_update(of=("self",)).select_related("environment", "backup").get(pk=run.pk)
        )
        if status == Status.FAILED and locked.is_finished:
            return
        locked.status, locked.detail, locked.finished_at = status, done.text, now
        locked.progress = 100 if status == Status.SUCCEEDED else locked.progress
        locked.path, locked.size, locked.sha256 = done.path, done.size, done.sha256
        locked.facts = {**locked.facts, **done.facts}
        locked.save()
        record(
            ACTOR,
            "database.finished",
            locked,
            environment=locked.environment.name,
            outcome=Outcome.DONE if status == Status.SUCCEEDED else Outcome.FAILED,
            reason=done.text,
            after={"kind": locked.kind, "status": status, "path": done.path, "size": done.size, "sha256": done.sha256},
        )
        _alert(locked)
        database_events.publish(locked)
    if status == Status.SUCCEEDED and locked.kind in (Kind.BACKUP, Kind.RESTORE):
        database_work.remove_old(locked.environment)


def _alert(run: DatabaseRun) -> None:
    """Raise or clear what this run tells about the database."""
    environment = run.environment
    key, title = (
        f"{environment.name}.{run.kind}",
        f"{run.get_kind_display()} of the database of {environment.name} failed",
    )
    if run.kind == Kind.VERIFY and run.backup_id is None:
        key, title = f"{environment.name}.data", f"The data of {environment.name} cannot be read completely"
    if run.status == Status.SUCCEEDED:
        gone = {key, age_key(environment)} if run.kind == Kind.BACKUP else {key}
        for name in gone | ({f"{environment.name}.data"} if run.kind == Kind.RESTORE else set()):
            clear(ALERT, name)
        return
    if run.kind == Kind.RESTORE:  # somebody waits for it, and reads it
        return
    soft = run.kind == Kind.BACKUP and _has_fresh(environment)
    raise_alert(
        ALERT,
        key,
        severity=Alert.Severity.WARNING if soft else Alert.Severity.CRITICAL,
        title=title,
        environment=environment,
        detail=run.detail,
        link=f"/databases/runs/{run.pk}/",
    )


def _has_fresh(environment: Environment) -> bool:
    since = timezone.now() - timedelta(hours=25)
    return DatabaseRun.objects.backups().filter(environment=environment, finished_at__gt=since).exists()
