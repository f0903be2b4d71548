"""``make test``: the checks, then every test, with one closing line. ``--lint`` stops after the checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PACKAGES = [
    "opsconsole",
    "deployments",
    "runbooks",
    "trading",
    "alerts",
    "environments",
    "accounts",
    "audit",
    "demo",
    "opsctl",
]
PYTEST = [sys.executable, "-m", "pytest"]
CHECKS = {
    "lint": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "types": [BIN / "mypy", *PACKAGES],
    "imports": [BIN / "lint-imports"],
}
PATIENT = [
    f"tests/{folder}"
    for folder in ("accounts", "alerts", "analysis", "api", "audit", "docs", "house", "pages", "runbooks")
]
"""Tests that wait for nothing but their turn: they get what the browser and the faults leave of the processors."""
GROUPS = ["--dist", "loadgroup"]
IN_THE_REST = ["-n", "3", *GROUPS, *PATIENT]
UNITS = ["-n", "4", *GROUPS, "tests", *(f"--ignore={path}" for path in (*PATIENT, "tests/live", "tests/chaos"))]
"""Four on two cores: many of these wait for processes and for the database."""
CHAOS = ["tests/chaos", "-s"]
"""Waits for leases and deadlines that a machine full of other tests would miss."""
LIVE = ["tests/live", "-s"]
"""Drives a browser and judges latencies."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Run the checks and the tests; the exit status is 0 only when everything passed."""
    if not check():
        return 1
    if "--lint" in sys.argv:
        return 0
    if not ensure_chromium():
        return 1
    return pytest(UNITS) | everything_else()


def everything_else() -> int:
    """The faults and then the browser, and in what they leave of the processors the patient tests; the exit status."""
    with ThreadPoolExecutor(1) as hand:
        patient = hand.submit(run, ["nice", "-n", "19", *PYTEST, *IN_THE_REST])
        failed = pytest(CHAOS) | pytest(LIVE)
        if not patient.done():
            print("The patient tests go on …", flush=True)
        done = patient.result()
    print(done.stdout)
    return failed | done.returncode


def check() -> bool:
    """Run the checks side by side; whether all passed."""
    passed = True
    with ThreadPoolExecutor() as hands:
        for name, done in zip(CHECKS, hands.map(run, CHECKS.values()), strict=True):
            print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
            if done.returncode != 0:
                print(done.stdout)
                passed = False
    return passed


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """A command to its end, with all that it said."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def pytest(arguments: Sequence[str]) -> int:
    """Run tests in sight of whoever waits; the exit status."""
    return subprocess.run([*PYTEST, *arguments], cwd=ROOT, check=False).returncode


def ensure_chromium() -> bool:
    """Find a Chromium for the browser tests, or install Debian's where this machine allows it."""
    if any(shutil.which(name) for name in CHROMIUM):
        return True
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing Chromium for the browser tests …", flush=True)
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if any(shutil.which(name) for name in CHROMIUM):
            return True
    print("The browser tests need Chromium: install the package `chromium` (Debian: apt-get install chromium).")
    return False


if __name__ == "__main__":
    sys.exit(main())
