"""The web socket of a page: ``/ws/live/?topics=deployment.42,overview&since=<hub>:<number>,<hub>:<number>``.

The server sends ``hello`` (one per topic), ``patch`` and each 5 s ``hb``; the page need not send anything. Who may
follow a topic is checked at the start, with whatever the page sends, and every 5 s, so that a right taken away ends the
socket within that time. Following production is recorded before anything is sent (``accounts/subscriptions.py``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http import parse_cookie
from django.http.request import validate_host

from accounts.hub import TopicHub, hub_of, in_thread
from accounts.subscriptions import NOT_ALLOWED, SIGNED_OUT, admit, decide, still

logger = logging.getLogger(__name__)
BEAT_SECONDS = 5.0
MAX_TOPICS = 8
QUEUE = 256
NOT_DRAWN, TOO_SLOW = 4500, 4408
"""Close codes besides those of a refusal; the page's script knows them."""
__all__ = ["NOT_ALLOWED", "SIGNED_OUT"]


class LiveConsumer(AsyncWebsocketConsumer):
    """One page's socket."""

    channel_layer_alias = None  # sockets open while Valkey is dead: the hubs listen to the doorbell, not each socket

    async def connect(self) -> None:
        """Refuse foreign origins; then accept, and close with a code that says why when the person may not follow."""
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        self._hubs: list[TopicHub] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._overflow = False
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
        if not same_origin(headers.get("origin", ""), headers.get("host", "")):
            logger.warning("live socket refused: origin %r, host %r", headers.get("origin"), headers.get("host"))
            await self.close()
            return
        self._session_key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME, "")
        self._address = (self.scope.get("client") or ("",))[0] or ""
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        self._topics = [name for name in query.get("topics", [""])[0].split(",") if name][:MAX_TOPICS]
        since = query.get("since", [""])[0].split(",")
        await self.accept()
        if await self._refused(admit, otherwise=NOT_DRAWN):
            return
        await self._join(since + [""] * len(self._topics))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Whatever a page says, its right is looked at again; there is nothing else to say."""
        await self._refused(still)

    async def disconnect(self, code: int) -> None:
        """Leave every topic."""
        for hub in self._hubs:
            hub.leave(self)
        for task in self._tasks:
            task.cancel()

    def put(self, message: str) -> None:
        """Take a message of a hub. A page that does not keep up is closed; it comes back and catches up."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._overflow = True

    async def _join(self, since: list[str]) -> None:
        for name, position in zip(self._topics, since, strict=False):
            hub = hub_of(name)
            try:
                await hub.join(self, position)
            except Exception:
                logger.exception("live topic %s cannot be drawn", name)
                await self.close(NOT_DRAWN)
                return
            self._hubs.append(hub)
        self._tasks = [asyncio.create_task(self._deliver()), asyncio.create_task(self._beat())]

    async def _deliver(self) -> None:
        while True:
            await self.send(text_data=await self._queue.get())
            if self._overflow:
                await self.close(TOO_SLOW)
                return

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if await self._refused(still):
                return
            topics = {
                hub.name: {"hub": hub.id, "seq": hub.seq, "age": round(min(hub.age, 1e6), 1)} for hub in self._hubs
            }
            self.put(json.dumps({"type": "hb", "server_time": time.time(), "topics": topics}))

    async def _refused(self, look: Callable[..., int | None], otherwise: int | None = None) -> bool:
        """Close the socket when the person may not follow its topics; ``otherwise`` when that is not known."""
        try:
            code = await in_thread(look, self._session_key, self._topics, self._address)
        except Exception:
            # An open socket stays: without a database nothing new is drawn either, and the page sees its age.
            logger.warning("the right to follow %s cannot be checked", self._topics, exc_info=True)
            code = otherwise
        if code:
            await self.close(code)
        return code is not None


def same_origin(origin: str, host: str) -> bool:
    """Whether a browser's ``Origin`` is exactly the console's own address (RFC 6455, section 10.2)."""
    scheme = "https" if settings.SESSION_COOKIE_SECURE else "http"
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return bool(host) and origin == f"{scheme}://{host}" and validate_host(name, settings.ALLOWED_HOSTS)


def refusal(session_key: str, topics: list[str]) -> int | None:
    """The close code when the person of a session may not follow every topic; None when they may."""
    found = decide(session_key, topics)[1]
    return found.code if found else None
