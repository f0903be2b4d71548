"""A small real HTTP server on a free port whose answers a test decides, byte for byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HEALTH = {
    "status": "pass",
    "version": "v1.2.5",
    "releaseId": "sha256:ab",
    "checks": {
        "exchange:connection": [{"status": "pass", "observedValue": 12, "observedUnit": "ms"}],
        "strategies:running": [{"status": "pass"}],
    },
}
STATE = {
    "role": "ACTIVE",
    "epoch": 12,
    "latched": False,
    "restart_required": False,
    "deployed_at": "2026-01-01T00:00:00Z",
    "config_revision": "r1",
    "strategies": [{"id": "geometry", "state": "running", "last_heartbeat": "2026-01-01T00:00:10+00:00"}],
}
METRICS = (
    'trading_requests_total{op="quote",outcome="ok"} 120\ntrading_position_mismatches 0\n'
    "trading_circuit_breaker_open 0\nprocess_start_time_seconds 1767225600\n"
)


def answer(body: object, status: int = 200, kind: str = "application/json", headers: str = "") -> bytes:
    """A complete HTTP answer; a body that is neither text nor bytes is written as JSON."""
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@dataclass
class Asked:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = bytes | Callable[[socket.socket], None]
"""What to send; or a function that does with the connection what it wants, which then is closed."""


@dataclass
class Server:
    """Answers ``"METHOD /path"`` (without query) with ``replies``; what is not there gets 404."""

    replies: dict[str, Reply]
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    try:
                        more = connection.recv(65536)
                    except OSError:
                        return
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                while len(data) < int(headers.get("content-length", 0)):
                    data += connection.recv(65536)
                size = int(headers.get("content-length", 0))
                body, data = data[:size], data[size:]
                method, path, _ = first.split(" ")
                self.asked.append(Asked(method, path, headers, body))
                reply = self.replies.get(f"{method} {path.partition('?')[0]}", answer({"title": "Not found"}, 404))
                try:
                    if callable(reply):
                        reply(connection)
                        return
                    connection.sendall(reply)
                except OSError:
                    return


@contextmanager
def serving(**changed: Reply) -> Iterator[Server]:
    """A healthy instance, with some replies changed: ``healthz=``, ``metrics=``, ``state=``."""
    replies: dict[str, Reply] = {
        "GET /healthz": answer(HEALTH, kind="application/health+json"),
        "GET /metrics": answer(METRICS, kind="text/plain"),
        "GET /v1/state": answer(STATE),
    }
    places = {"healthz": "GET /healthz", "metrics": "GET /metrics", "state": "GET /v1/state"}
    replies |= {places[name]: reply for name, reply in changed.items()}
    with serve(replies) as server:
        yield server


@contextmanager
def serve(replies: dict[str, Reply]) -> Iterator[Server]:
    """A server with exactly these replies; every connection has a thread, all end with the block."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = Server(replies, port=listener.getsockname()[1])
    open_connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            open_connections.append(connection)
            server.connections += 1
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        thread.join(timeout=2)


def hang(connection: socket.socket) -> None:
    """Never answer; ends when the other side gives up."""
    connection.recv(1)


def hang_up(connection: socket.socket) -> None:
    """Close the connection without an answer."""


def half(connection: socket.socket) -> None:
    """Half an answer, then close."""
    connection.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 500\r\n\r\n{")


def endless(connection: socket.socket) -> None:
    """An answer without an end, as fast as it goes."""
    connection.sendall(b"HTTP/1.1 200 X\r\ncontent-type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"x" * 16384)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
