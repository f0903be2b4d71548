"""What is due: the monitor rings a worker for it, and takes the work itself when no worker comes.

So a dead broker, a lost message or dead workers cost at most a second.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections
from django.db.models import Q

from deployments import approval_actions, engine, events
from deployments.clock import db_now
from deployments.lease import CLAIMABLE
from deployments.models import Deployment
from deployments.states import StepStatus
from deployments.strategies.base import DEFAULT

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.7
"""How long a worker has to take what it was rung for."""
REVIEW_SECONDS = 2.0
"""How often requests that wait for approval are looked at: whether they still hold."""


def due_deployments() -> list[tuple[int, str]]:
    """Deployments that are due and that nobody holds, each with the queue of its next step."""
    now = db_now()
    free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)
    found = Deployment.objects.filter(free, status__in=CLAIMABLE, due_at__lte=now).prefetch_related("steps")
    return [(deployment.pk, _queue(deployment)) for deployment in found]


def _queue(deployment: Deployment) -> str:
    open_steps = (StepStatus.RUNNING, StepStatus.PENDING)
    return next((step.queue for step in deployment.steps.all() if step.status in open_steps), DEFAULT)


class DueWork:
    """Remembers since when each deployment waits for a worker."""

    def __init__(self) -> None:
        self._hands = ThreadPoolExecutor(max_workers=4, thread_name_prefix="due")
        self._rung: dict[int, float] = {}
        self._reviewed = float("-inf")

    def look(self) -> int:
        """Ring for what is due, take what nobody took; how many were due."""
        due = due_deployments()
        now = time.monotonic()
        self._rung = {key: self._rung.get(key, now) for key, _ in due} if due else {}
        for deployment_id, queue in due:
            waited = now - self._rung[deployment_id]
            if waited == 0:
                events.ring_worker(deployment_id, queue)
            elif waited > PATIENCE_SECONDS:
                logger.warning("no worker took deployment %s within %.1f s; the monitor does", deployment_id, waited)
                del self._rung[deployment_id]
                self._hands.submit(_take, deployment_id)
        if now - self._reviewed >= REVIEW_SECONDS:
            self._reviewed = now
            approval_actions.settle_all()
        return len(due)


def _take(deployment_id: int) -> None:
    try:
        engine.advance(deployment_id)
    except Exception:
        logger.exception("deployment %s could not be carried on", deployment_id)
    finally:
        close_old_connections()
