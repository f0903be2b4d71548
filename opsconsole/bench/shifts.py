"""Shifts of all traffic through Celery while requests come in: how long each takes, and whether any request fails."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

from opsconsole.bench.bed import ENVIRONMENT, Bed, wait_for
from opsconsole.bench.figures import Figure, of_durations, percentile
from opsconsole.config import ROOT
from opsconsole.local.client import ConsoleError

SHIFTS = 100
REQUESTS = 100_000
RATE = 1000
CONNECTIONS = 64
WARM_UP_SECONDS = 5
BUSY_P99_MS = 250.0
"""A machine on which requests wait so long without any shift is busy with something else: half the rate then."""
LIMIT_MS = 100.0


def measure(bed: Bed, shifts: int = SHIFTS, requests: int = REQUESTS, rate: int = RATE) -> list[Figure]:
    """Shift ``shifts`` times between two slots that run the same release, under ``rate`` requests a second.

    Raises:
        ConsoleError: the shifts could not be carried out.
    """
    shifts += shifts % 2  # an even number: traffic ends where it was, on the slot that trades
    control = _control(bed, rate)
    if control["failed"] or (control["latency_ms"]["p99"] or math.inf) > BUSY_P99_MS:
        rate //= 2
        bed.say(
            f"the machine is busy (p99 {control['latency_ms']['p99']} ms without a shift): {rate} requests a second"
        )
    bed.say(f"{shifts} shifts under {rate} requests a second, {requests:,} requests at least")
    with bed.requests(rate, CONNECTIONS) as stream:
        wait_for("the request stream", lambda: stream.now().get("sent", 0) > rate, timeout=30)
        answer = _command(bed, shifts, every=1.02 * (requests - rate) / rate / shifts)
        wait_for(f"{requests:,} requests", lambda: stream.now()["sent"] >= requests, timeout=2 * requests / rate)
    return [_figure(answer, stream.stats, control, shifts, requests)]


def _control(bed: Bed, rate: int) -> dict[str, Any]:
    """The same requests without a shift: what the machine itself costs them."""
    with bed.requests(rate, CONNECTIONS) as stream:
        wait_for("the request stream", lambda: stream.now().get("sent", 0) > WARM_UP_SECONDS * rate, timeout=60)
    return stream.stats


def _command(bed: Bed, shifts: int, every: float) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "manage.py"), "bench_shifts", ENVIRONMENT]
    command += ["--count", str(shifts), "--every", f"{every:.4f}"]
    done = subprocess.run(
        command,
        env={**os.environ, **bed.stack.environ()},
        capture_output=True,
        text=True,
        timeout=60 + shifts * (every + 2),
        check=False,
    )
    if done.returncode != 0:
        raise ConsoleError(f"bench_shifts failed:\n{(done.stderr or done.stdout)[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _figure(
    answer: dict[str, Any], stats: dict[str, Any], control: dict[str, Any], shifts: int, requests: int
) -> Figure:
    done = [shift for shift in answer["shifts"] if shift["status"] == "succeeded"]
    decided_to_done = [shift["ms"] for shift in done]
    floor = percentile(answer["bare_ms"], 0.5)
    figure = of_durations("shifts", "Shift through Celery under load", decided_to_done, LIMIT_MS)
    figure.notes = {
        "requests sent": stats["sent"],
        "requests failed": stats["failed"],
        "requests a second": round(stats["sent"] / (stats["at"] - stats["started_at"])),
        "latency of a request p50, p99 ms": [stats["latency_ms"]["p50"], stats["latency_ms"]["p99"]],
        "the same without a shift": [control["latency_ms"]["p50"], control["latency_ms"]["p99"]],
        "floor: bare call of the load balancer, p50 ms": round(floor, 3),
        "bare calls": len(answer["bare_ms"]),
        "of it until a worker had claimed it p50, p99 ms": _p50_p99([shift["taken_ms"] for shift in done]),
        "as the console says p50, p99 ms": _p50_p99([shift["console_ms"] for shift in done]),
    }
    if figure.p50 is not None:
        figure.notes["ratio to the floor (p50)"] = round(figure.p50 / floor, 1)
    if figure.p99 is not None:
        figure.notes["ratio to the floor (p99)"] = round(figure.p99 / floor, 1)
    if len(done) != shifts:
        rest = ", ".join(f"{shift['id']} {shift['status']}" for shift in answer["shifts"] if shift not in done)
        figure.wrong.append(f"{len(done)} of {shifts} shifts ended: {rest}")
    if stats["failed"]:
        figure.wrong.append(f"{stats['failed']} of {stats['sent']} requests failed: {stats['errors']}")
    if stats["sent"] < requests:
        figure.wrong.append(f"only {stats['sent']} requests were sent")
    return figure


def _p50_p99(values: list[float]) -> list[float]:
    return [round(percentile(values, share), 1) for share in (0.5, 0.99)] if values else []
