"""The installation that is measured: a stack of its own in a temporary folder, with crash points and short windows."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from opsconsole.local.client import Console, ConsoleError
from opsconsole.local.stack import Ports, Stack
from opsconsole.local.stream import Stream

ENVIRONMENT = "production"
FIRST, SECOND = "v1.2.4", "v1.2.5"
"""The two good releases."""
# v1.2.7 dies 5 s after it goes live: the windows end after that.
WINDOWS = {"OPSC_DEMO_WATCH": "4", "OPSC_DEMO_STABLE": "8", "OPSC_DEMO_BASELINE": "20"}
DEPLOY_SECONDS = 90.0
RATE = 260
"""Requests a second unless a figure asks for more; without requests there is no data, and a watch does not end."""


class Bed:
    """A running stack, the console's client, and which promotions nothing disturbed."""

    def __init__(self, stack: Stack, failpoints: Path) -> None:
        self.stack, self.failpoints, self.began = stack, failpoints, time.monotonic()
        self.undisturbed: list[dict[str, Any]] = []
        """Good deployments whose hand-over no fault was near to."""
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """The API, as the admin."""
        if self._console is None:
            self._console = Console.as_role(self.stack.url, self.stack.keys)
        return self._console

    def say(self, text: str) -> None:
        """One line of progress."""
        print(f"  {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def start(self) -> None:
        """Start the stack, bring the first good release live and promote the second, so that both slots run it."""
        self.stack.start(self.say)
        self.deploy_good(FIRST)
        self.say(f"{FIRST} is live in {ENVIRONMENT}")
        with self.requests():
            self.undisturbed.append(self.deploy_good(SECOND))
        self.say(f"{SECOND} is live in {ENVIRONMENT}")

    def requests(self, rate: int = RATE, connections: int = 32) -> Stream:
        """A stream of requests through the load balancer while a ``with`` block runs."""
        return Stream(
            self.stack.front(ENVIRONMENT), rate, self.stack.var / "load" / "bench.json", connections=connections
        )

    def deploy(self, release: str) -> int:
        """Begin a deployment; its id. Raises ConsoleError."""
        return self.console.deploy(ENVIRONMENT, release, f"Benchmark: {release}")

    def deploy_good(self, release: str) -> dict[str, Any]:
        """Deploy a good release to its end. Raises ConsoleError, also when it does not succeed."""
        found = self.console.wait(self.deploy(release), timeout=DEPLOY_SECONDS)
        if found["status"] != "succeeded":
            raise ConsoleError(f"{release} is {found['status']} instead of live: {found['failure_reason']}")
        return found

    def live_version(self) -> str:
        """The version that answers through the load balancer."""
        return httpx.get(f"{self.stack.front(ENVIRONMENT)}/quote/BTC", timeout=5).headers["X-Version"]

    def next_good(self) -> str:
        """The good release that is not live."""
        return FIRST if self.live_version() == SECOND else SECOND

    def instance(self, slot: str) -> str:
        """The name of the only instance of a slot."""
        return f"{ENVIRONMENT}-{slot}-1"

    def live_slot(self) -> str:
        """The slot that serves."""
        return str(self.console.get(f"environments/{ENVIRONMENT}/")["live_slot"])


@contextmanager
def running_bed() -> Iterator[Bed]:
    """A bed that runs while the block does; afterwards no process and no file is left."""
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as folder:
        failpoints = Path(folder) / "failpoints"
        failpoints.mkdir()
        stack = Stack(Path(folder) / "var", Ports.free(), variables={**WINDOWS, "OPSC_FAILPOINTS": str(failpoints)})
        try:
            bed = Bed(stack, failpoints)
            bed.start()
            yield bed
        finally:
            print("Stopping everything …", file=sys.stderr, flush=True)
            stack.stop()
            stack.remove_data()


def wait_for(what: str, reached: Callable[[], bool], timeout: float, every: float = 0.05) -> None:
    """Poll until ``reached``.

    Raises:
        ConsoleError: not within ``timeout`` seconds; the message names ``what``.
    """
    deadline = time.monotonic() + timeout
    while not reached():
        if time.monotonic() > deadline:
            raise ConsoleError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)


def unix_time(moment: str) -> float:
    """Unix time in seconds of a moment as the API writes it (ISO 8601 with time zone)."""
    return datetime.fromisoformat(moment).timestamp()
