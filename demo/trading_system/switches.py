"""Strategies that a person switched off: kept on this host, over a restart too."""

import asyncio
import time
from typing import Any

from .roles import Grant, Role
from .store import AuthorityFile
from .strategies import Strategy


class Latched(Exception):
    """Nothing may be switched on while the emergency latch holds."""


class Switches:
    """Switches single strategies off and on again."""

    def __init__(self, file: AuthorityFile, grant: Grant, strategies: list[Strategy]) -> None:
        self._file = file
        self._grant = grant
        self._strategies = {strategy.name: strategy for strategy in strategies}
        self._off: dict[str, Any] = file.switched_off()
        self._writing = asyncio.Lock()
        for name in self._off.keys() & self._strategies.keys():
            self._strategies[name].switched_on = False

    async def turn(self, name: str, on: bool, actor: str, reason: str) -> Strategy:
        """Switches a strategy on or off; off takes effect before it is on the disk, on after it.

        Raises LookupError for an unknown strategy, Latched, StoreError.
        """
        if name not in self._strategies:
            raise LookupError(f"there is no strategy {name}; there are {', '.join(sorted(self._strategies))}")
        if on and self._grant.latch is not None:
            raise Latched
        strategy = self._strategies[name]
        if not on:
            strategy.switched_on = False
        async with self._writing:
            off = {key: value for key, value in self._off.items() if key != name}
            if not on:
                off[name] = {"at": time.time(), "actor": actor, "reason": reason}
            await asyncio.to_thread(self._file.set_switched_off, off)
            self._off = off
        strategy.switched_on = on
        return strategy

    def state(self, strategy: Strategy) -> str:
        """running, standby, halted, or disabled for one that a person switched off."""
        if not strategy.switched_on:
            return "disabled"
        if strategy.running:
            return "running"
        return "halted" if self._grant.role is Role.HALTED else "standby"
