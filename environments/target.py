"""Client of the ops contract: one trading system instance, asked and told what to do by a step of the engine.

Synchronous. Each call opens a connection of its own: a kept one that the other side has just closed would leave open
whether a mutation was carried out. Redirects are not followed and answers over 64 KB are refused.
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx

from environments.health import Health, MalformedAnswer, parse_health
from environments.target_data import (
    BreakerState,
    CancelledOrders,
    ClosedPosition,
    Difference,
    Fields,
    Order,
    Position,
    SmokeResult,
    StrategyState,
    TargetState,
    Trade,
    read_breaker,
    read_cancelled_orders,
    read_closed_position,
    read_difference,
    read_list,
    read_order,
    read_position,
    read_smoke_result,
    read_state,
    read_trade,
)

__all__ = [
    "BreakerState",
    "CancelledOrders",
    "ClosedPosition",
    "Difference",
    "Health",
    "Order",
    "Position",
    "SmokeResult",
    "StaleEpoch",
    "StrategyState",
    "TargetClient",
    "TargetError",
    "TargetMalformed",
    "TargetRefused",
    "TargetState",
    "TargetUnreachable",
    "Trade",
]

MAX_ANSWER_BYTES = 64 * 1024
MAX_TRADES = 200
"""So many trades fit into an answer of 64 KB."""
MUTATION_TIMEOUT = 5.0
"""Seconds for what asks the exchange: ``reconcile``, closing and cancelling."""

T = TypeVar("T")
Kind = Literal["timeout", "refused", "disconnected", "unreachable"]


class TargetError(Exception):
    """The trading system could not be asked, or did not do as asked."""


class TargetUnreachable(TargetError):
    """No complete answer. After a mutation it is open whether it was carried out: read the state."""

    def __init__(self, detail: str, kind: Kind = "unreachable") -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        """``timeout``, ``refused`` (nobody listens), ``disconnected`` (midway), ``unreachable`` (anything else)."""


class TargetMalformed(TargetError):
    """It answered, but not as the ops contract says."""


class TargetRefused(TargetError):
    """It answered with an error (RFC 9457) and did not do it."""

    def __init__(self, where: str, status: int, title: str, detail: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(f"{where} answered {status} {title}" + (f": {detail}" if detail else ""))
        self.status = status
        self.title = title
        self.detail = detail
        self.problem = problem or {}
        """All members of the problem document."""


class StaleEpoch(TargetError):
    """A newer epoch was granted meanwhile: somebody else is in charge of the trading role."""

    def __init__(self, given: int, current: int) -> None:
        super().__init__(f"epoch {given} is older than {current}, which was already granted")
        self.given = given
        self.current = current


class TargetClient:
    """One instance. ``base_url`` has no path, ``token`` needs the scopes read and operate; ``read_timeout`` in seconds.

    Every method raises ``TargetUnreachable`` without a complete answer in time, ``TargetRefused`` for an error answer
    (or a redirect) and ``TargetMalformed`` for an answer that is not the contract's; all are ``TargetError``.
    """

    def __init__(self, base_url: str, token: str, *, read_timeout: float = 2.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._read_timeout = read_timeout

    def health(self) -> Health:
        """``GET /healthz``: a failing system answers too, with the status ``fail``."""
        status, body = self._exchange("GET", "/healthz", self._read_timeout)
        try:
            return parse_health(status, body)
        except MalformedAnswer as error:
            raise TargetMalformed(f"{self._base_url}{error}") from None

    def metrics_text(self) -> str:
        """``GET /metrics`` as it is (Prometheus text format)."""
        status, body = self._exchange("GET", "/metrics", self._read_timeout)
        if status != 200:
            raise _refusal(f"GET {self._base_url}/metrics", status, body)
        return body.decode(errors="replace")

    def state(self) -> TargetState:
        """``GET /v1/state``."""
        return self._read_object("GET", "/v1/state", self._read_timeout)

    def set_role(self, role: str, epoch: int, *, actor: str, reason: str, timeout: float = 1.0) -> TargetState:
        """Grant (``ACTIVE``) or take (``STANDBY``) the trading role under a fencing epoch; repeating it is harmless.

        Raises ``StaleEpoch`` when a newer epoch was granted, besides the errors of every method.
        """
        body = {"role": role, "epoch": epoch, "actor": actor, "reason": reason}
        try:
            return self._read_object("POST", "/v1/role", timeout, body)
        except TargetRefused as refused:
            current = refused.problem.get("current_epoch")
            if refused.status == 409 and isinstance(current, int) and current > epoch:
                raise StaleEpoch(epoch, current) from None
            raise

    def close_position(self, symbol: str, *, actor: str, reason: str) -> ClosedPosition:
        """Close one position at the market, reduce-only; refused (404) when the system keeps none."""
        path = f"/v1/positions/{quote(symbol, safe='')}/close"
        document = self._json("POST", path, MUTATION_TIMEOUT, {"actor": actor, "reason": reason})
        return self._checked(lambda: read_closed_position(Fields(path, document)))

    def cancel_orders(self, *, actor: str, reason: str, symbol: str = "", order: str = "") -> CancelledOrders:
        """Cancel resting orders: one by its id, those of a symbol, or all."""
        body = {"actor": actor, "reason": reason} | {k: v for k, v in (("symbol", symbol), ("order", order)) if v}
        document = self._json("POST", "/v1/orders/cancel", MUTATION_TIMEOUT, body)
        return self._checked(lambda: read_cancelled_orders(Fields("/v1/orders/cancel", document)))

    def reconcile(self, actor: str, reason: str, symbols: Sequence[str] | None = None) -> list[Difference]:
        """Take the exchange's positions as the truth, all or those of ``symbols``; the differences that there were."""
        body: dict[str, Any] = {"actor": actor, "reason": reason}
        if symbols is not None:
            body["symbols"] = list(symbols)
        document = self._json("POST", "/v1/reconcile", MUTATION_TIMEOUT, body)
        return self._checked(lambda: read_list("/v1/reconcile", document, "differences", read_difference))

    def smoke_test(self, timeout: float) -> list[SmokeResult]:
        """Run the system's own smoke tests; they must end within ``timeout`` seconds."""
        body = {"actor": "engine", "reason": "smoke tests before promotion"}
        document = self._json("POST", "/v1/smoke-test", timeout, body)
        return self._checked(lambda: read_list("/v1/smoke-test", document, "results", read_smoke_result))

    def circuit_breaker(self) -> BreakerState:
        """``GET /v1/circuit-breaker``."""
        return self._breaker("GET", "/v1/circuit-breaker", self._read_timeout)

    def trip_breaker(self, *, actor: str, reason: str) -> BreakerState:
        """Open the circuit breaker by hand: the instance halts. Harmless when it is open."""
        return self._breaker("POST", "/v1/circuit-breaker/trip", 2.0, {"actor": actor, "reason": reason})

    def reset_breaker(self, *, actor: str, reason: str) -> BreakerState:
        """Acknowledge and close the circuit breaker; the instance stays HALTED. Refused (409) while latched."""
        return self._breaker("POST", "/v1/circuit-breaker/reset", 2.0, {"actor": actor, "reason": reason})

    def release_stop(self, *, actor: str, reason: str) -> TargetState:
        """Release the emergency latch; it stays HALTED, and wants a restart. Refused (409) while the stop works."""
        return self._read_object("POST", "/v1/emergency-stop/release", 2.0, {"actor": actor, "reason": reason})

    def resume(self, *, actor: str, reason: str) -> None:
        """End a halt: STANDBY again, nothing trades. Refused (409) while latched or with an open circuit breaker."""
        self._json("POST", "/v1/resume", 2.0, {"actor": actor, "reason": reason})

    def positions(self) -> list[Position]:
        """``GET /v1/positions``: the positions as the system keeps them."""
        document = self._json("GET", "/v1/positions", self._read_timeout)
        return self._checked(lambda: read_list("/v1/positions", document, "positions", read_position))

    def orders(self) -> list[Order]:
        """``GET /v1/orders``: resting orders."""
        document = self._json("GET", "/v1/orders", self._read_timeout)
        return self._checked(lambda: read_list("/v1/orders", document, "orders", read_order))

    def trades(self, after: int = 0, limit: int = 100) -> list[Trade]:
        """Up to ``limit`` trades with an id above ``after``, oldest first. ``ValueError`` for a limit over 200."""
        if not 1 <= limit <= MAX_TRADES or after < 0:
            raise ValueError(f"limit must be 1 to {MAX_TRADES} and after not below 0, not {limit} and {after}")
        document = self._json("GET", f"/v1/trades?after={after}&limit={limit}", self._read_timeout)
        return self._checked(lambda: read_list("/v1/trades", document, "trades", read_trade))

    def _breaker(self, method: str, path: str, timeout: float, body: dict[str, Any] | None = None) -> BreakerState:
        document = self._json(method, path, timeout, body)
        return self._checked(lambda: read_breaker(Fields(path, document)))

    def _read_object(self, method: str, path: str, timeout: float, body: dict[str, Any] | None = None) -> TargetState:
        document = self._json(method, path, timeout, body)
        return self._checked(lambda: read_state(Fields(path, document)))

    def _checked(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except MalformedAnswer as error:
            raise TargetMalformed(f"{self._base_url}{error}") from None

    def _json(self, method: str, path: str, timeout: float, body: dict[str, Any] | None = None) -> Any:
        status, answer = self._exchange(method, path, timeout, body)
        where = f"{method} {self._base_url}{path}"
        if not 200 <= status < 300:
            raise _refusal(where, status, answer)
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            raise TargetMalformed(f"{where} did not answer JSON; it begins {answer[:60]!r}") from None

    def _exchange(
        self, method: str, path: str, timeout: float, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Status and body. ``timeout``: for connecting, for each piece of the answer, and between pieces as a whole."""
        where, deadline = f"{method} {self._base_url}{path}", time.monotonic() + timeout
        headers = dict(self._headers)
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        try:
            with (
                httpx.Client(
                    verify=_certificates(), timeout=timeout, trust_env=False, follow_redirects=False
                ) as client,
                client.stream(method, self._base_url + path, json=body, headers=headers) as response,
            ):
                if 300 <= response.status_code < 400:
                    raise TargetRefused(where, response.status_code, "Redirect", "redirects are not followed")
                return response.status_code, _read_limited(response, where, deadline)
        except httpx.TimeoutException:
            raise TargetUnreachable(f"{where} did not answer within {timeout:g} s", "timeout") from None
        except httpx.ConnectError as error:
            refused = _has_cause(error, ConnectionRefusedError)
            detail = "nobody listens there" if refused else str(error)
            raise TargetUnreachable(f"{where}: {detail}", "refused" if refused else "unreachable") from None
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            raise TargetUnreachable(f"{where}: the connection broke: {error}", "disconnected") from None
        except httpx.HTTPError as error:
            raise TargetUnreachable(f"{where}: {type(error).__name__}: {error}") from None


def _read_limited(response: httpx.Response, where: str, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise TargetMalformed(f"{where} answered more than {MAX_ANSWER_BYTES // 1024} KB")
        if time.monotonic() > deadline:
            raise TargetUnreachable(f"{where} did not finish its answer in time", "timeout")
    return bytes(body)


def _refusal(where: str, status: int, answer: bytes) -> TargetRefused:
    try:
        problem = json.loads(answer)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict):
        return TargetRefused(where, status, "without a problem document", repr(answer[:60]))
    return TargetRefused(where, status, str(problem.get("title", "")), str(problem.get("detail", "")), problem)


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Loading the certificates takes longer than a whole call: once a process."""
    return ssl.create_default_context()
