"""Free ports, and who holds one that is not."""

import random
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
FIRST_PORT = 15000
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class PortHolder:
    """Who listens on a port. pid and command are None when this user may not see them."""

    port: int
    pid: int | None
    command: str | None

    def __str__(self) -> str:
        who = f"pid {self.pid} ({self.command})" if self.pid else "a process of another user"
        return f"port {self.port} is in use by {who}"


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of 127.0.0.1 that nobody uses now.

    Below the ports that the system hands to outgoing connections, any of which could take a port between this
    answer and its use. Raises OSError when there are not enough.
    """
    first_outgoing = _first_outgoing_port()
    candidates = range(FIRST_PORT, first_outgoing) if first_outgoing > FIRST_PORT + 1000 else range(FIRST_PORT, 65536)
    with ExitStack() as stack:
        found: list[int] = []
        for port in random.SystemRandom().sample(candidates, len(candidates)):
            if len(found) == count:
                return found
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                found.append(port)
    raise OSError(f"no {count} free ports in {candidates.start}..{candidates.stop - 1}")


def port_in_use(port: int) -> PortHolder | None:
    """Who keeps us from listening on 127.0.0.1:`port`; None when it is free.

    str() of the answer reads "port 8000 is in use by pid 4711 (nginx …)". Raises PermissionError for a port
    below 1024 that this user may not take.
    """
    with socket.socket() as probe:
        # As servers do: connections that linger after a restart do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            return None
        except PermissionError:
            raise
        except OSError:
            return _holder(port)


def _first_outgoing_port() -> int:
    try:
        return int(OUTGOING_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        # IANA's dynamic ports, RFC 6335.
        return 49152


def _holder(port: int) -> PortHolder:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())[:120]
            except psutil.Error:
                command = "?"
            return PortHolder(port, connection.pid, command)
    return PortHolder(port, None, None)
