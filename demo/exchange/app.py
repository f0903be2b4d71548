"""The HTTP face of the paper exchange: plain ASGI over one Exchange, with the faults that are switched on."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from demo.exchange.directory import Writer
from demo.exchange.exchange import Exchange
from demo.exchange.fault_controls import Controls, Rule, read_position, read_shock
from demo.exchange.journal import read_log
from demo.exchange.market import TICK_SECONDS
from demo.exchange.runaway import step_of
from demo.exchange.weights import Budgets, weight_of
from demo.exchange.wire import BadRequest

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
MAX_BODY = 1_000_000
SAVE_SECONDS = 1.0
LOOPBACK = ("127.", "::1")


class App:
    """ASGI application of the exchange, and its background tasks (prices, snapshots, a runaway writer)."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.faults = Controls(Budgets(time.monotonic), exchange.book.depth.thin)
        self._runaway: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        route = (scope["method"], scope["path"])
        try:
            if route in (("POST", "/info"), ("POST", "/exchange")):
                await self._trade(scope, receive, send)
            elif route == ("GET", "/healthz"):
                await reply(send, 200, {"status": "pass", "started_at": self.exchange.started_at, "time": time.time()})
            elif route == ("GET", "/log"):
                await reply(send, 200, await self._log(scope))
            elif scope["path"] == "/faults" and _is_local(scope):
                await self._change_faults(scope, receive, send)
            else:
                await reply(send, 404, {"title": "Not found", "detail": f"no {route[0]} {route[1]} here"})
        except BadRequest as error:
            # In plain text, as the real exchange, which names no field, though.
            told = "" if scope["path"] == "/faults" else "Failed to deserialize the JSON body into the target type: "
            await reply_text(send, 422, f"{told}{error}")

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

    async def _trade(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A question or an action, as the faults let it through."""
        path, faults = scope["path"], self.faults
        body = json_object(await read_body(receive))
        asked = kind_of(path, body)
        if faults.latency_ms:
            await asyncio.sleep(faults.latency_ms / 2000)
        if faults.take("hang_next", path, asked) is not None:
            await _end_unanswered(scope, receive)
            return
        status = faults.take("status", path, asked)
        if status is not None or faults.is_dead(path, asked):
            await _fail(send, status)
        elif not faults.budgets.spend((scope["client"][0], scope["server"][0]), weight_of(path, body)):
            await reply(send, 429, None)
        else:
            answer = self._exchange(scope, body) if path == "/exchange" else self._info(body)
            if faults.take("lose_reply", path, asked) is not None:
                scope["transport"].close()
                await _end_unanswered(scope, receive)
                return
            if faults.latency_ms:
                await asyncio.sleep(faults.latency_ms / 2000)
            await reply(send, 200, answer)

    def _info(self, body: dict[str, Any]) -> Any:
        return self.exchange.info.answer(body, int(time.time() * 1000))

    def _exchange(self, scope: Scope, body: dict[str, Any]) -> dict[str, Any]:
        epoch = header(scope["headers"], b"x-epoch")
        if epoch is not None and not (epoch.isascii() and epoch.isdecimal()):
            raise BadRequest(f"X-Epoch: must be a whole number, got {epoch!r}")
        return self.exchange.exchange(body, int(epoch) if epoch is not None else None)

    async def _change_faults(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self._merge(json_object(await read_body(receive)))
        elif scope["method"] == "DELETE":
            self.faults.clear()
        self._follow_runaway()
        await reply(send, 200, self.faults.as_json())

    def _merge(self, body: dict[str, Any]) -> None:
        names = self.exchange.directory.names()
        position = read_position(body.pop("position"), names) if "position" in body else None
        shock = read_shock(body.pop("shock")) if "shock" in body else {}
        self.faults.merge(body, names)
        for coin, fraction in shock.items():
            self.exchange.book.market.shock(coin, fraction)
        if position is not None:
            self.exchange.inject(*position)

    def _follow_runaway(self) -> None:
        """The runaway writer runs exactly while the faults name one."""
        if self._runaway is not None and not self._runaway.done():
            self._runaway.cancel()
        runaway = self.faults.runaway
        self._runaway = asyncio.create_task(self._run_away()) if runaway is not None else None

    async def _run_away(self) -> None:
        number = 0
        while (runaway := self.faults.runaway) is not None:
            mids = {coin: str(mid) for coin, mid in self._info({"type": "allMids"}).items()}
            self.exchange.act(step_of(number, mids, runaway.usd), Writer(runaway.account, runaway.agent), None)
            number += 1
            await asyncio.sleep(runaway.every_ms / 1000)

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


def kind_of(path: str, body: dict[str, Any]) -> str:
    """What a request asks for: the type of its question or of its action."""
    of = body.get("action") if path == "/exchange" else body
    return str(of.get("type")) if isinstance(of, dict) else ""


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
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"body: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadRequest("body: must be a JSON object")
    return value


async def reply(send: Send, status: int, body: Any) -> None:
    """Sends one JSON answer."""
    await _reply(send, status, b"application/json", json.dumps(body, separators=(",", ":")).encode())


async def reply_text(send: Send, status: int, text: str) -> None:
    """Sends one answer in plain text."""
    await _reply(send, status, b"text/plain; charset=utf-8", text.encode(errors="replace"))


async def _reply(send: Send, status: int, kind: bytes, payload: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(payload)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


async def _fail(send: Send, rule: Rule | None) -> None:
    """The status that a fault demands; without a body of its own, what the real exchange or its front sends."""
    code = rule.code if rule is not None else 500
    if rule is not None and (rule.body is not None or code == 429):
        await reply(send, code, rule.body)
    else:
        await reply_text(send, code, "null" if code < 500 else "Internal Server Error")


async def _end_unanswered(scope: Scope, receive: Receive) -> None:
    """Waits until the connection is gone, so that the server has nobody to answer."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _is_local(scope: Scope) -> bool:
    return str(scope["client"][0]).startswith(LOOPBACK)
