"""A request stream of one chapter of a story, and what it saw from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opsconsole.config import ROOT

STOP_SECONDS = 10


class Stream:
    """Requests through the load balancer, from a process of its own, while the block runs; then ``stats`` is final."""

    def __init__(self, url: str, rate: int, stats_path: Path, *, connections: int = 32) -> None:
        self._path = stats_path
        self._command = [sys.executable, "-m", "demo.load", "--url", url, "--rate", str(rate)]
        self._command += ["--connections", str(connections), "--stats", str(stats_path)]
        self.stats: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
        self.stats = self.now()

    def now(self) -> dict[str, Any]:
        """The counts so far (at most half a second old); empty before the first."""
        try:
            found: dict[str, Any] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        return found

    def first_failure_at(self) -> float | None:
        """Unix time of the first failed request that was kept."""
        return min((failure["at"] for failure in self.stats["failures"]), default=None)

    def last_failure_at(self) -> float | None:
        """Unix time of the last failed request."""
        return max((failure["at"] for failure in self.stats["failures"]), default=None)

    def last_answer_of(self, server: str) -> float | None:
        """Unix time of the last good or bad answer of a server; None when it never answered."""
        found = self.stats["by_server"].get(server)
        return found["last_at"] if found else None

    def last_good_answer_of(self, server: str) -> float | None:
        """Unix time (to 0.1 s, rounded down) of the last good answer of a server; None when it gave none."""
        return max((m["at"] for m in self.stats["moments"] if m["server"] == server and m["ok"]), default=None)

    def first_answer_after(self, server: str, moment: float) -> float | None:
        """Unix time (to 0.1 s) of the first good answer of a server after a moment."""
        later = [m["at"] for m in self.stats["moments"] if m["server"] == server and m["ok"] and m["at"] > moment]
        return min(later, default=None)
