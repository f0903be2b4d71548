"""Real processes for the tests of the demo programs: an exchange and instances of releases, on free ports."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from demo.exchange.journal import read_log
from demo.exchange.signatures import sign
from demo.releases import BuiltRelease
from opsconsole.local.exchange_keys import ExchangeKeys
from opsconsole.local.paths import write_private
from opsconsole.local.trading_database import book_name, ensure_book
from tests.services import services

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "test-token"
READ_TOKEN = "read-only"
_numbers = itertools.count(1)
_nonces = itertools.count(time.time_ns() // 1_000_000)


def wait_for(condition: Callable[[], Any], seconds: float = 10.0, what: str = "condition") -> Any:
    """Polls until the condition answers something true; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"{what} did not come true within {seconds} s")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 3.0) -> Reply:
    """One HTTP request; error statuses are answers too."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


@dataclass
class Process:
    """A child process with its log."""

    command: list[str]
    cwd: Path
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.cwd, env=self.env, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGKILL, seconds: float = 5.0) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Exchange(Process):
    """A running paper exchange."""

    port: int = 0
    orders: Path = field(default_factory=Path)
    keys: ExchangeKeys = field(default_factory=lambda: ExchangeKeys(Path()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def account(self, name: str, *agents: str) -> str:
        """The address of an account, made when it is first named; the exchange learns of it by itself."""
        return self.keys.ensure(name, agents)

    def ready(self) -> "Exchange":
        wait_for(lambda: reachable(f"{self.url}/healthz"), what=f"exchange ({self.output})")
        return self

    def info(self, **question: Any) -> Any:
        """One question; `user` may be the name of an account."""
        if "user" in question and not question["user"].startswith("0x"):
            question["user"] = self.account(question["user"])
        return call("POST", f"{self.url}/info", question).json

    def act(
        self,
        account: str,
        action: dict[str, Any],
        headers: dict[str, str] | None = None,
        expires: int | None = None,
        agent: str | None = None,
    ) -> Any:
        """One action, signed by the account's own key or by one of its agents."""
        self.account(account)
        nonce, key = next(_nonces), self.keys.key(agent or f"{account}-master", account)
        body = {"action": action, "nonce": nonce, "vaultAddress": None, "expiresAfter": expires}
        body["signature"] = sign(key, action, None, nonce, expires)
        return call("POST", f"{self.url}/exchange", body, headers).json

    def log_of(self, account: str) -> list[dict[str, Any]]:
        """The log entries of one account."""
        return [entry for entry in read_log(self.orders) if entry["account"] == account]

    def order(self, account: str, **fields: Any) -> Any:
        order = {"a": 0, "b": True, "p": "100000", "s": "0.01", "r": False, "t": {"limit": {"tif": "Ioc"}}} | fields
        answer = self.act(account, {"type": "order", "orders": [order], "grouping": "na"})
        return answer["response"]["data"]["statuses"][0]


@dataclass
class Instance(Process):
    """A running instance of the paper trading system."""

    name: str = ""
    port: int = 0
    state_dir: Path = field(default_factory=Path)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> "Instance":
        wait_for(
            lambda: reachable(f"{self.url}/healthz") and call("GET", f"{self.url}/healthz").status == 200,
            what=f"{self.name} healthy ({self.output})",
        )
        return self

    def get(self, path: str, token: str | None = TOKEN) -> Reply:
        return call("GET", self.url + path, headers=_bearer(token))

    def post(self, path: str, token: str | None = TOKEN, key: str | None = None, **body: Any) -> Reply:
        headers = _bearer(token) | ({"Idempotency-Key": key} if key else {})
        return call("POST", self.url + path, {"actor": "tester", "reason": "test", **body}, headers)

    def role(self, role: str, epoch: int) -> Reply:
        return self.post("/v1/role", role=role, epoch=epoch)

    def state(self) -> dict[str, Any]:
        return dict(self.get("/v1/state").json)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; the name may carry labels to choose one line."""
        lines = call("GET", f"{self.url}/metrics").body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split(" ")[0].startswith(name))


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def reachable(url: str) -> bool:
    """True when something answers HTTP."""
    try:
        call("GET", url, timeout=1.0)
    except OSError:
        return False
    return True


class Stack:
    """Starts processes, and ends every one of them with the test."""

    def __init__(self, directory: Path, releases: dict[str, BuiltRelease], unpacked: Path) -> None:
        self.directory = directory
        self.releases = releases
        self._unpacked = unpacked
        self._started: list[Process] = []
        # The environment, which is also the account at the exchange; one for each stack, as exchanges are shared.
        self.environment = f"env-{next(_numbers)}"

    def exchange(self, port: int | None = None) -> Exchange:
        port = port or free_port()
        orders = self.directory / "exchange.log"
        keys = ExchangeKeys(self.directory)
        keys.ensure(self.environment, ())
        command = [sys.executable, "-m", "demo.exchange", "--port", str(port), "--log", str(orders), "--seed", "7"]
        command += ["--accounts", str(keys.accounts_file)]
        log = self.directory / f"exchange-{port}.out"
        exchange = Exchange(command, ROOT, dict(os.environ), log, port=port, orders=orders, keys=keys)
        self._run(exchange)
        return exchange.ready()

    def instance(
        self, exchange: Exchange, version: str = "v1.2.4", name: str = "production-blue-1", **env: str
    ) -> Instance:
        """Starts an instance; its state directory belongs to the name, so that a second start goes on with it."""
        port, state = free_port(), self.directory / name
        tokens = self.directory / "tokens"
        tokens.write_text(f"{TOKEN}\n{READ_TOKEN} read\n")
        account = env.get("OPSC_ENVIRONMENT", self.environment)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "OPSC_INSTANCE": name,
            "OPSC_ENVIRONMENT": self.environment,
            "OPSC_PORT": str(port),
            "OPSC_STATE_DIR": str(state),
            "OPSC_EXCHANGE_URL": exchange.url,
            "OPSC_EXCHANGE_ACCOUNT": exchange.account(account, name),
            "OPSC_EXCHANGE_KEY_FILE": str(exchange.keys.file(name, account)),
            "OPSC_TOKEN_FILE": str(tokens),
            "OPSC_DATABASE_URL_FILE": str(self.database(env.get("OPSC_ENVIRONMENT", self.environment))),
        } | env
        command, cwd = [sys.executable, "-m", "trading_system"], self.unpack(version)
        log = self.directory / f"{name}-{port}.out"
        instance = Instance(command, cwd, environment, log, name=name, port=port, state_dir=state)
        self._run(instance)
        return instance

    def database(self, environment: str) -> Path:
        """The file with the address of an environment's own book, on the PostgreSQL of this test run."""
        path = self.directory / f"{environment}.url"
        if not path.exists():
            write_private(path, ensure_book(services.postgres, book_name(environment), scratch=False))
        return path

    def unpack(self, version: str) -> Path:
        """The directory of an unpacked release."""
        target = self._unpacked / version
        if not target.exists():
            with tarfile.open(self.releases[version].path) as archive:
                archive.extractall(target)  # our own archive; the safe filter of PEP 706 came with Python 3.11.4
        return target

    def stop(self) -> None:
        for process in self._started:
            process.stop()

    def _run(self, process: Process) -> None:
        process.start()
        self._started.append(process)
