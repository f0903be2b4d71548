"""Who is told when a run changes: open pages, and the worker that carries out a long command. Both after the commit."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.db import transaction

from accounts import doorbell
from runbooks.models import RunbookRun, StepOutput

logger = logging.getLogger(__name__)
EXPIRES = 30
"""Seconds after which a worker does not begin a command any more: nobody waits for it by then."""


def publish(run: RunbookRun) -> None:
    """Redraw the pages that show a run or the list of runs: ``runbook.<id>`` and ``runbooks``."""
    doorbell.ring_on_commit((f"runbook.{run.pk}", "runbooks"))


def ask_worker(output: StepOutput) -> None:
    """Have a worker carry out the command of an output once it is committed; a hung broker holds nobody up."""
    pk = output.pk
    transaction.on_commit(lambda: _sender().submit(_send, pk))


def _send(pk: int) -> None:
    from runbooks.tasks import run_command

    try:
        run_command.apply_async((pk,), retry=False, expires=EXPIRES)
    except Exception as error:  # noqa: BLE001 - the page says after a while that it got no answer
        logger.warning("worker not rung for the output %s of a runbook: %s", pk, error)


@cache
def _sender() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="ring-runbooks")
