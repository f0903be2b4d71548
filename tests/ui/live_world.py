"""A topic whose look a test decides, and a listener that keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from accounts import topics
from accounts.topics import Reload, Series, View


class World:
    """What the topics ``world`` and ``world.<key>`` show now."""

    def __init__(self) -> None:
        self.regions: dict[str, str | Reload] = {"a": "one"}
        self.charts: dict[str, Series] = {}
        self.say = ""
        self.fails = False
        self.drawn = 0
        self.allowed = {"ada"}

    def view(self, key: str) -> View:
        self.drawn += 1
        if self.fails:
            raise RuntimeError("the database is away")
        return View(dict(self.regions), dict(self.charts), self.say)

    def may_see(self, user: Any, key: str) -> bool:
        return user.username in self.allowed


def register(monkeypatch) -> World:
    """A world of its own for one test."""
    world = World()
    monkeypatch.setattr(topics, "_topics", {})
    topics.topic("world", world.may_see, world.view)
    return world


class Listener:
    """Keeps messages; ``until`` waits for one."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.times: list[float] = []

    def put(self, message: str) -> None:
        self.messages.append(json.loads(message))
        self.times.append(time.monotonic())

    async def until(self, number: int, seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while len(self.messages) < number:
            assert time.monotonic() < deadline, f"{len(self.messages)} of {number} messages: {self.messages}"
            await asyncio.sleep(0.01)
