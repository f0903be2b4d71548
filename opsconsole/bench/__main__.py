"""``make bench``: the engine's figures, measured on an installation of its own, as a table and ``var/bench.json``.

The exit status is 1 when something was wrong (a failed request, a stuck deployment, two writers), never for a missed
speed: how fast it is depends on the machine, and the table says "not met".
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import httpx
import psycopg

from environments.drivers.base import DriverError
from opsconsole.bench import audit, audit_page, faults, gap, kills, probe, shifts, stop
from opsconsole.bench.bed import Bed, running_bed
from opsconsole.bench.figures import Figure, table
from opsconsole.config import ROOT
from opsconsole.local.client import ConsoleError
from opsconsole.local.paths import LocalServiceError

RESULT = ROOT / "var" / "bench.json"
SAMPLES = 1000
ON_BED: dict[str, Callable[[Bed], list[Figure]]] = {
    "shifts": shifts.measure,
    "faults": faults.measure,
    "kills": kills.measure,
    "gap": gap.measure,
}
"""The measurements that need a running installation, in the order in which they are taken."""
APART: dict[str, Callable[[], list[Figure]]] = {
    "audit": audit.measure,
    "audit_page": audit_page.measure,
    "stop": stop.measure,
}
"""Those that bring all they need with them."""
NAMES = ("probe", *APART, *ON_BED)
TROUBLE = (
    LocalServiceError,
    psycopg.Error,
    DriverError,
    ConsoleError,
    httpx.HTTPError,
    subprocess.TimeoutExpired,
    RuntimeError,
)
"""What ends a run early; what was measured until then is still shown."""


def main() -> int:
    """Measure and report; 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", choices=NAMES, action="append", metavar="NAME", help=f"one of {', '.join(NAMES)}; repeatable"
    )
    wanted = parser.parse_args().only or list(NAMES)
    began, load_before = time.monotonic(), os.getloadavg()[0]
    # As Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: list[Figure] = []
    problem = ""
    try:
        take(wanted, figures)
    except TROUBLE as error:
        problem = str(error)
    machine = {"cores": os.cpu_count(), "load_before": load_before, "load_after": os.getloadavg()[0]}
    write(figures, machine, time.monotonic() - began, problem)
    print("\n" + table(figures) if figures else "")
    print(f"\n{machine['cores']} cores, load average {load_before:.1f} before. {RESULT.relative_to(ROOT)} written.")
    if problem:
        print(f"\nThe run ended early: {problem}", file=sys.stderr)
    return 1 if problem or any(figure.wrong for figure in figures) else 0


def take(wanted: Sequence[str], figures: list[Figure]) -> None:
    """Take the wanted measurements, adding to ``figures`` as they come.

    Raises:
        LocalServiceError, DriverError, ConsoleError: the installation could not be measured.
    """
    if "probe" in wanted:  # first, while nothing else runs
        figures += probed()
    for name in APART:
        if name in wanted:
            print(f"  measuring {name}", flush=True)
            figures += APART[name]()
    on_bed = [name for name in ON_BED if name in wanted]
    if not on_bed:
        return
    with running_bed() as bed:
        for name in on_bed:
            bed.say(f"measuring {name}")
            figures += ON_BED[name](bed)


def probed() -> list[Figure]:
    """Instances that one prober samples each second."""
    print("  measuring probe", flush=True)
    found = probe.run()
    rate = found["samples_per_second"]
    return [
        Figure(
            "probe",
            "Instances sampled a second",
            f"≥ {SAMPLES}",
            "/s",
            probe.ROUNDS,
            rate >= SAMPLES,
            max=rate,
            notes=found,
        )
    ]


def write(figures: Sequence[Figure], machine: Mapping[str, object], seconds: float, problem: str) -> None:
    """Write the result as JSON."""
    result = {
        "machine": machine,
        "seconds": round(seconds, 1),
        "problem": problem,
        "figures": [asdict(figure) for figure in figures],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
