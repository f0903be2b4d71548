"""One hub per topic and process: draws the topic once for all who follow it, and sends only what changed.

A hub is rung by the channel layer and looks by itself each second while somebody listens, so that a dead Valkey costs
a page at most a second. Messages are numbered; a page that comes back names the last number it saw and gets what it
missed, or everything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import connections

from accounts.topics import Reload, Series, View, draw

logger = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_SECONDS = 1.0
"""Without a ring a topic is drawn this often."""
COALESCE_SECONDS = 0.25
"""At most one message per topic in this time."""
KEPT_MESSAGES = 1000
KEPT_SECONDS = 600.0
_THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live")
_TICKING = re.compile(r"(<time\b[^>]*\bdata-(?:ago|since|until)\b[^>]*>)[^<]*")
"""Text that the page itself keeps counting; a change of it alone is not sent."""


class Listener(Protocol):
    """Somebody who follows a topic."""

    def put(self, message: str) -> None:
        """Take one JSON message; must not block."""
        ...


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run a function that may use the database in a thread; its connections go back to the pool."""

    def run() -> T:
        try:
            return function(*arguments)
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(_THREADS, run)


class TopicHub:
    """The state of one topic: what was sent last, the numbered messages, and who listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = secrets.token_hex(4)
        self.seq = 0
        self.drawn_at = float("-inf")
        """Monotonic time of the last successful drawing."""
        self.idle_since = time.monotonic()
        self._view: View | None = None
        self._messages: deque[tuple[float, int, str]] = deque(maxlen=KEPT_MESSAGES)
        self._listeners: set[Listener] = set()
        self._rung = asyncio.Event()
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def age(self) -> float:
        """Seconds since what is shown was known to be true; infinite before the first drawing."""
        return time.monotonic() - self.drawn_at

    @property
    def is_idle(self) -> bool:
        """Whether nobody listens."""
        return not self._listeners

    def ring(self) -> None:
        """Something changed: look now."""
        self._rung.set()

    async def join(self, listener: Listener, since: str = "") -> None:
        """Send hello and what is missing, then everything that follows.

        ``since`` is ``<hub id>:<number>`` of the last message seen. Raises what the topic's view function raises when
        the topic was never drawn.
        """
        if self._view is None or self.age > LOOK_SECONDS:
            await self.look(must=self._view is None)
        missed = self._missed(since)
        now = time.time()
        hello = {"type": "hello", "topic": self.name, "hub": self.id, "server_time": now}
        if missed is None:
            listener.put(_json({**hello, "seq": self.seq, "mode": "snapshot"}))
            listener.put(
                _json(
                    {
                        "type": "patch",
                        "topic": self.name,
                        "seq": self.seq,
                        "at": now,
                        "full": True,
                        "p": self._everything(),
                    }
                )
            )
        else:
            listener.put(_json({**hello, "seq": int(since.partition(":")[2]), "mode": "delta"}))
            for message in missed:
                listener.put(message)
        self._listeners.add(listener)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._listen_for_rings())]

    def leave(self, listener: Listener) -> None:
        """Stop sending to a listener; without listeners the hub rests."""
        self._listeners.discard(listener)
        if not self._listeners:
            self.idle_since = time.monotonic()
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    async def look(self, *, must: bool = False) -> None:
        """Draw the topic and send what differs; a failure is logged and shows as age, unless ``must``."""
        async with self._lock:
            self._rung.clear()
            begun = time.monotonic()
            try:
                view = await in_thread(draw, self.name)
            except Exception:
                if must:
                    raise
                logger.warning("live topic %s cannot be drawn", self.name, exc_info=True)
                return
            self.drawn_at = begun
            parts = _difference(self._view, view)
            is_news = bool(view.say) and self._view is not None and view.say != self._view.say
            self._view = view
            if parts or is_news:
                self._send(parts, {"text": view.say, "urgent": view.urgent} if is_news else None)

    def _send(self, parts: list[dict[str, Any]], say: dict[str, Any] | None) -> None:
        self.seq += 1
        message: dict[str, Any] = {"type": "patch", "topic": self.name, "seq": self.seq, "at": time.time(), "p": parts}
        if say:
            message["say"] = say
        text = _json(message)
        now = time.monotonic()
        self._messages.append((now, self.seq, text))
        while self._messages and now - self._messages[0][0] > KEPT_SECONDS:
            self._messages.popleft()
        for listener in tuple(self._listeners):
            listener.put(text)

    def _missed(self, since: str) -> list[str] | None:
        """The messages after ``since``; None when it is unknown or too old."""
        hub, _, number = since.partition(":")
        if hub != self.id or not number.isdecimal() or int(number) > self.seq:
            return None
        last = int(number)
        found = [(seq, text) for _, seq, text in self._messages if seq > last]
        if last < self.seq and (not found or found[0][0] != last + 1):
            return None
        return [text for _, text in found]

    def _everything(self) -> list[dict[str, Any]]:
        return _difference(None, self._view) if self._view else []

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), LOOK_SECONDS - COALESCE_SECONDS)
            await self.look()
            await asyncio.sleep(COALESCE_SECONDS)

    async def _listen_for_rings(self) -> None:
        """The doorbell; while Valkey is away this tries again and again, and nothing else suffers."""
        while True:
            try:
                layer = get_channel_layer()
                channel = await layer.new_channel()
                await layer.group_add(self.name, channel)
                while True:
                    await layer.receive(channel)
                    self.ring()
            except Exception as error:  # noqa: BLE001 - any failure of the doorbell is the same
                logger.debug("no doorbell for %s: %s", self.name, error)
                await asyncio.sleep(2)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, TopicHub]] = WeakKeyDictionary()


def hub_of(name: str) -> TopicHub:
    """The hub of a topic in the running event loop; hubs that rest longer than messages are kept are dropped."""
    hubs = _hubs.setdefault(asyncio.get_running_loop(), {})
    for other in [
        hub.name for hub in hubs.values() if hub.is_idle and time.monotonic() - hub.idle_since > KEPT_SECONDS
    ]:
        del hubs[other]
    return hubs.setdefault(name, TopicHub(name)) if name not in hubs else hubs[name]


def ring_here(name: str) -> None:
    """Ring the hubs of a topic in this process, from any thread; for what must not depend on the doorbell."""
    for loop, hubs in list(_hubs.items()):
        hub = hubs.get(name)
        if hub is not None and not loop.is_closed():
            loop.call_soon_threadsafe(hub.ring)


def _json(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


def _difference(before: View | None, after: View) -> list[dict[str, Any]]:
    """The parts of ``after`` that ``before`` did not have."""
    parts: list[dict[str, Any]] = []
    for region, content in after.regions.items():
        if before is not None and _same(before.regions.get(region), content):
            continue
        if isinstance(content, Reload):
            parts.append({"id": region, "reload": content.url, "stamp": content.stamp})
        else:
            parts.append({"id": region, "html": content})
    for key, series in after.charts.items():
        part = _new_points(before.charts.get(key) if before else None, series)
        if part:
            parts.append({"chart": key, **part})
    return parts


def _same(before: str | Reload | None, after: str | Reload) -> bool:
    if isinstance(before, str) and isinstance(after, str):
        return before == after or _TICKING.sub(r"\1", before) == _TICKING.sub(r"\1", after)
    return before == after


def _new_points(before: Series | None, after: Series) -> dict[str, Any]:
    last = before.points[-1][0] if before and before.points else float("-inf")
    part: dict[str, Any] = {}
    points = [[at, value] for at, value in after.points if at > last]
    if points:
        part["pts"] = points
    if before is None or (before.baseline, before.limit, list(before.marks)) != (
        after.baseline,
        after.limit,
        list(after.marks),
    ):
        part |= {"baseline": after.baseline, "limit": after.limit, "marks": [list(mark) for mark in after.marks]}
    return part
