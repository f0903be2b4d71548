"""``make demo``: the whole product on this machine, with a deployment to watch.

``python -m opsconsole.local.demo`` starts it and stays until Ctrl-C; ``--reset`` stops it and deletes its data.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import threading
import time
from typing import Any

from environments.drivers.base import DriverError
from opsconsole.config import ROOT
from opsconsole.local.client import TERMINAL, Console, ConsoleError
from opsconsole.local.paths import LocalServiceError
from opsconsole.local.stack import Ports, Stack

VAR = ROOT / "var" / "demo"
LOAD = {"production": 300, "staging": 20}
FIRST, NEXT = "v1.2.4", "v1.2.5"


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


def main() -> int:
    """Run the demo; 0 when it was stopped on purpose, 1 with a message when it could not start."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="stop the demo, delete its data and exit")
    parser.add_argument("--exit-when-ready", action="store_true", help="leave it running and exit once it is ready")
    options = parser.parse_args()
    stack = Stack(VAR, Ports(), load=LOAD)
    if options.reset:
        return reset(stack)
    began = time.monotonic()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt(stopped))
    try:
        start(stack, began)
        if options.exit_when_ready:
            return 0
        stopped.wait()
    except Interrupted:
        pass
    except (LocalServiceError, DriverError, ConsoleError) as error:
        print(f"\nThe demo could not start:\n{error}\nLogs are in {VAR}/console and {VAR}/trading.", file=sys.stderr)
        stack.stop()
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("\nStopping everything …", flush=True)
    stack.stop()
    print("Stopped; `make demo` goes on where it was, `make demo-reset` starts over.")
    return 0


def _interrupt(stopped: threading.Event) -> None:
    if not stopped.is_set():
        stopped.set()
        raise Interrupted


def start(stack: Stack, began: float) -> None:
    """Bring everything up, the trading system included, and begin the deployment to watch."""

    def progress(text: str) -> None:
        print(f"  {time.monotonic() - began:5.1f} s  {text}", flush=True)

    print("Starting the demo:", flush=True)
    stack.start(progress)
    console = Console.as_role(stack.url, stack.keys)
    bring_up(console, stack, progress)
    deployments = console.get("deployments/", environment="production")["results"]
    if NEXT not in {deployment["to_release"] for deployment in deployments}:
        deployment = console.deploy("production", NEXT, "Better confidence threshold for the geometry strategy")
        progress(
            f"Deployment {deployment} of {NEXT} to production has begun: {stack.page_url}/deployments/{deployment}/"
        )
    print(welcome(stack), flush=True)


def bring_up(console: Console, stack: Stack, progress) -> None:  # type: ignore[no-untyped-def]
    """Deploy the first release to every environment that serves nothing yet, then start the request streams."""
    begun = {
        environment: console.deploy(environment, FIRST, "First release")
        for environment in ("production", "staging")
        if console.get(f"environments/{environment}/")["live_slot"] is None
    }
    for environment, deployment in begun.items():
        reached = console.wait(deployment, lambda found: found["status"] in TERMINAL or awaits_promotion(found))
        if awaits_promotion(reached):
            console.post(f"deployments/{deployment}/promote/", {"reason": "First release"})
        found = console.wait(deployment, timeout=60)
        if found["status"] != "succeeded":
            raise ConsoleError(f"{FIRST} could not be brought to {environment}: {found['failure_reason']}")
        progress(f"{FIRST} is live in {environment}")
    stack.start_load()


def awaits_promotion(found: dict[str, Any]) -> bool:
    """Whether a deployment, as the API shows it, waits for somebody to press Promote."""
    gate = next(step for step in found["steps"] if step["name"] == "await_promotion")
    return gate["status"] == "running" and str(gate["detail"]).startswith("Waiting for somebody")


def welcome(stack: Stack) -> str:
    """What to do next."""
    return f"""
The demo is ready.

  Open          {stack.page_url}
  Enter as      Admin, Operator or Developer: one click each, no password (only here, only from this machine)
  API keys      {stack.keys}     API: {stack.url}/api/docs/
  Load balancer {stack.front("production")} (production)   {stack.front("staging")} (staging)
  Try           Deployments, Start a deployment, v1.2.6: it makes errors, and goes back by itself

Ctrl-C stops everything."""


def reset(stack: Stack) -> int:
    """Stop the demo and delete its data."""
    stack.stop()
    if VAR.exists():
        stack.remove_data()
        shutil.rmtree(VAR)
    print("The demo's data is gone; `make demo` starts over.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
