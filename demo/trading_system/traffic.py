"""Inbound requests, which the load balancer carries: quotes and signals. Served in every role."""

import asyncio
import json
import random
import time
from math import log as ln

from .account import Account
from .faults import FaultPlan
from .http import Problem, Request, Response
from .metrics import Metrics
from .roles import Grant
from .strategies import Signal, Strategy

# The work of one request takes a lognormal time: median 3 ms, 99th percentile 10 ms.
MEDIAN_SECONDS = 0.003
SIGMA = ln(10 / 3) / 2.326
SIDES = ("buy", "sell")


class Traffic:
    """Answers quotes and signals, counts them and measures how long they took."""

    def __init__(
        self, grant: Grant, account: Account, strategies: list[Strategy], metrics: Metrics, faults: FaultPlan
    ) -> None:
        self._grant = grant
        self._account = account
        self._strategies = strategies
        self._metrics = metrics
        self._faults = faults
        self._random = random.Random()
        self._mu = ln(MEDIAN_SECONDS * faults.latency_factor)

    async def quote(self, request: Request) -> Response:
        """`GET /quote/{symbol}`: the last known price."""
        return await self._measured("quote", request)

    async def signal(self, request: Request) -> Response:
        """`POST /signal` {symbol, side, strength}: remembered for the next opening trade of a strategy."""
        return await self._measured("signal", request)

    async def _measured(self, operation: str, request: Request) -> Response:
        started = time.perf_counter()
        try:
            await asyncio.sleep(self._random.lognormvariate(self._mu, SIGMA))
            if self._faults.request_fails(self._grant):
                raise Problem(500, "internal-error", "the request could not be processed")
            response = self._quote(request) if operation == "quote" else self._signal(request)
        except Problem as problem:
            response = problem.response(request.path)
        counters = self._metrics.errors if response.status >= 500 else self._metrics.ok
        counters[operation].inc()
        self._metrics.latency.observe(time.perf_counter() - started)
        return response

    def _quote(self, request: Request) -> Response:
        symbol = request.parameters["symbol"]
        mid = self._account.mids.get(symbol)
        if mid is None:
            if not self._account.mids:
                raise Problem(503, "no-prices", "no price has been read from the exchange yet")
            raise Problem(404, "unknown-symbol", f"{symbol} is not traded here")
        return Response(200, b'{"symbol":"%s","mid":"%s","at":%.3f}' % (symbol.encode(), str(mid).encode(), self._at()))

    def _signal(self, request: Request) -> Response:
        body = request.json()
        symbol, side, strength = body.get("symbol"), body.get("side"), body.get("strength")
        if symbol not in self._account.mids:
            raise Problem(422, "invalid-signal", f"symbol: {symbol!r} is not traded here")
        if side not in SIDES:
            raise Problem(422, "invalid-signal", f"side: must be buy or sell, got {side!r}")
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
            raise Problem(422, "invalid-signal", f"strength: must be a number from 0 to 1, got {strength!r}")
        for strategy in self._strategies:
            strategy.signals[symbol] = Signal(side, strength)
        return Response(202, json.dumps({"accepted": True, "symbol": symbol}).encode())

    def _at(self) -> float:
        return self._account.mids_at
