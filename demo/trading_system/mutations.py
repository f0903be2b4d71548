"""What every mutation of the ops contract shares: who and why, the fence, and repetition under one Idempotency-Key."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .http import Problem, Request, Response
from .roles import Grant, StaleEpoch

KEPT_ANSWERS = 256
KEY_HEADER = b"idempotency-key"


@dataclass(frozen=True, slots=True)
class Order:
    """The common part of a mutation's body, and the body itself."""

    actor: str
    reason: str
    body: dict[str, Any]


def read_order(request: Request, grant: Grant, *, required: bool = True) -> Order:
    """Reads {actor, reason, epoch?}. Raises Problem 422 for a missing field and 409 for an older epoch."""
    body = request.json()
    for name in ("actor", "reason"):
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise Problem(422, "invalid-body", f"{name}: must be a text, got {value!r}")
        if required and not value:
            raise Problem(422, "invalid-body", f"{name}: is required, so that the act can be traced")
    epoch = body.get("epoch")
    if epoch is not None:
        check_epoch(read_epoch(epoch), grant)
    return Order(body.get("actor") or "unknown", body.get("reason") or "", body)


def read_epoch(value: object) -> int:
    """A whole, non-negative number. Raises Problem 422."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Problem(422, "invalid-body", f"epoch: must be a whole number of at least 0, got {value!r}")
    return value


def check_epoch(epoch: int, grant: Grant) -> None:
    """Raises Problem 409 when a newer epoch was granted."""
    try:
        grant.check(epoch)
    except StaleEpoch as error:
        raise stale(error) from None


def stale(error: StaleEpoch) -> Problem:
    """The answer to an older epoch."""
    return Problem(409, "stale-epoch", str(error), epoch=error.given, current_epoch=error.current)


def read_flag(body: dict[str, Any], name: str, default: bool) -> bool:
    """A true/false member of a body. Raises Problem 422."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise Problem(422, "invalid-body", f"{name}: must be true or false, got {value!r}")
    return value


def read_text(body: dict[str, Any], name: str) -> str | None:
    """An optional text of a body. Raises Problem 422."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Problem(422, "invalid-body", f"{name}: must be a text, got {value!r}")
    return value


def read_symbols(body: dict[str, Any], name: str) -> frozenset[str] | None:
    """An optional list of texts. Raises Problem 422."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Problem(422, "invalid-body", f"{name}: must be a list of texts, got {value!r}")
    return frozenset(value)


class Repetitions:
    """Answers a repeated mutation with what the first one was answered (RFC draft Idempotency-Key).

    Two that run at the same time share one execution. A failed one (5xx) may be tried again. Kept in memory.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, bytes], tuple[bytes, asyncio.Future[Response]]] = OrderedDict()

    def once(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The handler, carried out once for each key. Raises Problem 422 when a key comes with another body."""

        async def answer(request: Request) -> Response:
            key = request.headers.get(KEY_HEADER)
            if key is None:
                return await handler(request)
            place = (request.path, key)
            if place in self._answers:
                body, known = self._answers[place]
                if body != request.body:
                    raise Problem(422, "idempotency-key-reused", "this Idempotency-Key came with another body before")
                return await asyncio.shield(known)
            return await self._first(place, request, handler)

        return answer

    async def _first(
        self, place: tuple[str, bytes], request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        future = asyncio.ensure_future(handler(request))
        self._answers[place] = (request.body, future)
        if len(self._answers) > KEPT_ANSWERS:
            self._answers.popitem(last=False)
        try:
            response = await asyncio.shield(future)
        except BaseException:
            self._answers.pop(place, None)
            raise
        if response.status >= 500:
            self._answers.pop(place, None)
        return response
