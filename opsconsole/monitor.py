"""The monitor: samples, judges, repairs drift and rings for due work, each in a thread of its own.

None waits for another: a hanging load balancer delays no sample, a slow database no probe.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, close_old_connections, connection

from alerts import sending
from deployments.due import DueWork
from deployments.guard import Guard
from deployments.models import Deployment
from deployments.trades import TradeReader
from environments.models import Environment
from environments.reconcile import reconcile
from environments.sampling import Plan, Sampler, plans
from trading.breaker_watch import BreakerWatch
from trading.carrying_out import ClearanceWatch
from trading.stop_watch import StopWatch

logger = logging.getLogger(__name__)

DUE_SECONDS = 0.1
RECONCILE_SECONDS = 0.7
TRADES_SECONDS = 1.0
BREAKERS_SECONDS = 1.0
CLEARANCES_SECONDS = 0.5
ALERTS_SECONDS = 5.0
"""Celery sends an alert at once; this finds it when the broker is dead."""


class Monitor:
    """Runs until stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._sampler = Sampler(make_plans, Guard().keep)

    def run(self) -> None:
        """Run every part until ``stop``."""
        due = DueWork()
        loops = [
            ("due", due.look, DUE_SECONDS),
            ("reconcile", reconcile_all, RECONCILE_SECONDS),
            ("trades", TradeReader().look, TRADES_SECONDS),
            *StopWatch().loops(),
            ("breakers", BreakerWatch().look, BREAKERS_SECONDS),
            ("clearances", ClearanceWatch().look, CLEARANCES_SECONDS),
            ("alerts", sending.send_all, ALERTS_SECONDS),
        ]
        threads = [threading.Thread(target=self._repeat, args=loop, name=loop[0], daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        logger.info("monitor started")
        self._sampler.run()

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()
        self._sampler.stop()

    def _repeat(self, name: str, look: Callable[[], object], seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                close_old_connections()
                look()
            except DatabaseError as error:
                logger.warning("%s: the database does not answer: %s", name, error)
                connection.close()
            except Exception:
                logger.exception("%s: failed, tried again in %s s", name, seconds)


def make_plans() -> dict[int, Plan]:
    """Instances of environments with a running deployment are sampled more often."""
    busy = set(Deployment.objects.active().values_list("environment_id", flat=True))
    return plans(lambda environment: environment.pk in busy)


def reconcile_all() -> None:
    """Repair drift everywhere."""
    for environment in Environment.objects.select_related("live_slot", "writer_slot"):
        reconcile(environment)
