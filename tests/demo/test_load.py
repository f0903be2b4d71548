"""The load generator: exact counts, also when servers die, close or do not answer."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from demo.load import Stats, run_load
from tests.demo.processes import ROOT, Exchange, Instance, Stack, wait_for

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: fake-1\r\nX-Version: v9\r\n\r\nok"


@contextlib.asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A socket server that behaves as the handler says; answers its URL."""
    tcp = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{tcp.sockets[0].getsockname()[1]}"
    finally:
        tcp.close()


async def read_one(reader: asyncio.StreamReader) -> bool:
    """Reads one request; False at the end of the connection."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
        )
        await reader.readexactly(length)
        return True
    return False


def test_none_fails_against_a_healthy_instance(stack: Stack, exchange: Exchange, tmp_path: Path) -> None:
    instance = stack.instance(exchange).ready()
    path = tmp_path / "load.json"
    command = [sys.executable, "-m", "demo.load", "--url", instance.url, "--rate", "400", "--requests", "800"]
    ended = subprocess.run([*command, "--stats", str(path)], cwd=ROOT, capture_output=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    stats = json.loads(path.read_text())
    assert (stats["sent"], stats["ok"], stats["failed"]) == (800, 800, 0)
    assert stats["by_status"] == {"200": 720, "202": 80} and stats["errors"] == {} and stats["failures"] == []
    assert stats["by_server"]["production-blue-1"]["ok"] == 800
    assert stats["by_server"]["production-blue-1"]["version"] == "v1.2.4"
    assert sum(moment["ok"] for moment in stats["moments"]) == 800
    assert 2 < stats["latency_ms"]["p50"] < stats["latency_ms"]["p99"]
    counted = sum(instance.metric(f'trading_requests_total{{op="{op}",outcome="ok"}}') for op in ("quote", "signal"))
    assert counted == 800


def test_a_killed_server_shows_as_failures(instance: Instance, tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    command = [sys.executable, "-m", "demo.load", "--url", instance.url, "--rate", "300", "--stats", str(path)]
    load = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        wait_for(lambda: path.exists() and json.loads(path.read_text())["ok"] > 50, what="load runs")
        killed_at = time.time()
        instance.stop()
        wait_for(lambda: json.loads(path.read_text())["failed"] > 20, what="failures seen")
        load.send_signal(signal.SIGTERM)
        assert load.wait(5) == 0
    finally:
        load.kill()
        load.wait()
    stats = json.loads(path.read_text())
    assert stats["sent"] == stats["ok"] + stats["failed"]
    assert set(stats["errors"]) <= {"connect", "disconnected"} and stats["errors"]["connect"] > 0
    assert all(failure["at"] >= killed_at - 0.01 for failure in stats["failures"])
    assert stats["by_server"]["production-blue-1"]["last_at"] <= killed_at + 0.5


def test_a_connection_closed_between_requests_is_no_failure() -> None:
    async def one_request_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await read_one(reader):
            writer.write(ANSWER)
            await writer.drain()
        # No Connection: close was announced: the client learns of it by the closed socket alone.
        writer.close()

    async def run() -> Stats:
        async with server(one_request_each) as url:
            return await run_load(url, rate=50, connections=4, requests=50)

    stats = asyncio.run(run())
    assert (stats.ok, stats.failed) == (50, 0)
    assert stats.by_server["fake-1"].version == "v9"


def test_a_connection_that_breaks_after_the_request_is_one_failure() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one(reader)
        writer.close()

    async def run() -> Stats:
        async with server(hang_up) as url:
            return await run_load(url, rate=100, connections=4, requests=20)

    stats = asyncio.run(run())
    assert (stats.ok, stats.failed, dict(stats.errors)) == (0, 20, {"disconnected": 20})


def test_errors_and_silence_are_failures() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_one(reader):
            writer.write(ANSWER.replace(b"200 OK", b"503 Busy"))
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_one(reader):
            pass
        writer.close()

    async def run(handler: Handler) -> Stats:
        async with server(handler) as url:
            return await run_load(url, rate=200, connections=2, requests=10)

    stats = asyncio.run(run(broken))
    assert stats.failed == 10 and stats.errors == {"http_503": 10}
    assert stats.failures[0]["server"] == "fake-1"
    stats = asyncio.run(run(silent))
    # Two were sent and never answered, eight never found a free connection in time.
    assert stats.failed == 10 and stats.errors == {"timeout": 10}


def test_moments_show_when_traffic_moved() -> None:
    state = {"server": b"fake-1"}

    async def switching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_one(reader):
            writer.write(ANSWER.replace(b"fake-1", state["server"]))
        writer.close()

    async def run() -> tuple[Stats, float]:
        async with server(switching) as url:
            load = asyncio.create_task(run_load(url, rate=200, connections=2, seconds=1.2))
            await asyncio.sleep(0.6)
            state["server"], moved_at = b"fake-2", time.time()
            return await load, moved_at

    stats, moved_at = asyncio.run(run())
    last_old = max(moment["at"] for moment in stats.moments if moment["server"] == "fake-1")
    first_new = min(moment["at"] for moment in stats.moments if moment["server"] == "fake-2")
    assert moved_at - 0.2 < last_old <= first_new + 0.1 and abs(first_new - moved_at) < 0.3


def test_wrong_arguments_are_refused() -> None:
    for url, rate in (("ftp://x", 1.0), ("http://", 1.0), ("http://127.0.0.1:1", 0.0)):
        with pytest.raises(ValueError, match="--"):
            asyncio.run(run_load(url, rate=rate, requests=1))
