"""A stream of requests for tests: keep-alive connections that ask one after the other, and what they got."""

import asyncio
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


@dataclass
class Load:
    """Runs in a thread of its own, so that a test can act meanwhile. Times are time.monotonic()."""

    port: int
    connections: int = 12
    answers: list[tuple[float, float, str]] = field(default_factory=list)  # (when asked, when answered, by whom)
    failures: list[tuple[float, str]] = field(default_factory=list)  # (when asked, why)
    seconds: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        wait_until(lambda: len(self.answers) >= 50, 10, "the load has started")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(15)

    @property
    def rate(self) -> float:
        """Answers a second over the whole run."""
        return len(self.answers) / self.seconds

    async def _run(self) -> None:
        began = time.monotonic()
        await asyncio.gather(*(self._client() for _ in range(self.connections)))
        self.seconds = time.monotonic() - began

    async def _client(self) -> None:
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.failures.append((time.monotonic(), repr(error)))
                await asyncio.sleep(0.005)
                continue
            await self._ask(reader, writer)
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._stop.is_set():
            asked = time.monotonic()
            try:
                writer.write(REQUEST)
                head, closing, body = await asyncio.wait_for(read_answer(reader), 5)
            except asyncio.IncompleteReadError as error:
                # Closed before the first byte of an answer: a peer may close an idle connection at any time.
                if error.partial or not reader.at_eof():
                    self.failures.append((asked, "answer cut short"))
                else:
                    self.failures.append((asked, "closed without an answer"))
                return
            except (OSError, TimeoutError) as error:
                self.failures.append((asked, repr(error)))
                return
            if head == 200:
                self.answers.append((asked, time.monotonic(), body))
            else:
                self.failures.append((asked, f"status {head}"))
            if closing:
                return


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool, str]:
    """(status, whether the connection will be closed, body)"""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    return int(head.split(b" ")[1]), b"connection: close" in head, body.decode()


def wait_until(condition, timeout: float, what: str) -> None:  # type: ignore[no-untyped-def]
    """Poll until `condition()` is true; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.005)
