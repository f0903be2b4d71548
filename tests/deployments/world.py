"""The outside of a deployment, for tests: a supervisord with HAProxy, the paper exchange and the trading instances."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from environments.drivers.program import Program
from environments.drivers.supervisord import instance_spec, program_for
from environments.traffic.config import Front, Server, haproxy_program
from opsconsole.local.exchange_keys import ExchangeKeys
from opsconsole.local.paths import write_private
from opsconsole.local.ports import free_ports
from opsconsole.local.supervisor import Supervisor
from opsconsole.local.trading_database import book_name, ensure_book
from tests.services import services

ROOT = Path(__file__).resolve().parents[2]
SLOTS = {env: [f"{env}-{slot}-1" for slot in ("blue", "green")] for env in ("production", "staging")}
INSTANCES = [name for names in SLOTS.values() for name in names]


def until(condition: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """Poll until the condition answers something true; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)
    return value


class World:
    """HAProxy runs from the start; the exchange and the instances run when a test starts them."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.hosts, self.token = directory, directory / "hosts", directory / "token"
        self.supervisor, self.keys = Supervisor(directory), ExchangeKeys(directory)
        names = ("production", "staging", "exchange", *INSTANCES)
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))

    @property
    def variables(self) -> dict[str, str]:
        """What demo/system.yaml needs to describe this world."""
        ports = {
            f"OPSC_DEMO_{name.removesuffix('-1').replace('-', '_').upper()}": str(self.ports[name])
            for name in INSTANCES
        }
        return {
            "OPSC_DEMO_RUN": str(self.directory),
            "OPSC_DEMO_HOSTS": str(self.hosts),
            "OPSC_DEMO_TOKEN": str(self.token),
            "OPSC_DEMO_EXCHANGE_URL": f"http://127.0.0.1:{self.ports['exchange']}",
            "OPSC_DEMO_KEYS": str(self.keys.folder),
            **{f"OPSC_DEMO_{env.upper()}_ACCOUNT": self.keys.ensure(env, names) for env, names in SLOTS.items()},
            **ports,
        }

    def start(self) -> None:
        """Start the supervisor and the load balancer."""
        self.token.write_text("test-token")
        fronts = [
            Front(env, self.ports[env], tuple(Server(n, "127.0.0.1", self.ports[n]) for n in names))
            for env, names in SLOTS.items()
        ]
        balancer = haproxy_program(self.directory / "haproxy", fronts, f"unix:{self.directory}/haproxy.sock")
        self.supervisor.up([balancer, self._exchange(), *map(self._instance, INSTANCES)])
        self.supervisor.wait_running(["haproxy"])
        until((self.directory / "haproxy.sock").is_socket, "the load balancer can be spoken to")

    def trade(self) -> None:
        """Start the exchange, which the instances need; harmless when it runs."""
        self.supervisor.start("exchange")
        url = f"http://127.0.0.1:{self.ports['exchange']}/healthz"
        until(lambda: _answers(url), "the exchange answers")

    def stop_instances(self) -> None:
        """End every instance at once."""
        for name in INSTANCES:
            self.supervisor.stop(name, force=True)

    def _exchange(self) -> Program:
        log = self.directory / "exchange.log"
        port, accounts = str(self.ports["exchange"]), str(self.keys.accounts_file)
        command = (sys.executable, "-m", "demo.exchange", "--port", port, "--log", f"{log}.orders", "--seed", "7")
        command += ("--accounts", accounts)
        return Program("exchange", command, ROOT, log, autostart=False)

    def _instance(self, name: str) -> Program:
        environment = name.split("-")[0]
        env = {
            "OPSC_EXCHANGE_ACCOUNT": self.keys.ensure(environment, SLOTS[environment]),
            "OPSC_EXCHANGE_KEY_FILE": str(self.keys.file(name)),
            "OPSC_DATABASE_URL_FILE": str(self._book(environment)),
            "OPSC_EXCHANGE_URL": f"http://127.0.0.1:{self.ports['exchange']}",
            "OPSC_TOKEN_FILE": str(self.token),
            "OPSC_ENVIRONMENT": environment,
        }
        return program_for(instance_spec(self.hosts, name, self.ports[name]), self.hosts, Path(sys.executable), env)

    def _book(self, environment: str) -> Path:
        """The file with the address of an environment's own book, on the PostgreSQL of this test run."""
        path = self.directory / f"{environment}.url"
        if not path.exists():
            write_private(path, ensure_book(services.postgres, book_name(environment), scratch=False))
        return path


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def running_world() -> Iterator[World]:
    """A world that runs; it is gone with the block."""
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        world = World(Path(os.path.realpath(folder)))
        try:
            world.start()
            yield world
        finally:
            world.supervisor.shutdown()
