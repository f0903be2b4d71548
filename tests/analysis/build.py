"""Builds samples as an instance would give them: counters that grow, request by request, from a seeded generator."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from environments.sample import Component, Sample

START = 1_767_225_600.0
"""2026-01-01 00:00 UTC: every story begins here."""
BOUNDS = tuple(0.0005 * 1.2**step for step in range(46)) + (2.0, math.inf)
CHECKS = tuple(Component(name, "pass") for name in ("exchange:connection", "node:blockLag", "database:responseTime"))


def sample(at: float, **values: object) -> Sample:
    """A healthy answer of an ACTIVE instance, ``at`` seconds after ``START``; ``values`` replace fields."""
    healthy = Sample(
        at=START + at,
        ok=True,
        version="v1.2.5",
        components=CHECKS,
        mismatches=0,
        breaker_open=False,
        role="ACTIVE",
        epoch=7,
        started_at=START - 100,
        open_positions=2,
        open_orders=0,
    )
    return replace(healthy, **values)  # type: ignore[arg-type]


def silent(at: float, error: str = "timeout") -> Sample:
    """A probe without an answer."""
    return Sample(at=START + at, ok=False, error=error)


class Story:
    """One instance under load. ``run`` goes on and collects samples; counters are totals, as in a real process."""

    def __init__(self, seed: int, at: float = 0.0, interval: float = 0.5) -> None:
        self.random = Random(seed)
        self.samples: list[Sample] = []
        self._at, self._interval = at, interval
        self._ok = self._error = self._win = self._loss = 0
        self._cells = [0] * len(BOUNDS)
        self._values: dict[str, object] = {}

    def run(
        self,
        seconds: float,
        *,
        rate: float = 250,
        errors: float = 0.0,
        slower: float = 1.0,
        trades: float = 0.0,
        wins: float = 0.57,
        **values: object,
    ) -> Story:
        """``rate`` requests and ``trades`` trades a second; ``errors`` and ``wins`` are shares, ``slower`` a factor."""
        for _ in range(round(seconds / self._interval)):
            for _ in range(round(rate * self._interval)):
                failed = self.random.random() < errors
                self._error += failed
                self._ok += not failed
                seconds_taken = slower * 0.003 * math.exp(self.random.gauss(0, 0.5176))
                self._cells[next(i for i, bound in enumerate(BOUNDS) if seconds_taken <= bound)] += 1
            for _ in range(round(trades * self._interval)):
                won = self.random.random() < wins
                self._win += won
                self._loss += not won
            self._at += self._interval
            self.samples.append(self._sample(**values))
        return self

    def silence(self, probes: int, error: str = "timeout") -> Story:
        """The next probes get no answer."""
        for _ in range(probes):
            self._at += self._interval
            self.samples.append(silent(self._at, error))
        return self

    def restart(self) -> Story:
        """The process is replaced: counters begin again, the start time is now."""
        self._ok = self._error = self._win = self._loss = 0
        self._cells = [0] * len(BOUNDS)
        self._values["started_at"] = START + self._at
        return self

    def _sample(self, **values: object) -> Sample:
        total, buckets = 0, []
        for bound, count in zip(BOUNDS, self._cells, strict=True):
            total += count
            buckets.append((bound, total))
        counters = {
            "requests_ok": self._ok,
            "requests_error": self._error,
            "latency_buckets": tuple(buckets),
            "trades_win": self._win,
            "trades_loss": self._loss,
        }
        return sample(self._at, **(counters | self._values | values))
