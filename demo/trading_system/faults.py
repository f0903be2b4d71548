"""The defects that some releases carry (release.json), so that there is something to roll back from."""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable

from .desk import Desk
from .roles import Grant
from .settings import Faults

log = logging.getLogger("trading_system")
EXIT_STATUS = 3


class FaultPlan:
    """Lets the release's defects happen; a release without any does nothing here."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self._faults = faults
        self._random = random.Random(seed)
        self.latency_factor = faults.latency_factor

    def request_fails(self, grant: Grant) -> bool:
        """True for the share of inbound requests that a defective release fails once it is ACTIVE."""
        return grant.may_trade and self._faults.error_rate > 0 and self._random.random() < self._faults.error_rate

    async def watch(self, grant: Grant, desk: Desk) -> None:
        """The defects that show some time after the instance became ACTIVE; ends with the tenure."""
        faults, stopped = self._faults, grant.stopped
        plan: list[tuple[float | None, Callable[[], None]]] = [
            (faults.double_fill_after, lambda: setattr(desk, "double_next_fill", True)),
            (faults.exit_after, lambda: os._exit(EXIT_STATUS)),
            (faults.hang_after, block_for_ever),
        ]
        began = time.monotonic()
        for after, happen in plan:
            if after is None:
                continue
            try:
                async with asyncio.timeout(began + after - time.monotonic()):
                    await stopped.wait()
            except TimeoutError:
                happen()
            else:
                return


def block_for_ever() -> None:
    """Blocks the event loop: the process lives and answers nothing any more."""
    while True:
        time.sleep(3600)
