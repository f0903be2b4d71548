"""Shift traffic in HAProxy through its fence (fence.lua) on the stats socket. No Django.

Protocol: HAProxy management guide, section 9.3 "Unix Socket commands": commands on one line separated by ";",
each answer ends with an empty line, then HAProxy closes the connection.
"""

import re
import socket
import time
from collections.abc import Mapping

from environments.traffic.base import (
    ReadBackDiffers,
    RouterRefused,
    RouterState,
    RouterUnreachable,
    StaleEpoch,
)

WORD = re.compile(r"[A-Za-z0-9_.:-]+")
LONGEST_ANSWER = 65536


class HAProxyRouter:
    """A `TrafficRouter` for one backend of an HAProxy.

    address: "unix:/path" or "tcp:host:port" of the stats socket. timeout: seconds for a whole call.
    """

    def __init__(self, address: str, backend: str, timeout: float = 1.0) -> None:
        self._family, self._target = _parse_address(address)
        if not WORD.fullmatch(backend):
            raise ValueError(f"backend {backend!r}: use letters, digits and _ . : - only")
        self.address = address
        self.backend = backend
        self.timeout = timeout

    def shift(self, weights: Mapping[str, int], epoch: int) -> RouterState:
        """See `TrafficRouter.shift`. Set and read back, both on one connection."""
        if not weights:
            raise RouterRefused(f"no weights given for backend {self.backend}")
        pairs = " ".join(f"{_word(server)}={int(weight)}" for server, weight in weights.items())
        state = self._set_and_read(f"opsc shift {self.backend} {int(epoch)} {pairs}", epoch)
        if any(state.weights.get(server) != weight for server, weight in weights.items()):
            raise ReadBackDiffers(weights, state)
        return state

    def read(self) -> RouterState:
        """See `TrafficRouter.read`."""
        (answer,) = self._ask(f"opsc show {self.backend}")
        return self._parse(answer)

    def fence(self, epoch: int) -> RouterState:
        """See `TrafficRouter.fence`."""
        return self._set_and_read(f"opsc fence {self.backend} {int(epoch)}", epoch)

    def _set_and_read(self, command: str, epoch: int) -> RouterState:
        answer, read_back = self._ask(command, f"opsc show {self.backend}")
        self._parse(answer)
        state = self._parse(read_back)
        if state.epoch > epoch:
            # Another holder came between the two commands: what was read is theirs.
            raise StaleEpoch(state.epoch)
        if state.epoch < epoch:
            raise RouterRefused(f"backend {self.backend} kept epoch {state.epoch} after accepting epoch {epoch}")
        return state

    def _parse(self, answer: str) -> RouterState:
        words = answer.split()
        if words[:1] == ["refused"]:
            raise StaleEpoch(int(words[1].removeprefix("epoch=")))
        if words[:1] != ["ok"]:
            raise RouterRefused(f"HAProxy at {self.address} answered: {answer or 'nothing'}")
        weights: dict[str, int] = {}
        states: dict[str, str] = {}
        for word in words[2:]:
            server, _, value = word.partition("=")
            weight, _, state = value.partition(":")
            weights[server] = int(weight)
            states[server] = state
        return RouterState(int(words[1].removeprefix("epoch=")), weights, states)

    def _ask(self, *commands: str) -> list[str]:
        """One connection, all commands; the answers in order. Raises RouterUnreachable."""
        request = ("; ".join(commands) + "\n").encode()
        try:
            answers = self._exchange(request).decode().split("\n\n")
        except OSError as error:
            raise RouterUnreachable(f"HAProxy at {self.address}: {error or type(error).__name__}") from error
        answers = [answer.strip() for answer in answers if answer.strip()]
        if len(answers) != len(commands):
            raise RouterUnreachable(f"HAProxy at {self.address} closed the connection before it had answered")
        return answers

    def _exchange(self, request: bytes) -> bytes:
        deadline = time.monotonic() + self.timeout
        with socket.socket(self._family, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout)
            connection.connect(self._target)
            connection.sendall(request)
            received = b""
            while len(received) < LONGEST_ANSWER:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = connection.recv(LONGEST_ANSWER)
                if not chunk:
                    return received
                received += chunk
        raise ConnectionError("the answer is too long")


def _word(text: str) -> str:
    if not WORD.fullmatch(text):
        raise RouterRefused(f"server {text!r}: use letters, digits and _ . - only")
    return text


def _parse_address(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest.startswith("/"):
        return socket.AF_UNIX, rest
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit():
        return socket.AF_INET, (host, int(port))
    raise ValueError(f"address {address!r} is neither unix:/path nor tcp:host:port")
