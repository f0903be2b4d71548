"""Thin Celery tasks. A message only says "look now"; what is due stands in Postgres."""

from __future__ import annotations

from celery import shared_task

from deployments import engine


@shared_task
def advance(deployment_id: int, queue: str) -> None:
    """Carry on with a deployment, as far as steps of this queue go."""
    engine.advance(deployment_id, queue)
