"""Real processes for the tests of the adapters: a supervisord, HAProxy and two small servers."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.drivers.program import Program
from environments.traffic.config import Front, Server, haproxy_program
from environments.traffic.haproxy import HAProxyRouter
from opsconsole.local.ports import free_ports
from opsconsole.local.supervisor import Supervisor
from tests.environments.haproxy_stack import Stack
from tests.environments.httpload import wait_until

OKSERVER = Path(__file__).parent / "okserver.py"


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        running = Supervisor(Path(folder))
        running.up([])
        yield running
        running.shutdown()


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
