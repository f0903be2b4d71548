"""Rings open pages: "this topic changed". A lost ring costs a page a second, never data, so nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from functools import cache

from channels.layers import get_channel_layer
from django.db import transaction

logger = logging.getLogger(__name__)
LIMIT_SECONDS = 0.5


def ring_on_commit(topics: Iterable[str]) -> None:
    """Ring topics (for example ``deployment.42``) once the running transaction is committed."""
    names = tuple(topics)
    transaction.on_commit(lambda: ring(names))


def ring(topics: Iterable[str]) -> None:
    """Ring topics now. Returns at once; never raises."""
    loop = _loop()
    for topic in topics:
        asyncio.run_coroutine_threadsafe(_send(topic), loop)


async def _send(topic: str) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        await asyncio.wait_for(layer.group_send(topic, {"type": "topic.changed", "topic": topic}), LIMIT_SECONDS)
    except Exception as error:  # noqa: BLE001 - any failure of the doorbell is the same: pages find out by themselves
        logger.debug("doorbell for %s not rung: %s", topic, error)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="doorbell", daemon=True).start()
    return loop
