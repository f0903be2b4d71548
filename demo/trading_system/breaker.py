"""The circuit breaker: halts trading by itself when losses or rejected orders pass their limit."""

import logging
import time
from decimal import Decimal
from typing import Any

from .metrics import Metrics
from .roles import Grant, Role

log = logging.getLogger("trading_system")


class Breaker:
    """Trips into HALTED and keeps why; a person resets it, and resumes in a second step."""

    def __init__(self, grant: Grant, metrics: Metrics) -> None:
        self._grant = grant
        self._metrics = metrics
        self._rejected = 0
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

    async def check_loss(self, loss: Decimal, limit: float) -> None:
        """Trips when the day's loss (a fraction of the account) is above the limit."""
        if loss > Decimal(repr(limit)):
            await self._trip("daily_loss", "the daily loss limit was passed", f"{loss:.4f}", f"{limit:.4f}")

    def state(self) -> dict[str, Any]:
        """The breaker as the ops contract shows it."""
        empty = dict.fromkeys(("reason_code", "reason", "tripped_at", "observed", "threshold"))
        return {"state": "open" if self._grant.breaker else "closed", **empty, **(self._grant.breaker or {})}

    async def reset(self) -> None:
        """Acknowledges and closes the breaker; the instance stays HALTED."""
        await self._grant.acknowledge()
        self._rejected = 0
        self._metrics.show_breaker(None)

    async def _trip(self, code: str, reason: str, observed: str, threshold: str) -> None:
        if self._grant.role is not Role.ACTIVE:
            return
        log.error("circuit breaker opens: %s", reason)
        self._metrics.show_breaker(code)
        fields = {"reason_code": code, "reason": reason, "tripped_at": time.time()}
        await self._grant.trip(fields | {"observed": observed, "threshold": threshold})
