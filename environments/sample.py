"""What one probe of one instance saw: plain data, shared by the probe, the analysis and the tables."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Component:
    """One health check of an instance (``checks`` of ``/healthz``, application/health+json)."""

    name: str
    """Name of the check, for example ``exchange:connection``."""
    status: str
    """``pass``, ``warn`` or ``fail``."""
    detail: str = ""
    """What was observed, with its unit, or the text the instance gave."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of one instance. Counters are totals since the process started.

    ``ok`` is false when the instance did not answer; then ``error`` says how (``timeout``,
    ``refused`` or a text), every counter is zero and every optional reading is None.
    """

    at: float
    """Unix time in seconds at which the reading was complete."""
    ok: bool
    error: str = ""
    version: str = ""
    components: tuple[Component, ...] = ()
    requests_ok: int = 0
    requests_error: int = 0
    latency_buckets: tuple[tuple[float, int], ...] = ()
    """Cumulative histogram: (upper bound in seconds, count of observations at or below it); the last bound is inf."""
    trades_win: int = 0
    trades_loss: int = 0
    trades_failed: int = 0
    mismatches: int | None = None
    """Positions that differ between the system and the exchange; None when not reported."""
    breaker_open: bool | None = None
    role: str = ""
    """ACTIVE, STANDBY, REDUCING or HALTED; empty when not reported."""
    epoch: int | None = None
    """The fencing epoch the role was granted with."""
    started_at: float | None = None
    """Unix time at which the process started; a change between two samples is a restart."""
    open_positions: int | None = None
    open_orders: int | None = None
    extra: dict[str, float] = field(default_factory=dict)
