"""Reading a deployment again and again until it ends, also past a console that restarts meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opsctl import waiting
from opsctl.api import Client
from opsctl.errors import TimedOut, Unreachable
from opsctl.timeline import Reading, exit_code

POLL_SECONDS = 0.5
FAST_SECONDS = 0.15
"""While a rollback is waited for: its moments are tenths of a second."""
PATIENCE_SECONDS = 120.0
"""How long a watch goes on asking a console that does not answer."""
Fetch = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one moment."""

    deployment: Reading
    rollback: Reading | None = None
    """The deployment that takes it back, when there is one."""
    silent_seconds: float = 0.0
    """For how long the console has not answered; the readings are as old."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more by itself."""
        return exit_code(self.deployment) is not None


def read(client: Client, deployment_id: int) -> Snapshot:
    """A deployment, and its rollback when it has one. Raises OpsctlError."""
    found = client.get(f"deployments/{deployment_id}/")
    rollback = client.get(f"deployments/{found['reverted_by']}/") if found["reverted_by"] else None
    return Snapshot(found, rollback)


def follow(
    client: Client, deployment_id: int, *, timeout: float | None = None, poll: float = POLL_SECONDS
) -> Iterator[Snapshot]:
    """Readings until the deployment ended; the last one tells the end.

    Args:
        timeout: seconds after which it is given up; None to wait for as long as it takes.
        poll: seconds between two readings.

    Raises:
        TimedOut: not ended within ``timeout``; the deployment goes on.
        Unreachable: the console did not answer for two minutes, or not even the first time.
        OpsctlError: any other refusal.
    """
    began = waiting.now()
    snapshot, silent_since = read(client, deployment_id), None
    while True:
        yield snapshot
        if snapshot.is_over:
            return
        if timeout is not None and waiting.now() - began >= timeout:
            status = snapshot.deployment["status"].replace("_", " ")
            raise TimedOut(
                f"Deployment {deployment_id} is {status} after {timeout:g} s. It goes on without being watched.",
                f"Watch it again: opsctl watch {deployment_id}",
            )
        waiting.pause(poll)
        try:
            snapshot, silent_since = read(client, deployment_id), None
        except Unreachable:
            silent_since = silent_since or waiting.now()
            silent = waiting.now() - silent_since
            if silent > PATIENCE_SECONDS:
                raise
            snapshot = Snapshot(snapshot.deployment, snapshot.rollback, max(silent, 0.1))
