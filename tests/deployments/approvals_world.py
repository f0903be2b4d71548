"""Requests for tests: somebody who asks, somebody who approves, and what they do at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

from deployments import approvals
from deployments.models import Approval, Deployment


def fresh_approval(approval: Approval) -> Approval:
    """The request as it is kept now, with all that its subject needs."""
    return approvals.loaded(Approval.objects.all()).get(pk=approval.pk)


def of(deployment: Deployment) -> Approval:
    """The request of a deployment."""
    return approvals.loaded(Approval.objects.all()).get(deployment=deployment)


def at_once(*acts: Callable[[], Any]) -> Sequence[Any]:
    """Each act in a thread and a connection of its own, all begun at the same moment; results or errors, in order."""
    barrier, found = threading.Barrier(len(acts)), [None] * len(acts)

    def run(index: int, act: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            found[index] = act()
        except Exception as error:
            found[index] = error  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "an act hangs"
    return found
