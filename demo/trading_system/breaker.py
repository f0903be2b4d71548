"""The circuit breaker: halts trading when losses or rejected orders pass their limit, or when a person says so."""

import logging
import time
from collections import deque
from decimal import Decimal
from typing import Any

from .config import Config
from .metrics import Metrics
from .roles import Grant, Role

log = logging.getLogger("trading_system")


class Breaker:
    """Trips into HALTED and keeps why, over a restart too; a person resets it, and resumes in a second step."""

    def __init__(self, grant: Grant, metrics: Metrics) -> None:
        self._grant = grant
        self._metrics = metrics
        self._rejected = 0
        self._losses = 0
        self._equities: deque[tuple[float, Decimal]] = deque()
        metrics.show_breaker(grant.breaker["reason_code"] if grant.breaker else None)

    def order_accepted(self) -> None:
        """Ends a row of rejected orders."""
        self._rejected = 0

    async def order_rejected(self, reason: str, limit: int) -> None:
        """Counts a rejected order; trips when `limit` of them came in a row."""
        self._rejected += 1
        if self._rejected >= limit:
            text = f"{self._rejected} orders in a row were rejected, the last: {reason}"
            await self._trip("rejected_orders", text, str(self._rejected), str(limit))

    async def trade_closed(self, profit: Decimal, limit: int) -> None:
        """Counts a closed trade (its profit in USD); trips when `limit` losses came in a row."""
        self._losses = self._losses + 1 if profit <= 0 else 0
        if self._losses >= limit:
            text = f"{self._losses} trades in a row lost"
            await self._trip("consecutive_losses", text, str(self._losses), str(limit))

    async def check_losses(self, day_loss: Decimal, equity: Decimal, config: Config) -> None:
        """Trips when the day's loss (a fraction of the account) is above its limit, or the equity (USD) fell by more
        than allowed from its highest value of the last seconds."""
        now, window = time.monotonic(), self._equities
        window.append((now, equity))
        while window[0][0] < now - config.rapid_loss_seconds:
            window.popleft()
        if day_loss > Decimal(repr(config.daily_loss_limit)):
            text = "the daily loss limit was passed (fraction of the account)"
            await self._trip("daily_loss", text, f"{day_loss:.4f}", f"{config.daily_loss_limit:.4f}")
        highest = max(value for _, value in window)
        fall = 1 - equity / highest if highest > 0 else Decimal(0)
        if fall > Decimal(repr(config.rapid_loss_limit)):
            text = f"the account lost too much within {config.rapid_loss_seconds:g} s (fraction of the account)"
            await self._trip("rapid_loss", text, f"{fall:.4f}", f"{config.rapid_loss_limit:.4f}")

    async def trip_by_hand(self, actor: str, reason: str) -> None:
        """Opens the breaker in any role, so that a slot in STANDBY cannot take over either. An open one stays as it is.

        Raises StoreError: halted, but it would not survive a restart.
        """
        if self._grant.breaker is None:
            await self._open("manual", f"{reason} (tripped by {actor})", None, None)

    def state(self) -> dict[str, Any]:
        """The breaker as the ops contract shows it."""
        empty = dict.fromkeys(("reason_code", "reason", "tripped_at", "observed", "threshold"))
        return {"state": "open" if self._grant.breaker else "closed", **empty, **(self._grant.breaker or {})}

    async def reset(self) -> None:
        """Closes the breaker; the instance stays HALTED. Every count begins anew. Raises StoreError."""
        await self._grant.acknowledge()
        self._rejected = self._losses = 0
        self._equities.clear()
        self._metrics.show_breaker(None)

    async def _trip(self, code: str, reason: str, observed: str, threshold: str) -> None:
        if self._grant.role is Role.ACTIVE:
            await self._open(code, reason, observed, threshold)

    async def _open(self, code: str, reason: str, observed: str | None, threshold: str | None) -> None:
        log.error("circuit breaker opens: %s", reason)
        self._metrics.show_breaker(code)
        fields = {"reason_code": code, "reason": reason, "tripped_at": time.time()}
        await self._grant.trip(fields | {"observed": observed, "threshold": threshold})
