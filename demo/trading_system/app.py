"""ASGI application of one instance: the ops contract and the inbound traffic on one port."""

import logging

from .halts import Halts
from .http import Problem, Receive, Request, Response, Route, Router, Scope, Send, read_request
from .interventions import Interventions
from .mutations import Repetitions
from .ops import Ops
from .system import System
from .traffic import Traffic

log = logging.getLogger("trading_system")


class App:
    """Answers every request; each answer names the instance and the version that served it."""

    def __init__(self, system: System) -> None:
        repetitions = Repetitions()
        traffic = Traffic(system.grant, system.account, system.strategies, system.metrics, system.faults)
        routes = [
            Route("GET", "/quote/{symbol}", None, traffic.quote),
            Route("POST", "/signal", None, traffic.signal),
            *Ops(system, repetitions).routes(),
            *Interventions(system, repetitions).routes(),
            *Halts(system, repetitions).routes(),
        ]
        self._router = Router(routes, system.settings.tokens)
        self._headers = [
            (b"x-served-by", system.settings.instance.encode()),
            (b"x-version", system.release.version.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one HTTP request."""
        response = await self._answer(scope, receive)
        headers = [
            (b"content-type", response.content_type),
            (b"content-length", str(len(response.body)).encode()),
            *self._headers,
            *response.headers,
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path: str = scope["path"]
        try:
            request: Request = await read_request(scope, receive)
            return await self._router.answer(request)
        except Problem as problem:
            return problem.response(path)
        except Exception:
            log.exception("%s %s failed", scope["method"], path)
            return Problem(500, "internal-error", "the request failed; the log of the instance says why").response(path)
