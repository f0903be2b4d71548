"""How long nobody traded while the trading role was handed over, from the exchange's own log of orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from demo.exchange.journal import read_log
from demo.exchange.writers import Change, find_writers
from opsconsole.bench.bed import ENVIRONMENT, Bed, unix_time
from opsconsole.bench.figures import Figure, of_durations, percentile

PROMOTIONS = 4
LIMIT_MS = 1000.0


def measure(bed: Bed, promotions: int = PROMOTIONS) -> list[Figure]:
    """The gap of every good promotion of this run that no fault was near to; deploys until there are enough.

    Raises:
        ConsoleError: a good deployment does not succeed.
    """
    with bed.requests():
        while len(bed.undisturbed) < promotions:
            bed.undisturbed.append(bed.deploy_good(bed.next_good()))
    writers = find_writers(read_log(bed.stack.exchange_log), ENVIRONMENT)
    gaps = gaps_of(writers.changes, bed.undisturbed)
    figure = of_durations("gap", "Gap without a writer, exchange's log", gaps, LIMIT_MS, judged="max")
    console = [found["timings"]["writer_gap_ms"] for found in bed.undisturbed]
    figure.notes = {
        "as the console says, p50 ms": round(percentile(console, 0.5), 1),
        "orders": writers.orders,
        "changes of writer, rollbacks included": len(writers.changes),
        "orders of two writers at once": writers.overlaps,
    }
    if writers.overlaps:
        figure.wrong.append(f"two writers at once: {writers.overlaps} orders, first {writers.violations[:1]}")
    if len(gaps) != len(bed.undisturbed):
        figure.wrong.append(f"the log shows {len(gaps)} of {len(bed.undisturbed)} hand-overs")
    return [figure]


def gaps_of(changes: Sequence[Change], deployments: Sequence[Mapping[str, Any]]) -> list[float]:
    """Milliseconds without a writer, for each change whose first order falls into one of the deployments."""
    spans = [(unix_time(found["created_at"]), unix_time(found["finished_at"])) for found in deployments]
    return [c.gap_ms for c in changes if any(began <= c.first_order_at <= ended for began, ended in spans)]
