"""The small part of HTTP that the system needs: requests, answers, problems (RFC 9457), routes."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
MAX_BODY = 64 * 1024


class Problem(Exception):
    """An error answer in problem+json. `extra` are further members of the body."""

    def __init__(self, status: int, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra

    def response(self, instance: str) -> "Response":
        """The answer; `instance` is the path of the request."""
        title = self.code.replace("-", " ").capitalize()
        body = {"type": f"urn:opsconsole:problem:{self.code}", "title": title, "status": self.status}
        body |= {"detail": self.detail, "instance": instance, **self.extra}
        return Response(self.status, json.dumps(body).encode(), b"application/problem+json")


@dataclass(slots=True)
class Request:
    """One request with its body read."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes
    parameters: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object. Raises Problem 400."""
        if not self.body:
            return {}
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise Problem(400, "malformed-body", f"the body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise Problem(400, "malformed-body", "the body must be a JSON object")
        return value


@dataclass(slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the API: method, path (with `{name}` parts), the token scope it needs (None: open), and handler."""

    method: str
    path: str
    scope: str | None
    handler: Handler


def as_json(body: Any, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(status, json.dumps(body).encode(), headers=headers or [])


class Router:
    """Finds the route of a request, checks its token, turns problems into answers."""

    def __init__(self, routes: list[Route], tokens: Mapping[str, frozenset[str]]) -> None:
        self._routes = [(route, route.path.strip("/").split("/")) for route in routes]
        self._tokens = tokens

    async def answer(self, request: Request) -> Response:
        """The answer to any request; raises nothing but what a handler did not foresee."""
        try:
            route = self._find(request)
            self._authorize(route, request)
            return await route.handler(request)
        except Problem as problem:
            return problem.response(request.path)

    def _find(self, request: Request) -> Route:
        parts = request.path.strip("/").split("/")
        allowed = []
        for route, pattern in self._routes:
            parameters = _match(pattern, parts)
            if parameters is None:
                continue
            if route.method == request.method:
                request.parameters = parameters
                return route
            allowed.append(route.method)
        if allowed:
            raise Problem(405, "method-not-allowed", f"{request.path} takes {', '.join(sorted(set(allowed)))}")
        raise Problem(404, "not-found", f"there is no {request.path} here")

    def _authorize(self, route: Route, request: Request) -> None:
        if route.scope is None:
            return
        kind, _, given = request.headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            raise Problem(401, "token-missing", "send `Authorization: Bearer <token>`")
        known = (s for token, s in self._tokens.items() if hmac.compare_digest(token.encode(), given.strip()))
        scopes = next(known, None)
        if scopes is None:
            raise Problem(401, "token-unknown", "this token is not known here")
        if route.scope not in scopes:
            raise Problem(403, "scope-missing", f"this token lacks the scope {route.scope}", required_scope=route.scope)


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts):
        return None
    found = {}
    for want, got in zip(pattern, parts, strict=True):
        if want.startswith("{"):
            found[want[1:-1]] = got
        elif want != got:
            return None
    return found


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Reads a whole request. Raises Problem 413 for a body above MAX_BODY bytes."""
    body = b""
    more = True
    while more:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        body += chunk
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Problem(413, "body-too-large", f"the body is larger than {MAX_BODY} bytes")
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    return Request(scope["method"], scope["path"], query, dict(scope["headers"]), body)
