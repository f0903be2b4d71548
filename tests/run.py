"""``make test``: the checks, then every test, with one closing line. ``--lint`` stops after the checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
PARTS = (
    # Three on two cores: many of these wait for processes and for the database.
    ["-n", "3", "--dist", "loadfile", "tests", "--ignore=tests/live", "--ignore=tests/chaos"],
    # These run a whole installation each and judge latencies, so one after the other, and nothing beside them.
    ["tests/live", "tests/chaos", "-s"],
)
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
    status = 0
    for arguments in PARTS:
        status |= subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode
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
