"""The HTTP face of the paper exchange: plain ASGI over one Book, one Journal and one Market."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from demo.exchange.book import Book, Fill, NewOrder, OrderRejected
from demo.exchange.journal import Journal, read_log, save, snapshot
from demo.exchange.market import TICK_SECONDS
from demo.exchange.wire import BadRequest, answer_info, asset, number, read_order

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
MAX_BODY = 1_000_000
SAVE_SECONDS = 1.0


class Exchange:
    """What the exchange does with a request; every order and cancel is logged before it is answered."""

    def __init__(self, book: Book, journal: Journal, state_path: Path) -> None:
        self.book = book
        self.journal = journal
        self.state_path = state_path
        self.started_at = time.time()
        self._saved_offset = -1

    def exchange(self, body: dict[str, Any], writer: str | None, epoch: int | None) -> dict[str, Any]:
        """Carries out one `/exchange` body; answers `{"status": "ok", …}` or `{"status": "err", …}`."""
        try:
            return self._exchange(body, writer, epoch)
        except BadRequest as error:
            return {"status": "err", "response": str(error)}

    def tick(self) -> None:
        """Moves the market by one step and fills the resting orders it has reached."""
        self.book.market.step()
        now = time.time()
        for account, fill in self.book.match_resting(int(now * 1000)):
            self._log(now, account, None, None, "fill", fill_fields(fill) | {"status": "filled"})

    def save(self) -> None:
        """Writes the snapshot when anything was logged since the last one."""
        if self.journal.offset != self._saved_offset:
            save(self.state_path, snapshot(self.book, self.journal.offset))
            self._saved_offset = self.journal.offset

    def _exchange(self, body: dict[str, Any], writer: str | None, epoch: int | None) -> dict[str, Any]:
        account, action = body.get("vaultAddress"), body.get("action")
        if not isinstance(account, str) or not account:
            raise BadRequest("vaultAddress: must name the account")
        if not isinstance(action, dict):
            raise BadRequest("action: must be an object")
        expires = body.get("expiresAfter")
        if expires is not None and not isinstance(expires, int):
            raise BadRequest("expiresAfter: must be a time in ms")
        if expires is not None and time.time() * 1000 > expires:
            raise BadRequest("Action expired.")
        kind = action.get("type")
        items = action.get({"order": "orders", "cancel": "cancels"}.get(str(kind), ""))
        if not isinstance(items, list) or not items:
            raise BadRequest(f"action: {kind!r} needs a list of orders or cancels")
        if kind == "order":
            orders = [read_order(raw, f"action.orders[{i}]") for i, raw in enumerate(items)]
            statuses = [self._order(account, order, writer, epoch) for order in orders]
        else:
            cancels = [_read_cancel(raw, f"action.cancels[{i}]") for i, raw in enumerate(items)]
            statuses = [self._cancel(account, coin, oid, writer, epoch) for coin, oid in cancels]
        return {"status": "ok", "response": {"type": kind, "data": {"statuses": statuses}}}

    def _order(self, account: str, request: NewOrder, writer: str | None, epoch: int | None) -> dict[str, Any]:
        now = time.time()
        fields: dict[str, Any] = {
            "oid": None,
            "cloid": request.cloid,
            "coin": request.coin,
            "side": request.side,
            "sz": number(request.size),
            "px": number(request.limit),
            "reduce_only": request.reduce_only,
        }
        try:
            order, fill = self.book.place(account, request, int(now * 1000))
        except OrderRejected as error:
            self._log(now, account, writer, epoch, "order", fields | {"status": f"error: {error}"})
            return {"error": str(error)}
        if fill is None:
            fields |= {"oid": order.oid, "sz": number(order.request.size), "status": "resting"}
            self._log(now, account, writer, epoch, "order", fields)
            return {"resting": {"oid": order.oid}}
        self._log(now, account, writer, epoch, "order", fields | fill_fields(fill) | {"status": "filled"})
        return {"filled": {"totalSz": number(fill.size), "avgPx": number(fill.price), "oid": fill.oid}}

    def _cancel(self, account: str, coin: str, oid: int, writer: str | None, epoch: int | None) -> Any:
        now = time.time()
        fields: dict[str, Any] = {"oid": oid, "coin": coin}
        try:
            order = self.book.cancel(account, coin, oid, int(now * 1000))
        except OrderRejected as error:
            self._log(now, account, writer, epoch, "cancel", fields | {"status": f"error: {error}"})
            return {"error": str(error)}
        fields |= {"side": order.request.side, "sz": number(order.remaining), "px": number(order.request.limit)}
        self._log(now, account, writer, epoch, "cancel", fields | {"status": "canceled"})
        return "success"

    def _log(
        self, at: float, account: str, writer: str | None, epoch: int | None, action: str, fields: dict[str, Any]
    ) -> None:
        head = {"at": round(at, 6), "account": account, "writer": writer, "epoch": epoch, "action": action}
        self.journal.append(head | fields)


def fill_fields(fill: Fill) -> dict[str, Any]:
    """The part of a log entry that an execution fills in."""
    return {
        "oid": fill.oid,
        "cloid": fill.cloid,
        "coin": fill.coin,
        "side": fill.side,
        "sz": number(fill.size),
        "px": number(fill.price),
    }


def _read_cancel(raw: object, where: str) -> tuple[str, int]:
    if not isinstance(raw, dict) or not isinstance(raw.get("o"), int):
        raise BadRequest(f"{where}: must be {{a: asset id, o: order id}}")
    return asset(raw.get("a"), f"{where}.a"), raw["o"]


class App:
    """ASGI application of the exchange, and its two background tasks (prices, snapshots)."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        route = (scope["method"], scope["path"])
        try:
            if route == ("POST", "/info"):
                body = json_object(await read_body(receive))
                answer: Any = answer_info(self.exchange.book, body, int(time.time() * 1000))
            elif route == ("POST", "/exchange"):
                answer = self._exchange(scope, json_object(await read_body(receive)))
            elif route == ("GET", "/healthz"):
                answer = {"status": "pass", "started_at": self.exchange.started_at, "time": time.time()}
            elif route == ("GET", "/log"):
                answer = await self._log(scope)
            else:
                await reply(send, 404, {"title": "Not found", "detail": f"no {route[0]} {route[1]} here"})
                return
        except BadRequest as error:
            await reply(send, 422, {"title": "Bad request", "detail": str(error)})
            return
        await reply(send, 200, answer)

    async def tick_forever(self) -> None:
        """Moves the market every TICK_SECONDS, without drifting."""
        due = time.monotonic()
        while True:
            self.exchange.tick()
            due = max(due + TICK_SECONDS, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def save_forever(self) -> None:
        """Writes the snapshot once a second."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            self.exchange.save()

    def _exchange(self, scope: Scope, body: dict[str, Any]) -> dict[str, Any]:
        writer, epoch = header(scope["headers"], b"x-writer"), header(scope["headers"], b"x-epoch")
        if epoch is not None and not epoch.isdecimal():
            raise BadRequest(f"X-Epoch: must be a whole number, got {epoch!r}")
        return self.exchange.exchange(body, writer, int(epoch) if epoch is not None else None)

    async def _log(self, scope: Scope) -> dict[str, Any]:
        query = parse_qs(scope["query_string"].decode())
        account = query.get("account", [None])[0]
        try:
            since = float(query.get("since", ["0"])[0])
        except ValueError:
            raise BadRequest("since: must be unix seconds") from None
        entries = await asyncio.to_thread(read_log, self.exchange.journal.path)
        wanted = [e for e in entries if e["at"] >= since and account in (None, e["account"])]
        return {"entries": wanted}


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The first header of that (lower-case) name, or None."""
    return next((value.decode("latin-1") for key, value in headers if key == name), None)


async def read_body(receive: Receive) -> bytes:
    """The whole request body. Raises BadRequest above MAX_BODY bytes."""
    body = b""
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_BODY:
            raise BadRequest(f"body: larger than {MAX_BODY} bytes")
        if not message.get("more_body"):
            return body


def json_object(body: bytes) -> dict[str, Any]:
    """Reads a JSON object. Raises BadRequest."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"body: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadRequest("body: must be a JSON object")
    return value


async def reply(send: Send, status: int, body: Any) -> None:
    """Sends one JSON answer."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    kind = b"application/json" if status < 400 else b"application/problem+json"
    headers = [(b"content-type", kind), (b"content-length", str(len(payload)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})
