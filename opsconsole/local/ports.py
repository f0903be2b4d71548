"""Free ports, and who holds one that is not."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

LOOPBACK = "127.0.0.1"


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
    """`count` different TCP ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind((LOOPBACK, 0))
        return [bound.getsockname()[1] for bound in sockets]


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
