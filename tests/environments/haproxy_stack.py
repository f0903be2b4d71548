"""An HAProxy with two environments over two small servers, for tests."""

import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from environments.traffic.haproxy import HAProxyRouter
from opsconsole.local.supervisor import Supervisor


@dataclass
class Stack:
    """An HAProxy with two environments over the servers blue and green."""

    supervisor: Supervisor
    directory: Path
    address: str
    production_port: int
    staging_port: int
    production: HAProxyRouter
    staging: HAProxyRouter
    epoch: int = 0

    def next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def shift_to(self, server: str) -> None:
        other = {"blue": "green", "green": "blue"}[server]
        self.production.shift({server: 100, other: 0}, self.next_epoch())

    def master(self) -> psutil.Process:
        pid = self.supervisor.pid("haproxy")
        assert pid
        return psutil.Process(pid)

    def worker(self) -> psutil.Process:
        # After a reload the one before may still be finishing its connections.
        return max(self.master().children(), key=lambda child: child.create_time())

    def command(self, line: str) -> str:
        """Ask HAProxy's stats socket directly."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(self.address.removeprefix("unix:"))
            connection.sendall(line.encode() + b"\n")
            received = b""
            while chunk := connection.recv(4096):
                received += chunk
        return received.decode().strip()

    def answers(self, not_by: int | None = None) -> bool:
        """Whether a worker of the present master answers, and it is not this one."""
        try:
            pid = int(self.command("show info").split("\nPid: ")[1].split()[0])
            return pid != not_by and pid in [child.pid for child in self.master().children()]
        except (OSError, IndexError, psutil.NoSuchProcess):
            return False
