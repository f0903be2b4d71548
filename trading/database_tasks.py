"""Thin Celery tasks of the databases. A message only says "look now"; what is to be done stands in Postgres."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from trading import database_runs, database_watch


# Acknowledged at once: a copy may take longer than the broker waits for an acknowledgement, and would be begun again.
@shared_task(acks_late=False)
def carry_out(run_id: str) -> None:
    """Carry out a run, unless another worker does it already."""
    database_runs.work(UUID(run_id))


@shared_task
def look_at_databases() -> None:
    """End what lost its worker, ring for what waits, ask for the daily backups; beat calls it."""
    database_watch.look()
