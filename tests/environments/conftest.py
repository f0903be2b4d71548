"""Real processes for the tests of the adapters: a supervisord, HAProxy and two small servers."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from httpload import wait_until

from environments.drivers.program import Program
from environments.traffic.base import RouterError
from environments.traffic.config import Front, Server, haproxy_program
from environments.traffic.haproxy import HAProxyRouter
from opsconsole.local.ports import free_ports
from opsconsole.local.supervisor import Supervisor

OKSERVER = Path(__file__).parent / "okserver.py"


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        running = Supervisor(Path(folder))
        running.up([])
        yield running
        running.shutdown()


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
        (worker,) = self.master().children()
        return worker

    def answers(self) -> bool:
        try:
            self.production.read()
            return True
        except RouterError:
            return False


@pytest.fixture(scope="session")
def stack(supervisor: Supervisor) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        directory = Path(folder)
        blue, green, production, staging = free_ports(4)
        address = f"unix:{directory}/stats.sock"
        servers = (Server("blue", "127.0.0.1", blue, 100), Server("green", "127.0.0.1", green, 0))
        fronts = [Front("production", production, servers), Front("staging", staging, servers)]
        for name, port in (("blue", blue), ("green", green)):
            command = (sys.executable, str(OKSERVER), name, str(port))
            supervisor.add(Program(name, command, directory, directory / f"{name}.log"))
        supervisor.add(haproxy_program(directory, fronts, address))
        supervisor.wait_running(["blue", "green", "haproxy"])
        routers = (HAProxyRouter(address, "production"), HAProxyRouter(address, "staging"))
        running = Stack(supervisor, directory, address, production, staging, *routers)
        wait_until(running.answers, 10, "HAProxy answers")
        yield running
        for name in ("haproxy", "blue", "green"):
            supervisor.stop(name)
