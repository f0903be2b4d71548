"""The faults of the chaos test, each on a real process of the stack."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from opsconsole.local.stack import Stack

BOUNDARIES = [
    f"{side}-{step}"
    for step in (
        "preflight",
        "start_slot",
        "wait_healthy",
        "smoke_test",
        "hand_over",
        "shift_traffic",
        "activate",
        "watch",
    )
    for side in ("before", "after")
] + ["between-shift-and-commit"] * 4
WORKERS = ("worker-critical", "worker-default", "monitor")
STOPPED_SECONDS = 4.5
"""Longer than a lease (3 s)."""


class Faults:
    """Injects faults chosen by a seeded generator and counts them."""

    def __init__(self, stack: Stack, failpoints: Path, seed: int) -> None:
        self.stack, self.failpoints, self.random = stack, failpoints, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._ended = threading.Event()
        self._waker = threading.Thread(target=self._wake_stopped, daemon=True)
        self._waker.start()
        self._kinds = [
            (self.kill_at_boundary, 8),
            (self.stop_at_boundary, 3),
            (self.kill_worker, 4),
            (self.stop_worker, 2),
            (self.kill_haproxy, 2),
            (self.restart_postgres, 1),
            (self.kill_valkey, 2),
            (self.hang_valkey, 1),
        ]

    def inject(self) -> None:
        """One fault."""
        kinds, weights = zip(*self._kinds, strict=True)
        self.random.choices(kinds, weights)[0]()

    def kill_at_boundary(self) -> None:
        """kill -9 of whichever process reaches a step boundary, or the moment between the shift and its commit."""
        self._plant("KILL")

    def stop_at_boundary(self) -> None:
        """SIGSTOP at a boundary, woken well after the lease ran out."""
        self._plant("STOP")

    def kill_worker(self) -> None:
        """kill -9 of a worker or the monitor at a random moment."""
        self._signal(self.random.choice(WORKERS), signal.SIGKILL)

    def stop_worker(self) -> None:
        """SIGSTOP of a worker at a random moment, past its lease."""
        self._signal(self.random.choice(WORKERS), signal.SIGSTOP)

    def kill_haproxy(self) -> None:
        """kill -9 of the load balancer, master and worker."""
        pid = self.stack.trading.pid("haproxy")
        self.counts["kill_haproxy"] += 1
        for process in _family(pid):
            _send(process.pid, signal.SIGKILL)

    def restart_postgres(self) -> None:
        """An immediate shutdown of Postgres (every connection is cut); the supervisor starts it again."""
        self._signal("postgres", signal.SIGQUIT)

    def kill_valkey(self) -> None:
        """kill -9 of Valkey: every message is gone."""
        self._signal("valkey", signal.SIGKILL)

    def hang_valkey(self) -> None:
        """Valkey stops answering for a while."""
        self._signal("valkey", signal.SIGSTOP)

    def end_round(self) -> None:
        """Remove crash points that nobody reached; they do not count."""
        for path in self.failpoints.iterdir():
            self.counts["kill_at_boundary" if path.read_text() == "KILL" else "stop_at_boundary"] -= 1
            path.unlink()

    def end(self) -> None:
        """No more faults."""
        self._ended.set()
        self._waker.join()

    def _wake_stopped(self) -> None:
        """Wake what was stopped, well after its lease ran out."""
        stopped: dict[int, float] = {}
        while not self._ended.wait(0.2):
            now = time.monotonic()
            current = {
                p.pid for info in self.stack.console.status().values() for p in _family(info.pid) if _is_stopped(p)
            }
            stopped = {pid: stopped.get(pid, now) for pid in current}
            for pid, since in stopped.items():
                if now - since > STOPPED_SECONDS:
                    _send(pid, signal.SIGCONT)

    def _plant(self, text: str) -> None:
        path = self.failpoints / self.random.choice(BOUNDARIES)
        if path.exists():
            return
        self.counts["kill_at_boundary" if text == "KILL" else "stop_at_boundary"] += 1
        partial = path.with_name(f".{path.name}")
        partial.write_text(text)
        partial.replace(path)

    def _signal(self, program: str, number: signal.Signals) -> None:
        pid = self.stack.console.pid(program)
        if pid is not None and _send(pid, number):
            self.counts[f"{number.name} {program}"] += 1

    def pause(self) -> None:
        """A random moment later."""
        time.sleep(self.random.uniform(0.05, 0.8))


def _family(pid: int | None) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid) if pid else None
        return [process, *process.children(recursive=True)] if process else []
    except psutil.NoSuchProcess:
        return []


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        psutil.Process(pid).send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False
