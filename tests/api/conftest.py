"""What the tests of the API share: callers with a key, and a real outside to deploy to."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.test import Client

from audit.actors import system as system_actor
from environments.drivers.supervisord import instance_spec, program_for
from environments.traffic.config import Front, Server, haproxy_program
from opsconsole.local.ports import free_ports
from opsconsole.local.supervisor import Supervisor

NAMES = {env: [f"{env}-{slot}-1" for slot in ("blue", "green")] for env in ("production", "staging")}


@dataclass(frozen=True)
class Outside:
    """A load balancer and a process supervisor with every instance of the system's definition."""

    supervisor: Supervisor
    directory: Path

    def connect(self, environment) -> None:
        """Lead an environment to them."""
        environment.router = {"address": f"unix:{self.directory}/haproxy.sock", "backend": environment.name}
        environment.driver = {"socket": str(self.supervisor.socket), "root": str(self.directory)}
        environment.save()


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """Real processes, so that the checks before a start pass or fail for real reasons."""
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        directory = Path(folder)
        supervisor = Supervisor(directory)
        supervisor.up([])
        fronts = [
            Front(env, port, tuple(Server(name, "127.0.0.1", 1, 0) for name in NAMES[env]))
            for env, port in zip(NAMES, free_ports(2), strict=True)
        ]
        supervisor.add(haproxy_program(directory, fronts, f"unix:{directory}/haproxy.sock"))
        for name in [name for names in NAMES.values() for name in names]:
            supervisor.add(program_for(instance_spec(directory, name, 1), directory, Path(sys.executable), {}))
        supervisor.wait_running(["haproxy"])
        yield Outside(supervisor, directory)
        supervisor.shutdown()


@pytest.fixture
def ready(outside, production, staging) -> Outside:
    """Both environments lead to the real outside; nothing is live yet."""
    outside.connect(production)
    outside.connect(staging)
    return outside


@pytest.fixture
def key_of(db) -> Callable[..., str]:
    """A fresh API key of a person, as text."""
    from accounts.key_actions import create_api_key
    from accounts.limits import SCOPES
    from accounts.roles import Role
    from accounts.sessions import has_second_factor
    from tests.accounts.factors import give_second_factor

    def make(user, **fields) -> str:
        if user.role == Role.ADMIN and not has_second_factor(user):
            give_second_factor(user)  # without one an Admin's key opens nothing
        bounds = {"scopes": SCOPES, "environments": None, "networks": (), **fields}
        return create_api_key(system_actor("tests"), user, "Test", **bounds)[1]

    return make


@pytest.fixture
def api(key_of) -> Callable[..., Client]:
    """A client that sends the key of a person: ``api(admin).post(...)``."""
    return lambda user: Client(headers={"Authorization": f"Bearer {key_of(user)}"})


@pytest.fixture
def deployment(production, release, admin) -> Callable:
    """A deployment as the engine leaves it in a status: ``deployment("watching")``."""
    from tests.api.matrix_things import make_deployment

    def make(status: str, environment=production, **fields):
        return make_deployment(status, environment, release, admin, **fields)

    return make
