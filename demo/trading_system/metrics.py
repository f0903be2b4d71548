"""The Prometheus metrics of the ops contract."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from .settings import Release

# Geometric, ratio 1.2, from 0.5 ms to 2 s: a quantile read from the buckets is at most 20 % off.
BUCKETS = tuple(round(0.0005 * 1.2**step, 6) for step in range(46)) + (2.0,)
OPERATIONS = ("quote", "signal")
TRADE_OUTCOMES = ("win", "loss", "failed")
BREAKER_REASONS = ("daily_loss", "consecutive_losses", "rapid_loss", "rejected_orders", "manual")


class Metrics:
    """Every metric of this process. Names are fixed by the ops contract."""

    def __init__(self, release: Release, instance: str, started_at: float) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.component_up = self._gauge("trading_component_up", "1 when the component passes its check", "component")
        requests = self._counter("trading_requests_total", "Inbound requests", "op", "outcome")
        self.ok = {op: requests.labels(op, "ok") for op in OPERATIONS}
        self.errors = {op: requests.labels(op, "error") for op in OPERATIONS}
        name, text = "trading_order_latency_seconds", "Time to answer an inbound request"
        self.latency = Histogram(name, text, buckets=BUCKETS, registry=self.registry)
        self.trades = self._counter("trading_trades_total", "Closed or failed trades", "strategy", "outcome")
        self.mismatches = self._gauge("trading_position_mismatches", "Symbols that differ from the exchange")
        self.open_positions = self._gauge("trading_open_positions", "Open positions")
        self.open_orders = self._gauge("trading_open_orders", "Resting orders at the exchange")
        self.breaker = self._gauge("trading_circuit_breaker_open", "1 when open", "reason_code")
        for reason in BREAKER_REASONS:
            self.breaker.labels(reason).set(0)
        self.heartbeat = self._gauge("trading_last_heartbeat_timestamp_seconds", "Last turn of the main loop")
        self._gauge("trading_deploy_timestamp_seconds", "Start of this release").set(started_at)
        self._gauge("process_start_time_seconds", "Start of the process").set(started_at)
        info = self._gauge("trading_build_info", "Always 1", "version", "release_id", "instance")
        info.labels(release.version, release.release_id, instance).set(1)

    def start_strategies(self, names: tuple[str, ...]) -> None:
        """Shows every strategy's counters from zero on, so that a rate has a first value."""
        for name in names:
            for outcome in TRADE_OUTCOMES:
                self.trades.labels(name, outcome)

    def show_breaker(self, reason_code: str | None) -> None:
        """Shows the breaker as open for one reason, or closed (None)."""
        for reason in BREAKER_REASONS:
            self.breaker.labels(reason).set(1 if reason == reason_code else 0)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)
