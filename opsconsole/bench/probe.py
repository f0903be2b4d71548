"""How many instances one prober samples each second, and what a sample costs it.

``run()`` starts a process of its own with one listening port for each instance; it answers with ready bytes of
realistic size (five checks, 47 latency buckets), so that the time is the prober's and not the targets'.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from typing import Any

import uvloop

from environments.probe import Prober, ProbeSpec
from environments.sample import Sample

INSTANCES = 1000
ROUNDS = 5
HANGING = 20
"""In the last round so many more accept a connection and never answer."""
HANGING_TIMEOUT = 0.8
TIMEOUT = 10.0
"""Far above what is measured: on a busy machine the figure may be poor, but there is one."""


def run() -> dict[str, Any]:
    """Measure; takes about ten seconds. Raises ``RuntimeError`` when a target does not answer.

    ``samples_per_second``: instances sampled each second by one prober that does nothing else, best of the rounds;
    ``cpu_us_per_sample``: CPU time of the prober's process; ``round_ms_with_hanging`` and ``slowest_good_ms``: a round
    in which ``hanging`` more never answer (given up after 800 ms), and when the last of the others was known.
    """
    instances = min(INSTANCES, _open_files() // 4)
    targets = subprocess.Popen(
        [sys.executable, "-m", "opsconsole.bench.probe", str(instances), str(HANGING)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert targets.stdout is not None
        good, hanging = json.loads(targets.stdout.readline())
        return uvloop.run(_measure(good, hanging))
    finally:
        targets.communicate()  # closing its input ends it


def _open_files() -> int:
    """Raise the limit of open files as far as this user may; the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


async def _measure(good: list[int], hanging: list[int]) -> dict[str, Any]:
    specs = [_spec(port) for port in good]
    async with Prober() as prober:
        _check(await prober.sample_all(specs))  # opens the connections
        seconds, cpu = [], []
        for _ in range(ROUNDS):
            began, used = time.perf_counter(), time.process_time()
            _check(await prober.sample_all(specs))
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
        began_at, began = time.time(), time.perf_counter()
        mixed = await prober.sample_all([*(_spec(port, HANGING_TIMEOUT) for port in hanging), *specs])
        whole = time.perf_counter() - began
    answered = {port: mixed[port] for port in good}
    _check(answered)
    return {
        "instances": len(specs),
        "samples_per_second": round(len(specs) / min(seconds)),
        "samples_per_second_worst_round": round(len(specs) / max(seconds)),
        "cpu_us_per_sample": round(min(cpu) / len(specs) * 1e6),
        "hanging": len(hanging),
        "round_ms_with_hanging": round(whole * 1000),
        "slowest_good_ms": round((max(sample.at for sample in answered.values()) - began_at) * 1000),
    }


def _spec(port: int, timeout: float = TIMEOUT) -> ProbeSpec:
    return ProbeSpec(port, f"http://127.0.0.1:{port}", "token", timeout)


def _check(samples: dict[Any, Sample]) -> None:
    problems = {sample.error for sample in samples.values() if not sample.ok}
    if problems:
        raise RuntimeError(f"the targets of the benchmark do not all answer: {', '.join(sorted(problems)[:3])}")


class _Target(asyncio.Protocol):
    """Answers each request with the ready bytes for its path."""

    answers: dict[bytes, bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._data = transport, b""

    def data_received(self, data: bytes) -> None:
        *requests, self._data = (self._data + data).split(b"\r\n\r\n")
        for request in requests:
            self._transport.write(self.answers[request.split(b" ", 2)[1]])  # type: ignore[attr-defined]


async def _serve(instances: int, hanging: int) -> None:
    loop = asyncio.get_running_loop()
    _Target.answers = {
        b"/healthz": _answer("application/health+json", _health()),
        b"/metrics": _answer("text/plain; version=0.0.4", _metrics()),
        b"/v1/state": _answer("application/json", _state()),
    }
    ports = []
    for protocol, count in ((_Target, instances), (asyncio.Protocol, hanging)):
        servers = [await loop.create_server(protocol, "127.0.0.1", 0) for _ in range(count)]
        ports.append([server.sockets[0].getsockname()[1] for server in servers])
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def _answer(kind: str, body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def _health() -> str:
    names = ("exchange:connection", "node:blockLag", "state_builder:lag", "strategies:running", "database:responseTime")
    entry = {"status": "pass", "observedValue": 1.5, "observedUnit": "ms", "time": "2026-01-01T00:00:00.000Z"}
    return json.dumps({"status": "pass", "version": "v1.2.5", "checks": {name: [entry] for name in names}})


def _state() -> str:
    strategies = [{"id": name, "state": "running", "last_heartbeat": "2026-01-01T00:00:00Z"} for name in ("a", "b")]
    return json.dumps({"role": "ACTIVE", "epoch": 12, "latched": False, "strategies": strategies})


def _metrics() -> str:
    lines = ['trading_build_info{version="v1.2.5"} 1.0', "# TYPE trading_requests_total counter"]
    lines += [
        f'trading_requests_total{{op="{op}",outcome="{o}"}} 5e3' for op in ("quote", "signal") for o in ("ok", "error")
    ]
    lines += [
        f'trading_order_latency_seconds_bucket{{le="{0.0005 * 1.2**step:.6f}"}} {100.0 * step}' for step in range(46)
    ]
    lines += ['trading_order_latency_seconds_bucket{le="+Inf"} 4600.0', "trading_order_latency_seconds_sum 12.5"]
    for strategy in ("a", "b"):
        lines += [
            f'trading_trades_total{{strategy="{strategy}",outcome="{o}"}} 31.0' for o in ("win", "loss", "failed")
        ]
    lines += [f'trading_component_up{{component="{n}"}} 1.0' for n in ("exchange", "node", "database")]
    lines += ["trading_position_mismatches 0.0", "trading_open_positions 2.0", "trading_open_orders 1.0"]
    lines += ['trading_circuit_breaker_open{reason_code="daily_loss"} 0.0', "process_start_time_seconds 1.767e9", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    _open_files()
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
