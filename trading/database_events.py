"""Who is told of a run on a database: open pages, and a worker, both after the commit."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from uuid import UUID

from django.db import transaction

from accounts import doorbell
from trading.models import DatabaseRun

logger = logging.getLogger(__name__)
EXPIRES = 10
"""Seconds after which a message is worth nothing: beat rings again for what waits."""


def publish(run: DatabaseRun) -> None:
    """Open pages that show this run, or the database of its environment, redraw what changed."""
    doorbell.ring_on_commit((f"database.{run.pk}", f"databases.{run.environment_id}"))


def ring_on_commit(run: DatabaseRun) -> None:
    """Ask a worker to carry it out, once it is committed."""
    run_id = run.pk
    transaction.on_commit(lambda: ring(run_id))


def ring(run_id: UUID) -> None:
    """Publish the message in a thread of its own, so that a hung broker holds nobody up. Never raises."""
    _sender().submit(_publish, str(run_id))


def _publish(run_id: str) -> None:
    from trading.database_tasks import carry_out

    try:
        carry_out.apply_async((run_id,), retry=False, expires=EXPIRES)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the broker, beat rings again
        logger.warning("worker not rung for the database run %s: %s", run_id, error)


@cache
def _sender() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="ring-database")
