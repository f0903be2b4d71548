"""Health checks in the shape of application/health+json (draft-inadarei-api-health-check)."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .account import Account
from .handover import what_holds
from .records import Records
from .roles import Grant, Role
from .strategies import Strategy

WARN, FAIL = "warn", "fail"
# (warn above, fail above); ages and lags in ms. Reads of the exchange come each 0.5 s and take up to 0.5 s.
LIMITS: dict[str, tuple[float, float]] = {
    "exchange:connection": (1_500, 3_000),
    "node:blockLag": (2_000, 5_000),
    "state_builder:lag": (2_000, 5_000),
    # A restart of the database must not roll a release back: what cannot be stored meanwhile waits (records.py).
    "database:responseTime": (100, 10_000),
}
HEARTBEAT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its component, what was observed, and the verdict (pass, warn, fail)."""

    name: str
    status: str
    observed: float | int | None
    unit: str
    output: str

    def as_json(self, at: str) -> dict[str, Any]:
        """One element of `checks` in the answer."""
        fields = {"status": self.status, "observedValue": self.observed, "observedUnit": self.unit, "time": at}
        return fields | {"componentType": "component", "output": self.output}


class Health:
    """Judges what the background reads have left; asks nobody, so an answer costs microseconds."""

    def __init__(self, grant: Grant, account: Account, records: Records, strategies: list[Strategy]) -> None:
        self._grant = grant
        self._account = account
        self._records = records
        self._strategies = strategies
        self.exchange_error: str | None = None

    def checks(self) -> list[Check]:
        """All five checks, now."""
        now = time.time()
        account, (database, words) = self._account, self._records.condition()
        return [
            self._aged("exchange:connection", now, account.mids_at, "since the last answer"),
            self._aged("node:blockLag", now, account.exchange_time, "behind the exchange's clock"),
            self._aged("state_builder:lag", now, account.synced_at, "since the account was read"),
            self._running(now),
            _limited("database:responseTime", database, words),
        ]

    def _aged(self, name: str, now: float, at: float, words: str) -> Check:
        if not at:
            return Check(name, FAIL, None, "ms", self.exchange_error or "not read yet")
        age = max(0.0, now - at) * 1000
        check = _limited(name, age, f"{age:.1f} ms {words}")
        if check.status == FAIL and self.exchange_error:
            return Check(name, FAIL, check.observed, "ms", self.exchange_error)
        return check

    def _running(self, now: float) -> Check:
        name, count = "strategies:running", len(self._strategies)
        if self._grant.role is Role.HALTED:
            return Check(name, FAIL, 0, "strategies", f"trading is halted: {what_holds(self._grant)}")
        if self._grant.role is Role.STANDBY:
            return Check(name, "pass", count, "strategies", f"{count} ready, STANDBY")
        alive = [s for s in self._strategies if s.running and now - s.heartbeat < HEARTBEAT_SECONDS]
        missing = ", ".join(s.name for s in self._strategies if s not in alive)
        if missing:
            return Check(name, FAIL, len(alive), "strategies", f"not running: {missing}")
        off = ", ".join(s.name for s in self._strategies if not s.switched_on)
        return Check(name, "pass", count, "strategies", f"{count} running" + (f", switched off: {off}" if off else ""))


def worst(checks: list[Check]) -> str:
    """The status of the whole: fail before warn before pass."""
    statuses = {check.status for check in checks}
    return FAIL if FAIL in statuses else WARN if WARN in statuses else "pass"


def rfc3339(at: float) -> str:
    """A unix time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _limited(name: str, value: float, words: str) -> Check:
    warn, fail = LIMITS[name]
    status = FAIL if value > fail else WARN if value > warn else "pass"
    return Check(name, status, round(value, 3), "ms", words)
