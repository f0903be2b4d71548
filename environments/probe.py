"""Sample the instances of a service over the ops contract: what each says of its health, numbers and role.

One probe is three reads at once (``/healthz``, ``/metrics``, ``/v1/state``) that together must end within the
time allowed for that instance. An instance that does not answer gives a sample with ``ok`` false, never an exception.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from environments.health import MalformedAnswer, json_object, parse_health
from environments.metrics import MetricsError, TargetMetrics, parse_metrics
from environments.sample import Sample

MAX_ANSWER_BYTES = 64 * 1024
STARTED_TOGETHER = 64
"""Probes that are begun at once, so that the prober's own work does not eat the time allowed to an instance."""
GATE_SECONDS = 0.05
"""After this long a probe no longer keeps others from being begun: a hanging instance delays nobody."""
BEHIND_SECONDS = 0.02
LATE_SECONDS = 0.05
GRACE_SECONDS = 0.2
"""When the prober itself was stopped and wakes after the deadline, answers that lie ready get this long to be read."""

ROLES = frozenset({"ACTIVE", "STANDBY", "REDUCING", "HALTED", ""})


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One instance to be sampled."""

    key: Hashable
    """What the caller knows the instance by."""
    base_url: str
    """For example ``http://127.0.0.1:9001``, without a path."""
    token: str
    """Bearer token with the scope read."""
    timeout: float = 0.8
    """Seconds within which all three answers must be complete."""


class Prober:
    """Samples instances over kept-alive connections. Use as ``async with Prober() as prober``, from one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"Accept-Encoding": "identity", "User-Agent": "opsconsole-probe"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def sample_all(self, specs: Sequence[ProbeSpec]) -> dict[Hashable, Sample]:
        """Sample every instance, each within its own time; returns when the last has answered or run out of time.

        An instance that hangs costs the others nothing. Raises ``ValueError`` when two specs share a key.
        """
        if len({spec.key for spec in specs}) != len(specs):
            raise ValueError("every probe needs a key of its own; two of the given ones share one")
        gate = asyncio.Semaphore(STARTED_TOGETHER)
        samples = await asyncio.gather(*(self._sample_behind(gate, spec) for spec in specs))
        return {spec.key: sample for spec, sample in zip(specs, samples, strict=True)}

    async def _sample_behind(self, gate: asyncio.Semaphore, spec: ProbeSpec) -> Sample:
        await gate.acquire()
        turn = _Turn(gate)
        try:
            return await self.sample(spec)
        finally:
            turn.end()

    async def sample(self, spec: ProbeSpec) -> Sample:
        """Sample one instance. Never raises for anything that the instance does; ``Sample.error`` tells instead:
        ``refused``, ``timeout``, ``disconnected``, or a text naming the path and what was wrong with its answer.

        ``Sample.extra["probe_seconds"]`` is how long the probe took: what the sample shows was true at some moment
        in the ``probe_seconds`` before ``Sample.at``.
        """
        began = time.perf_counter()
        try:
            async with _Deadline(spec.timeout):
                health, metrics, state = await self._get_all(spec)
            return _sample(health, metrics, state, time.perf_counter() - began)
        except TimeoutError:
            problem = "timeout"
        except aiohttp.ClientConnectorError as error:
            problem = (
                "refused" if isinstance(error.os_error, ConnectionRefusedError) else f"unreachable: {error.os_error}"
            )
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError):
            problem = "disconnected"
        except aiohttp.ClientError as error:
            problem = f"not HTTP as expected: {type(error).__name__}: {str(error)[:200]}"
        except (MalformedAnswer, MetricsError) as error:
            problem = str(error)
        return Sample(at=time.time(), ok=False, error=problem, extra={"probe_seconds": time.perf_counter() - began})

    async def _get_all(self, spec: ProbeSpec) -> list[tuple[int, bytes]]:
        reads = [asyncio.ensure_future(self._get(spec, path)) for path in ("/healthz", "/metrics", "/v1/state")]
        try:
            return await asyncio.gather(*reads)
        finally:
            for read in reads:  # one that failed at once must not leave another hanging on
                read.cancel()

    async def _get(self, spec: ProbeSpec, path: str) -> tuple[int, bytes]:
        """Status and body of one read. Raises ``MalformedAnswer`` for a redirect or an answer over the size limit."""
        if self._session is None:
            raise RuntimeError("use the prober as an async context manager: async with Prober() as prober")
        headers = {"Authorization": f"Bearer {spec.token}"}
        async with self._session.get(spec.base_url + path, headers=headers, allow_redirects=False) as answer:
            if 300 <= answer.status < 400:
                raise MalformedAnswer(f"{path} answered {answer.status}, a redirect; redirects are not followed")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise MalformedAnswer(f"{path} answered more than {MAX_ANSWER_BYTES // 1024} KB")
            return answer.status, bytes(body)


class _Turn:
    """A place among those begun together, given back when the probe ends or has waited for ``GATE_SECONDS``.

    When the prober itself is behind (its timer fires late), nothing more is begun yet: the time of an instance would
    only be spent waiting for the prober.
    """

    def __init__(self, gate: asyncio.Semaphore) -> None:
        self._gate, self._given_back = gate, False
        self._wait()

    def end(self) -> None:
        """The probe has ended."""
        self._timer.cancel()
        if not self._given_back:
            self._given_back = True
            self._gate.release()

    def _wait(self) -> None:
        self._due = time.monotonic() + GATE_SECONDS
        self._timer = asyncio.get_running_loop().call_later(GATE_SECONDS, self._elapsed)

    def _elapsed(self) -> None:
        if time.monotonic() - self._due > BEHIND_SECONDS:
            self._wait()
        else:
            self.end()


class _Deadline:
    """``asyncio.timeout`` that does not blame the instance for a pause of the prober itself.

    When the process was stopped, or starved of CPU, past the deadline, the timer and the waiting answers become ready
    in the same turn of the event loop; then the answers get ``GRACE_SECONDS`` more.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = time.monotonic() + seconds
        self._scope = asyncio.timeout(None)
        self._timer = self._loop.call_later(seconds, self._expire)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        late = time.monotonic() - self._deadline
        self._scope.reschedule(self._loop.time() + (GRACE_SECONDS if late > LATE_SECONDS else 0))


