"""``make test``: the checks, then every test, with one closing line. ``--lint`` stops after the checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
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
CHECKS = {
    "lint": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "types": [BIN / "mypy", *PACKAGES],
    "imports": [BIN / "lint-imports"],
}
UNITS = ["-n", "3", "--dist", "loadfile", "tests", "--ignore=tests/live", "--ignore=tests/chaos"]
"""Three on two cores: many of these wait for processes and for the database."""
WHOLE = ["tests/live", "tests/chaos", "-s"]
"""These run a whole installation each, one after the other."""
POLITE = 15
"""Niceness of the units, which run beside: latencies are judged in the whole installations, and these come first."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Run the checks and the tests; the exit status is 0 only when everything passed."""
    for name, command in CHECKS.items():
        began = time.monotonic()
        done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
        print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - began:.0f} s)", flush=True)
        if done.returncode != 0:
            print(done.stdout + done.stderr)
            return 1
    if "--lint" in sys.argv:
        return 0
    if not ensure_chromium():
        return 1
    return run_tests()


def run_tests() -> int:
    """The whole installations, and beside them the units; the worse exit status of the two."""
    pytest = [sys.executable, "-m", "pytest"]
    with tempfile.TemporaryFile("w+") as told:
        print("Browser and chaos tests run beside the units; what they say comes after these.", flush=True)
        whole = subprocess.Popen([*pytest, *WHOLE], cwd=ROOT, stdout=told, stderr=subprocess.STDOUT)
        try:
            units = subprocess.run(["nice", "-n", str(POLITE), *pytest, *UNITS], cwd=ROOT, check=False).returncode
            status = max(units, whole.wait())
        finally:
            whole.terminate()
            whole.wait()
        told.seek(0)
        shutil.copyfileobj(told, sys.stdout)
    return status


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
