"""The trading role and its fence: what this instance may do, decided by the highest epoch it was granted."""

import asyncio
import time
from dataclasses import replace
from enum import StrEnum
from typing import Any

from .store import Authority, AuthorityFile


class Role(StrEnum):
    """STANDBY receives data and sends nothing; ACTIVE trades; HALTED was stopped and needs a person."""

    ACTIVE = "ACTIVE"
    STANDBY = "STANDBY"
    HALTED = "HALTED"


class StaleEpoch(Exception):
    """The request carries an older epoch than the one already granted."""

    def __init__(self, given: int, current: int) -> None:
        super().__init__(f"epoch {given} is older than the granted epoch {current}")
        self.given = given
        self.current = current


class Grant:
    """The role, held in memory, and the epoch, held on the disk. Always begins in STANDBY (or HALTED, when it was)."""

    def __init__(self, file: AuthorityFile) -> None:
        self._file = file
        self._stored = file.read()
        self.latch = file.latch()
        # Until this process ends: whoever was stopped in an emergency begins again from nothing.
        self.restart_required = self.latch is not None
        self.role = Role.HALTED if self._stored.halted or self.latch else Role.STANDBY
        self.since = time.time()
        # Whether the account is this instance's to act on. After a restart in a halt nobody else can have it: a halted
        # slot gives it up only when it stands down.
        self.owns = self.role is Role.HALTED
        # False from the first moment this process may have traded until it was verified that none of its orders rests.
        self.clean = True
        self.stopped = asyncio.Event()
        self.stopped.set()
        self._writing = asyncio.Lock()

    @property
    def epoch(self) -> int:
        """The highest epoch granted so far."""
        return self._stored.epoch

    @property
    def breaker(self) -> dict[str, Any] | None:
        """The open circuit breaker {reason_code, reason, tripped_at, observed, threshold, acknowledged}, or None."""
        return self._stored.breaker

    @property
    def may_trade(self) -> bool:
        """True only while ACTIVE. To be asked at the moment of sending."""
        return self.role is Role.ACTIVE

    def check(self, epoch: int) -> None:
        """Raises StaleEpoch for an epoch below the granted one; an equal one is a repetition."""
        if epoch < self.epoch:
            raise StaleEpoch(epoch, self.epoch)

    async def accept(self, epoch: int) -> None:
        """Makes the epoch durable before anything is answered. Raises StaleEpoch and StoreError."""
        self.check(epoch)
        if epoch > self.epoch:
            await self._store(epoch=epoch)

    def become(self, role: Role) -> None:
        """Changes the role at once; from this statement on `may_trade` answers for the new role."""
        if role is not self.role:
            self.role, self.since = role, time.time()
        if role is not Role.HALTED:
            self.owns = role is Role.ACTIVE
        if role is Role.ACTIVE:
            self.stopped = asyncio.Event()
        else:
            self.stopped.set()

    async def latch_now(self, latch: dict[str, Any]) -> None:
        """Halts at once, then makes the emergency latch durable."""
        self.become(Role.HALTED)
        self.latch, self.restart_required = latch, True
        async with self._writing:
            await asyncio.to_thread(self._file.set_latch, latch)
        await self._store(halted=True)

    async def release(self) -> None:
        """Takes the emergency latch off; the halt stays, and so does the need of a restart. Raises StoreError."""
        async with self._writing:
            latch = self.latch
            await asyncio.to_thread(self._file.clear_latch)
            # Who pressed meanwhile waits for the turn to write, and must find the latch as it was set.
            if self.latch is latch:
                self.latch = None

    async def trip(self, breaker: dict[str, Any]) -> None:
        """Halts at once and keeps the open breaker. Whoever sees the halt sees its cause as well."""
        self._stored = replace(self._stored, breaker=breaker)
        self.become(Role.HALTED)
        await self._store(halted=True, breaker=breaker)

    async def acknowledge(self) -> None:
        """Closes the breaker; the halt stays."""
        await self._store(breaker=None)

    async def resume(self) -> None:
        """Ends a halt: STANDBY again. Permits trading, starts nothing."""
        await self._store(halted=False)
        self.become(Role.STANDBY)

    async def _store(self, **changes: Any) -> None:
        async with self._writing:
            authority: Authority = replace(self._stored, **changes)
            await asyncio.to_thread(self._file.write, authority)
            self._stored = authority