def _sample(health: tuple[int, bytes], metrics: tuple[int, bytes], state: tuple[int, bytes], seconds: float) -> Sample:
    if metrics[0] != 200:
        raise MalformedAnswer(f"/metrics answered {metrics[0]}")
    if state[0] != 200:
        raise MalformedAnswer(f"/v1/state answered {state[0]}")
    numbers = parse_metrics(metrics[1].decode("utf-8", "replace"))
    report = parse_health(*health)
    role, epoch = _state(state[1])
    return Sample(
        at=time.time(),
        ok=True,
        version=report.version or numbers.version,
        components=report.components,
        requests_ok=numbers.requests_ok,
        requests_error=numbers.requests_error,
        latency_buckets=numbers.latency_buckets,
        trades_win=numbers.trades_win,
        trades_loss=numbers.trades_loss,
        trades_failed=numbers.trades_failed,
        mismatches=numbers.mismatches,
        breaker_open=numbers.breaker_open,
        role=role,
        epoch=epoch,
        started_at=numbers.started_at,
        open_positions=numbers.open_positions,
        open_orders=numbers.open_orders,
        extra=_extra(numbers, seconds),
    )


def _extra(numbers: TargetMetrics, seconds: float) -> dict[str, float]:
    extra = {"probe_seconds": seconds}
    if numbers.last_heartbeat_at is not None:
        extra["last_heartbeat_at"] = numbers.last_heartbeat_at
    if numbers.deployed_at is not None:
        extra["deployed_at"] = numbers.deployed_at
    return extra


def _state(body: bytes) -> tuple[str, int | None]:
    document = json_object("/v1/state", body)
    role, epoch = document.get("role", ""), document.get("epoch")
    if not isinstance(role, str) or role not in ROLES:
        raise MalformedAnswer(f"/v1/state: unknown role {role!r}")
    if epoch is not None and (not isinstance(epoch, int) or isinstance(epoch, bool)):
        raise MalformedAnswer(f"/v1/state: the epoch must be a whole number, not {epoch!r}")
    return role, epoch
