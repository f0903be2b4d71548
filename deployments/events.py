"""Who is told when a deployment changes: open pages and the workers, both only after the commit."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.db import transaction

from accounts import doorbell
from deployments.models import Deployment

logger = logging.getLogger(__name__)


def publish(deployment: Deployment) -> None:
    """Open pages that show this deployment redraw what changed."""
    doorbell.ring_on_commit((f"deployment.{deployment.pk}", f"environment.{deployment.environment_id}", "overview"))


def publish_request(deployment: Deployment) -> None:
    """The same, and the pages that show what waits for approval."""
    publish(deployment)
    doorbell.ring_on_commit(("approvals",))


def work(deployment: Deployment, queue: str) -> None:
    """Ask a worker of a queue to look at a deployment now; when the broker is dead the monitor finds the row."""
    deployment_id = deployment.pk
    transaction.on_commit(lambda: ring_worker(deployment_id, queue))


def ring_worker(deployment_id: int, queue: str) -> None:
    """Publish the message in a thread of its own, so that a hung broker holds nobody up. Never raises."""
    _sender().submit(_publish, deployment_id, queue)


def _publish(deployment_id: int, queue: str) -> None:
    from deployments.tasks import advance

    try:
        advance.apply_async((deployment_id, queue), queue=queue, retry=False, expires=5)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the broker, the monitor takes the work
        logger.warning("worker not rung for deployment %s: %s", deployment_id, error)


@cache
def _sender() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="ring")
