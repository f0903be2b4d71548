"""The lease on a deployment: who works on it, until when, and with which fencing epoch.

Claim by the database's clock, extend while working, and make every write a compare-and-swap on the epoch (M. Kleppmann,
"How to do distributed locking", 2016: a lease alone does not stop a paused holder; a fencing token does).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import DatabaseError, connection, transaction

from deployments.models import Deployment
from deployments.states import ACTIVE, Status

logger = logging.getLogger(__name__)

LEASE_SECONDS = 3.0
HEARTBEAT_SECONDS = 0.7
CLAIMABLE = sorted(ACTIVE - {Status.HELD})

_CLAIM = """
UPDATE deployments_deployment
   SET lease_epoch = nextval('opsc_fence'), lease_holder = %s,
       lease_expires_at = clock_timestamp() + make_interval(secs => %s)
 WHERE id = (SELECT id FROM deployments_deployment
              WHERE id = %s AND status = ANY(%s) AND due_at <= clock_timestamp()
                AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
                FOR UPDATE SKIP LOCKED)
RETURNING lease_epoch
"""
_EXTEND = """
UPDATE deployments_deployment SET lease_expires_at = clock_timestamp() + make_interval(secs => %s)
 WHERE id = %s AND lease_epoch = %s AND lease_expires_at IS NOT NULL
"""


class LeaseLost(Exception):
    """Somebody else holds the deployment now; stop without another write."""


@dataclass(slots=True)
class Lease:
    """A claim on one deployment."""

    deployment_id: int
    epoch: int
    _stop: threading.Event = field(default_factory=threading.Event)

    def lock(self) -> Deployment:
        """The deployment's row, locked in the running transaction.

        Raises:
            LeaseLost: the epoch is no longer ours.
        """
        mine = Deployment.objects.filter(pk=self.deployment_id, lease_epoch=self.epoch)
        # First the lock, then the reading: a row that is joined to a locked one may be as old as the wait for the lock.
        if not mine.select_for_update().values_list("pk"):
            raise LeaseLost(f"deployment {self.deployment_id}: epoch {self.epoch} is no longer the newest")
        # Only what every step needs: planning a join of all relations took 6 ms, this one takes less than one.
        return mine.select_related("environment", "from_release", "to_release").get()

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Extend the lease every 0.7 s until the block ends, then give it back."""
        beat = threading.Thread(target=self._beat, name=f"lease-{self.deployment_id}", daemon=True)
        beat.start()
        try:
            yield
        finally:
            self._stop.set()
            beat.join()

    def release(self) -> None:
        """Give the lease back, when it is still ours."""
        Deployment.objects.filter(pk=self.deployment_id, lease_epoch=self.epoch).update(
            lease_expires_at=None, lease_holder=""
        )

    def _beat(self) -> None:
        try:
            while not self._stop.wait(HEARTBEAT_SECONDS):
                if not _execute(_EXTEND, [LEASE_SECONDS, self.deployment_id, self.epoch]):
                    return
        except DatabaseError as error:
            logger.warning("lease of deployment %s not extended: %s", self.deployment_id, error)
        finally:
            connection.close()


def claim(deployment_id: int) -> Lease | None:
    """Take a deployment that is due and that nobody holds; None when there is nothing to take."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, [holder, LEASE_SECONDS, deployment_id, CLAIMABLE])
        row = cursor.fetchone()
    return Lease(deployment_id, row[0]) if row else None


def _execute(sql: str, parameters: list[object]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount
