"""A steady stream of requests with keep-alive connections, and exact counts of what became of them.

    python -m demo.load --url http://127.0.0.1:8080 --rate 250 --connections 32 --stats var/load.json

Open loop: request number n is due at start + n / rate, whether or not earlier ones were answered; its latency counts
from that moment. A request fails with a status of 500 or more, when no connection can be made, when its connection
breaks after it was sent, or when no answer has come 2 s after it was due. A connection that the peer closed while no
request was under way is opened again and is no failure.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import uvloop

TIMEOUT_SECONDS = 2.0
MIN_PAUSE_SECONDS = 0.001
MAX_PAUSE_SECONDS = 0.02
WRITE_SECONDS = 0.5
MOMENT_MS = 100
KEPT_MOMENTS = 12_000
WRITTEN_MOMENTS = 300
KEPT_FAILURES = 200
KEPT_LATENCIES = 5_000
RATE_SECONDS = 5.0
# Every tenth request is a signal, the others ask for a quote.
SIGNAL_EVERY = 10


@dataclass(slots=True)
class ServerCount:
    """What one server answered; times are unix seconds of its first and last answer."""

    first_at: float
    last_at: float
    ok: int = 0
    failed: int = 0
    version: str = ""


@dataclass(slots=True)
class Stats:
    """Counts of a run. `moments` holds, for each server, the answers in each 100 ms: {at, server, ok, failed}."""

    started_at: float = field(default_factory=time.time)
    sent: int = 0
    ok: int = 0
    failed: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_FAILURES))
    by_server: dict[str, ServerCount] = field(default_factory=dict)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    moments: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_MOMENTS))
    _moment: dict[str, dict[str, Any]] = field(default_factory=dict)
    _sent_at: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))

    def answered(self, status: int, server: str, version: str, seconds: float) -> None:
        """Counts an answer that came `seconds` after it was due."""
        self.by_status[status] += 1
        self.latencies.append(seconds)
        if status >= 500:
            self._fail(f"http_{status}", status, server, version)
        else:
            self.ok += 1
            self._count(server, version, good=True)

    def broke(self, kind: str, server: str = "") -> None:
        """Counts a request that got no answer; `kind` is connect, disconnected, malformed or timeout."""
        self._fail(kind, None, server, "")

    def as_json(self) -> dict[str, Any]:
        """The content of the stats file. Latency covers the last 5,000 answers, the rate the last 5 s."""
        now = time.time()
        ordered = sorted(self.latencies)
        return {
            "started_at": self.started_at,
            "at": now,
            "sent": self.sent,
            "ok": self.ok,
            "failed": self.failed,
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "errors": dict(self.errors),
            "failures": list(self.failures),
            "rate": self._rate(now),
            "latency_ms": {"p50": _quantile_ms(ordered, 0.50), "p99": _quantile_ms(ordered, 0.99)},
            "by_server": {
                name: {
                    "ok": count.ok,
                    "failed": count.failed,
                    "first_at": count.first_at,
                    "last_at": count.last_at,
                    "version": count.version,
                }
                for name, count in self.by_server.items()
            },
            "moments": list(self.moments)[-WRITTEN_MOMENTS:],
        }

    def _rate(self, now: float) -> float:
        self._sent_at.append((now, self.sent))
        while len(self._sent_at) > 2 and now - self._sent_at[0][0] > RATE_SECONDS:
            self._sent_at.popleft()
        began, before = self._sent_at[0]
        if now - began < WRITE_SECONDS / 2:
            began, before = self.started_at, 0
        return round((self.sent - before) / max(now - began, 1e-6), 1)

    def _fail(self, kind: str, status: int | None, server: str, version: str) -> None:
        self.failed += 1
        self.errors[kind] += 1
        self.failures.append({"at": round(time.time(), 3), "kind": kind, "status": status, "server": server})
        self._count(server, version, good=False)

    def _count(self, server: str, version: str, *, good: bool) -> None:
        now = time.time()
        if server:
            count = self.by_server.get(server)
            if count is None:
                count = self.by_server[server] = ServerCount(now, now)
            count.last_at, count.version = now, version or count.version
            count.ok, count.failed = count.ok + good, count.failed + (not good)
        at = int(now * 1000) // MOMENT_MS * MOMENT_MS / 1000
        moment = self._moment.get(server)
        if moment is None or moment["at"] != at:
            moment = self._moment[server] = {"at": at, "server": server, "ok": 0, "failed": 0}
            self.moments.append(moment)
        moment["ok" if good else "failed"] += 1


def _quantile_ms(ordered: list[float], q: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000, 3)


class Connection(asyncio.Protocol):
    """One keep-alive connection: at most one request under way at a time."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._parser: Any = None
        self._transport: asyncio.Transport | None = None
        self._headers: dict[bytes, bytes] = {}
        self.due: float | None = None
        self.server = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        # uvloop's transports are asyncio's by contract, not by class.
        self._transport = cast(asyncio.Transport, transport)

    @property
    def open(self) -> bool:
        """True while a request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, due: float) -> None:
        """Sends one request that was due at `due` (event loop time)."""
        assert self._transport is not None
        self.due, self._headers = due, {}
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)

    def drop(self) -> None:
        """Closes the connection without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of the answer."""
        try:
            if self._parser is None or self.due is None:
                raise httptools.HttpParserError("an answer without a request")
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._ended("malformed")
            self.drop()

    def eof_received(self) -> bool:
        """asyncio: the peer closes; close as well."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: closed. Only a failure when a request was under way."""
        self._transport = None
        self._ended("disconnected")

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header."""
        self._headers[name.lower()] = value

    def on_message_complete(self) -> None:
        """httptools: the whole answer is there."""
        if self.due is None:
            return
        due, self.due = self.due, None
        self.server = self._headers.get(b"x-served-by", b"").decode("latin-1")
        version = self._headers.get(b"x-version", b"").decode("latin-1")
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self._load.answered(self, self._parser.get_status_code(), version, due)

    def _ended(self, kind: str) -> None:
        if self.due is not None:
            self.due = None
            self._load.broke(self, kind)

    def expire(self) -> None:
        """The request took too long: give it up and close."""
        self._ended("timeout")
        self.drop()


class Load:
    """Keeps the schedule: hands due requests to free connections, opens closed ones, gives up late ones."""

    def __init__(self, url: str, rate: float, connections: int, stats: Stats) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"--url: must be like http://127.0.0.1:8080, got {url!r}")
        if rate <= 0 or connections <= 0:
            raise ValueError("--rate and --connections: must be above 0")
        self.stats = stats
        self._host, self._port = parts.hostname, parts.port or 80
        self._rate = rate
        self._requests = _requests(f"{self._host}:{self._port}")
        self._free: deque[Connection | None] = deque([None] * connections)
        self._busy: set[Connection] = set()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def run(self, total: int | None, seconds: float | None, stop: asyncio.Event) -> None:
        """Sends until `total` requests were sent, `seconds` are over or `stop` is set; then awaits the answers."""
        started = self._loop.time()
        made = 0
        while not stop.is_set() and (total is None or made < total):
            now = self._loop.time()
            if seconds is not None and now - started >= seconds:
                break
            due_count = int((now - started) * self._rate) + 1
            for number in range(made, due_count if total is None else min(due_count, total)):
                self._waiting.append((started + number / self._rate, self._requests[number % SIGNAL_EVERY]))
                self.stats.sent += 1
                made = number + 1
            self._dispatch()
            self._expire(now)
            pause = started + made / self._rate - self._loop.time()
            await asyncio.sleep(min(max(pause, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS))
        while self._waiting or self._busy or self._opening:
            self._dispatch()
            self._expire(self._loop.time())
            await asyncio.sleep(MIN_PAUSE_SECONDS)
        for connection in self._free:
            if connection is not None:
                connection.drop()

    def answered(self, connection: Connection, status: int, version: str, due: float) -> None:
        """An answer came; the connection is free again."""
        self.stats.answered(status, connection.server, version, self._loop.time() - due)
        self._release(connection)

    def broke(self, connection: Connection, kind: str) -> None:
        """No answer will come."""
        self.stats.broke(kind, connection.server)
        self._busy.discard(connection)
        self._free.append(None)

    def _release(self, connection: Connection) -> None:
        self._busy.discard(connection)
        # Last in, first out: few connections stay warm, the others are reserve.
        self._free.append(connection if connection.open else None)
        if self._waiting:
            self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting and self._free:
            due, request = self._waiting.popleft()
            connection = self._free.pop()
            if connection is not None and connection.open:
                self._busy.add(connection)
                connection.send(request, due)
            else:
                task = self._loop.create_task(self._connect(request, due))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)

    async def _connect(self, request: bytes, due: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, due + TIMEOUT_SECONDS - self._loop.time())):
                _, connection = await self._loop.create_connection(lambda: Connection(self), self._host, self._port)
            if not connection.open:
                raise ConnectionResetError
        except (OSError, TimeoutError) as error:
            self.stats.broke("timeout" if isinstance(error, TimeoutError) else "connect")
            self._free.appendleft(None)
            return
        self._busy.add(connection)
        connection.send(request, due)

    def _expire(self, now: float) -> None:
        oldest = now - TIMEOUT_SECONDS
        while self._waiting and self._waiting[0][0] < oldest:
            self._waiting.popleft()
            self.stats.broke("timeout")
        for connection in [c for c in self._busy if c.due is not None and c.due < oldest]:
            connection.expire()


def _requests(host: str) -> list[bytes]:
    quote = f"GET /quote/BTC HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    body = json.dumps({"symbol": "BTC", "side": "buy", "strength": 0.5}).encode()
    head = f"POST /signal HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return [quote] * (SIGNAL_EVERY - 1) + [head.encode() + b"\r\n\r\n" + body]


async def run_load(
    url: str,
    rate: float,
    connections: int = 32,
    seconds: float | None = None,
    requests: int | None = None,
    stats_path: Path | None = None,
    stats: Stats | None = None,
    stop: asyncio.Event | None = None,
) -> Stats:
    """Runs the load in the current event loop and answers its counts; give `stats` to read them while it runs.

    `rate` is requests a second. Without `seconds` and `requests` it runs until `stop` is set.
    Raises ValueError for a bad URL, rate or number of connections.
    """
    stats = stats if stats is not None else Stats()
    load = Load(url, rate, connections, stats)
    writer = asyncio.create_task(_write_forever(stats, stats_path)) if stats_path else None
    try:
        await load.run(requests, seconds, stop or asyncio.Event())
    finally:
        if writer is not None and stats_path is not None:
            writer.cancel()
            write_stats(stats, stats_path)
    return stats


def write_stats(stats: Stats, path: Path) -> None:
    """Replaces the stats file atomically."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(stats.as_json()))
    temporary.replace(path)


async def _write_forever(stats: Stats, path: Path) -> None:
    while True:
        write_stats(stats, path)
        await asyncio.sleep(WRITE_SECONDS)


async def _run_until_signal(options: argparse.Namespace) -> Stats:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await run_load(
        options.url, options.rate, options.connections, options.seconds, options.requests, options.stats, stop=stop
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs until the given end or a stop signal; exit status 0, or 2 with a message for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m demo.load", description="A steady stream of requests.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--stats", type=Path, help="file that gets the counts as JSON")
    parser.add_argument("--requests", type=int, help="stop after so many")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    options = parser.parse_args(arguments)
    try:
        stats = uvloop.run(_run_until_signal(options))
    except (ValueError, OSError) as error:
        print(f"load cannot run: {error}", file=sys.stderr)
        return 2
    print(f"sent {stats.sent}, ok {stats.ok}, failed {stats.failed} {dict(stats.errors) or ''}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
