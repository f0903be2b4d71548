"""Who is told when an alert changes: open pages and the sender, both only after the commit."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.db import transaction

from accounts import doorbell

logger = logging.getLogger(__name__)
TOPICS = ("alerts", "overview")


def publish() -> None:
    """Open pages that show alerts redraw them."""
    doorbell.ring_on_commit(TOPICS)


def send() -> None:
    """Ask the sender to look now; when the broker is dead, whoever looks next sends it."""
    transaction.on_commit(ring_sender)


def ring_sender(channel: str = "", *, after: float = 0) -> None:
    """Publish the message in a thread of its own, so that a hung broker holds nobody up. Never raises.

    Args:
        channel: its name; empty for all of them.
        after: seconds to wait.
    """
    _ringer().submit(_publish, channel, after)


def _publish(channel: str, after: float) -> None:
    from alerts.tasks import send

    try:
        send.apply_async((channel,), retry=False, countdown=after or None, expires=after + 30)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the broker, what is due stands in Postgres
        logger.warning("sender of alerts not rung: %s", error)


@cache
def _ringer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="alerts")
