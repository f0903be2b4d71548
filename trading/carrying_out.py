"""Doing what was approved: one look at a time by the monitor, each read back, until it is done or has failed."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from accounts.domain import DomainError
from audit.actors import system
from trading import resuming
from trading.clearances import Kind, loaded, ring, settle_all
from trading.models import Clearance

logger = logging.getLogger(__name__)
PATIENCE = timedelta(minutes=2)
"""How long it is tried to carry out what was approved."""
SETTLE_SECONDS = 5.0


class ClearanceWatch:
    """What the monitor does about requests: carries out what was approved, and ends what holds no longer."""

    def __init__(self) -> None:
        self._settled_at = float("-inf")

    def look(self) -> None:
        """One query when there is nothing to do; each five seconds one more."""
        carry_out_all()
        if time.monotonic() - self._settled_at >= SETTLE_SECONDS:
            self._settled_at = time.monotonic()
            settle_all(look=True)


def carry_out_all() -> int:
    """One look at everything that was approved and is not done; how many there are. The monitor calls it."""
    due = list(Clearance.objects.due().select_related("environment", "requested_by", "decided_by"))
    for clearance in due:
        carry_out(clearance)
    return len(due)


def carry_out(clearance: Clearance) -> Clearance:
    """Do the next thing of what was approved, unless somebody is at it; ends as done or as failed, never silently."""
    with _turn(clearance) as mine:
        if not mine:
            return clearance
        clearance = loaded().get(pk=clearance.pk)
        if not clearance.is_under_way:
            return clearance
        try:
            progress = _step(clearance)
        except (DomainError, *resuming.Trouble) as error:
            return _ended(clearance, str(error), done=False)
        except Exception:
            logger.exception("clearance %s: failed", clearance.pk)
            return _ended(clearance, "An error on our side; the console's log has it.", done=False)
        if progress.done:
            return _ended(clearance, progress.detail, done=True)
        if clearance.decided_at and timezone.now() - clearance.decided_at > PATIENCE:
            return _ended(clearance, f"Not within {PATIENCE.seconds} s: {progress.detail}", done=False)
        if clearance.detail != progress.detail:
            clearance.detail = progress.detail
            clearance.save(update_fields=["detail"])
            ring(clearance)
        return clearance


def _step(clearance: Clearance) -> resuming.Progress:
    by = f"{clearance.requested_by.display_name}, approved by {clearance.decided_by.display_name}"  # type: ignore[union-attr]
    actor = system("clearances")
    if clearance.kind == Kind.RELEASE:
        detail = resuming.release(clearance.environment, actor, f"{clearance.reason} ({by})", by)
        return resuming.Progress(True, detail)
    return resuming.advance(clearance.environment, actor, f"{clearance.reason} ({by})")


def _ended(clearance: Clearance, detail: str, *, done: bool) -> Clearance:
    clearance.detail = detail
    if done:
        clearance.done_at = timezone.now()
    else:
        clearance.failed_at = timezone.now()
    clearance.save(update_fields=["detail", "done_at", "failed_at"])
    ring(clearance)
    return clearance


class _turn:  # noqa: N801  used as a context
    """Only one process carries a request out: a lock of the database session, which ends with a dead process."""

    def __init__(self, clearance: Clearance) -> None:
        self._key = f"clearance {clearance.pk}"
        self._mine = False

    def __enter__(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [self._key])
            self._mine = bool(cursor.fetchone()[0])
        return self._mine

    def __exit__(self, *error: object) -> None:
        if self._mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [self._key])
