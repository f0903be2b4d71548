"""Thin Celery tasks. A message only says "look now"; what is due stands in Postgres."""

from __future__ import annotations

from celery import shared_task

from deployments import approval_actions, engine, events
from deployments.due import due_deployments


@shared_task
def advance(deployment_id: int, queue: str) -> None:
    """Carry on with a deployment, as far as steps of this queue go."""
    engine.advance(deployment_id, queue)


@shared_task
def ring_due() -> None:
    """Ring for what is due, and end requests that hold no longer; beat calls it, in case the monitor hangs."""
    for deployment_id, queue in due_deployments():
        events.ring_worker(deployment_id, queue)
    approval_actions.settle_all()
