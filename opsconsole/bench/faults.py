"""From a fault of the new release to traffic back on the old one: the console's own bound, and what requests saw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opsconsole.bench.bed import DEPLOY_SECONDS, Bed, wait_for
from opsconsole.bench.figures import Figure, of_durations

RUNS = 6
BAD = ("v1.2.6", "v1.2.7")
"""5 % errors from the start; dies 5 s after it goes live. Both fall under hard rules."""
LIMIT_MS = 2000.0
MOMENT_SECONDS = 0.1


def measure(bed: Bed, runs: int = RUNS) -> list[Figure]:
    """Deploy bad releases ``runs`` times and wait until each is back.

    Raises:
        ConsoleError: a deployment does not end.
    """
    good, inside, outside, wrong = bed.live_version(), [], [], []
    failed_requests = 0
    for number in range(runs):
        release = BAD[number % len(BAD)]
        found, stats, new = _run(bed, release)
        console, seen = found["timings"]["fault_to_traffic_back_ms"], outside_ms(stats, new)
        bed.say(
            f"{release}: {found['status']}, fault to traffic back {_ms(console)} ms, seen from outside {_ms(seen)} ms"
        )
        inside += [] if console is None else [console]
        outside += [] if seen is None else [seen]
        failed_requests += stats["failed"]
        if found["status"] != "rolled_back" or bed.live_version() != good:
            wrong.append(f"{release} is {found['status']} and {bed.live_version()} is live, not {good}")
        if console is None or seen is None:
            wrong.append(f"{release} was not measured: console {_ms(console)} ms, outside {_ms(seen)} ms")
    notes = {"releases": list(BAD), "requests that the faults cost, all runs": failed_requests}
    return [
        of_durations("faults", "Fault to traffic back, console's bound", inside, LIMIT_MS, notes=notes, wrong=wrong),
        of_durations("faults", "Fault to traffic back, seen from outside", outside, LIMIT_MS),
    ]


def _run(bed: Bed, release: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    new = bed.instance("green" if bed.live_slot() == "blue" else "blue")
    with bed.requests() as stream:
        found = bed.console.wait(bed.deploy(release), timeout=DEPLOY_SECONDS)
        ended = time.time()
        wait_for("the request stream", lambda: stream.now().get("at", 0) > ended + 1, timeout=10)
    return found, stream.stats, new


def outside_ms(stats: Mapping[str, Any], new: str) -> float | None:
    """Milliseconds from the first failed request to the last request that the new instance got or that failed.

    Args:
        stats: the counts of ``demo.load``. It keeps the last 200 failures; when there were more, the first is taken
            from the counts by 100 ms, whose start is at most 100 ms too early.
        new: the instance that runs the bad release.

    Returns:
        0 when one request failed and the load balancer sent every later one elsewhere; None when no request
        failed, or the instance got none.
    """
    failures, answered = [failure["at"] for failure in stats["failures"]], stats["by_server"].get(new)
    if not failures or answered is None:
        return None
    first = min(failures)
    if stats["failed"] > len(failures):
        first = min(moment["at"] for moment in stats["moments"] if moment["failed"])
    return float(max(*failures, answered["last_at"]) - first) * 1000


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
