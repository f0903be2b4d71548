"""A whole installation on this machine: the services, the console, and the trading hosts that it operates.

Two supervisors, as on two hosts: ``trading`` keeps the load balancer, the exchange and the trading system with its own
Postgres, ``console`` keeps another Postgres, Valkey, the web process, the workers and the monitor. Trading does not
notice when the console is gone.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from demo.releases import build_releases
from environments.drivers.program import Program
from environments.drivers.supervisord import instance_spec, program_for
from environments.traffic.config import Front, Server, haproxy_program
from opsconsole.config import ROOT
from opsconsole.local.exchange_keys import ExchangeKeys
from opsconsole.local.paths import LocalServiceError, kept_password, socket_path, write_private
from opsconsole.local.ports import free_ports, port_in_use
from opsconsole.local.postgres import PostgresServer
from opsconsole.local.supervisor import Supervisor
from opsconsole.local.trading_database import TradingDatabase
from opsconsole.local.valkey import ValkeyServer

CONSOLE = ("web", "worker-critical", "worker-default", "beat", "monitor", "audit-sequencer")
POLL_SECONDS = 0.1
START_SECONDS = 120.0
"""A limit, no wait: a busy machine takes a minute for what a quiet one does in ten seconds."""
TRADING_CONFIG = """\
# Laid over the release's own configuration. Positions to be held beside the strategies, in USD; below 0: short.
holdings: {AVAX: 400, LINK: -300, DOGE: 250}
# Small positions need a small limit: a price shock of half the price opens the circuit breaker.
risk: {rapid_loss_limit: 0.002}
"""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack, all on 127.0.0.1; the defaults are the demo's."""

    web: int = 8000
    production: int = 8080
    staging: int = 8081
    exchange: int = 8090
    production_blue: int = 8101
    production_green: int = 8102
    staging_blue: int = 8103
    staging_green: int = 8104
    postgres: int = 8132
    valkey: int = 8179
    trading_postgres: int = 8133

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody uses now, for a stack beside the demo."""
        return cls(*free_ports(len(cls.__dataclass_fields__)))

    def instance(self, environment: str, slot: str) -> int:
        """Where the instance of a slot listens."""
        return int(asdict(self)[f"{environment}_{slot}"])


class Stack:
    """One installation with its data in ``var``.

    Args:
        variables: what differs from the demo, as environment variables (windows, promotion, failpoints …).
        load: requests a second that a steady stream sends through the load balancer, by environment.
    """

    def __init__(
        self,
        var: Path,
        ports: Ports,
        *,
        variables: Mapping[str, str] | None = None,
        load: Mapping[str, int] | None = None,
    ) -> None:
        self.var, self.ports = var.resolve(), ports
        self.load = dict(load or {})
        self.run, self.hosts = self.var / "trading", self.var / "hosts"
        self.keys, self.token, self.releases = self.var / "keys.json", self.var / "token", self.var / "releases"
        self.exchange_log = self.var / "exchange" / "orders.jsonl"
        self.exchange_keys = ExchangeKeys(self.var / "exchange")
        self.postgres = PostgresServer(self.var / "postgres", ports.postgres)
        self.valkey = ValkeyServer(self.var / "valkey", ports.valkey)
        self.trading_database = TradingDatabase(
            self.var / "trading-postgres", ports.trading_postgres, self.var / "trading-databases"
        )
        self.console = Supervisor(self.var / "console", "console")
        self.trading = Supervisor(self.run, "trading")
        self.haproxy_socket = socket_path(self.run, "haproxy.sock")
        self._variables = dict(variables or {})

    @property
    def url(self) -> str:
        """Where the console is."""
        return f"http://127.0.0.1:{self.ports.web}"

    @property
    def page_url(self) -> str:
        """Where people open the console: passkeys need a host name."""
        return f"http://localhost:{self.ports.web}"

    def front(self, environment: str) -> str:
        """Where the load balancer serves an environment."""
        return f"http://127.0.0.1:{asdict(self.ports)[environment]}"

    def stats(self, environment: str) -> Path:
        """The file in which the request stream of an environment counts."""
        return self.var / "load" / f"{environment}.json"

    def environ(self) -> dict[str, str]:
        """The environment variables of every process of the console."""
        ports = {f"OPSC_DEMO_{name.upper()}": str(port) for name, port in asdict(self.ports).items() if "_" in name}
        return {
            "DJANGO_SETTINGS_MODULE": "opsconsole.demo_settings",
            "OPSC_SECRET_KEY": kept_password(self.var / "secret_key") * 2,
            "DATABASE_URL": self.postgres.url("opsconsole", role="opsconsole"),
            "REDIS_URL": self.valkey.url(),
            "OPSC_HTTPS": "false",
            "OPSC_HOST": "127.0.0.1",
            "OPSC_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "OPSC_PORT": str(self.ports.web),
            "OPSC_VAR": str(self.var),
            "OPSC_DEMO_RUN": str(self.haproxy_socket.parent),
            "OPSC_DEMO_HOSTS": str(self.hosts),
            "OPSC_DEMO_TOKEN": str(self.token),
            "OPSC_DEMO_EXCHANGE_URL": f"http://127.0.0.1:{self.ports.exchange}",
            "OPSC_DEMO_KEYS": str(self.exchange_keys.folder),
            **{f"OPSC_DEMO_{name.upper()}_ACCOUNT": account for name, account in self._accounts().items()},
            "OPSC_DEMO_DATABASES": str(self.trading_database.urls),
            "OPSC_DEMO_BACKUPS": str(self.var / "backups"),
            "OPSC_DEMO_PRODUCTION_PORT": str(self.ports.production),
            "OPSC_DEMO_STAGING_PORT": str(self.ports.staging),
            **ports,
            **self._variables,
        }

    def start(self, progress: Progress) -> None:
        """Start everything that is not started; what was there goes on where it was.

        Raises:
            LocalServiceError: a port is taken, or something did not come up; the message says what to do.
        """
        self._refuse_taken_ports()
        self.var.mkdir(parents=True, exist_ok=True)
        if not self.token.exists():
            write_private(self.token, secrets.token_urlsafe(32))
        self._accounts()
        with ThreadPoolExecutor(max_workers=2) as hands:
            trading = hands.submit(self._start_trading, progress)
            for note in self.postgres.prepare():
                progress(note)
            self.console.up([self.postgres.program(), self.valkey.program()])
            self.postgres.wait_ready()
            self.valkey.wait_ready()
            self.postgres.ensure_role("opsconsole")
            self.postgres.ensure_database("opsconsole", owner="opsconsole")
            progress(f"Postgres and Valkey run (ports {self.ports.postgres}, {self.ports.valkey})")
            trading.result()
        write_private(self.var / "opsconsole.env", "".join(f"{k}={v}\n" for k, v in self.environ().items()))
        # No process of the console knows the database's administrator, only this command.
        admin = {"DATABASE_ADMIN_URL": self.postgres.url("opsconsole")}
        self.manage("prepare_demo", "--releases", str(self.releases), "--keys", str(self.keys), env=admin)
        progress("Database migrated, system definition applied, releases registered")
        self.console.up([self.postgres.program(), self.valkey.program(), *self._console_programs()])
        self.console.wait_running(CONSOLE, timeout=START_SECONDS)
        self._wait_ready()
        progress(f"Console, workers and monitor run: {self.url}")

    def _wait_ready(self, timeout: float = START_SECONDS) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=5)
                if answer.is_success:
                    return
                problem = answer.text
            except httpx.HTTPError as error:
                problem = str(error)
            if time.monotonic() > deadline:
                raise LocalServiceError(
                    f"the console is not ready after {timeout:.0f} s: {problem}; see {self.var}/console/web.log"
                )
            time.sleep(POLL_SECONDS)

    def start_load(self) -> None:
        """Start the request streams through the load balancer."""
        for environment in self.load:
            self.trading.start(f"load-{environment}")

    def stop(self) -> None:
        """Stop everything; returns when no process is left."""
        # The console first: it must not take the end of the trading system for a fault and roll back.
        self.console.shutdown()
        self.trading.shutdown()

    def remove_data(self) -> None:
        """Delete both databases, also what is not under ``var``. Stop the stack first."""
        self.postgres.remove()
        self.trading_database.remove()

    def manage(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a management command of the console; what it printed.

        Args:
            env: environment variables for this command only.

        Raises:
            LocalServiceError: it failed; the message is what it said.
        """
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env={**os.environ, **self.environ(), **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise LocalServiceError(f"manage.py {' '.join(arguments)} failed:\n{(done.stderr or done.stdout)[-3000:]}")
        return done.stdout

    def _start_trading(self, progress: Progress) -> None:
        built = build_releases(self.releases)
        progress(f"{len(built)} releases built ({built[0].version} to {built[-1].version})")
        self.exchange_log.parent.mkdir(parents=True, exist_ok=True)
        self.stats("production").parent.mkdir(parents=True, exist_ok=True)
        for note in self.trading_database.prepare():
            progress(note)
        database = self.trading_database.program()
        self.trading.up([database, self._exchange(), self._haproxy(), *self._instances(), *self._loads()])
        self.trading_database.ensure(list(self._environments()))
        self.trading.wait_running(["exchange", "haproxy"])
        progress(f"Exchange and load balancer run ({self.front('production')}, {self.front('staging')})")

    def _refuse_taken_ports(self) -> None:
        if self.console.running() or self.trading.running():
            return
        taken = [str(holder) for port in asdict(self.ports).values() if (holder := port_in_use(port))]
        if taken:
            raise LocalServiceError("\n".join(taken) + "\nStop what uses it, then start again.")

    def _environments(self) -> dict[str, list[str]]:
        return {name: [f"{name}-{slot}-1" for slot in ("blue", "green")] for name in ("production", "staging")}

    def _accounts(self) -> dict[str, str]:
        """The address of each environment's account at the exchange; what is missing of the keys is made."""
        return {name: self.exchange_keys.ensure(name, agents) for name, agents in self._environments().items()}

    def _exchange(self) -> Program:
        log = self.exchange_log
        files = ("--log", str(log), "--accounts", str(self.exchange_keys.accounts_file))
        command = ("-m", "demo.exchange", "--port", str(self.ports.exchange), *files, "--seed", "7")
        return self._python("exchange", command, log.parent / "exchange.log", priority=10)

    def _haproxy(self) -> Program:
        fronts = [
            Front(
                name,
                asdict(self.ports)[name],
                tuple(Server(i, "127.0.0.1", self.ports.instance(name, i.split("-")[1])) for i in instances),
            )
            for name, instances in self._environments().items()
        ]
        return haproxy_program(self.run / "haproxy", fronts, f"unix:{self.haproxy_socket}")

    def _instances(self) -> list[Program]:
        accounts = self._accounts()
        common = {"OPSC_EXCHANGE_URL": f"http://127.0.0.1:{self.ports.exchange}", "OPSC_TOKEN_FILE": str(self.token)}
        return [
            program_for(
                instance_spec(self.hosts, name, self.ports.instance(environment, name.split("-")[1])),
                self.hosts,
                Path(sys.executable),
                {
                    **common,
                    "OPSC_ENVIRONMENT": environment,
                    "OPSC_EXCHANGE_ACCOUNT": accounts[environment],
                    "OPSC_EXCHANGE_KEY_FILE": str(self.exchange_keys.file(name)),
                    "OPSC_DATABASE_URL_FILE": str(self.trading_database.url_file(environment)),
                    "OPSC_CONFIG": str(self._trading_config(environment)),
                },
            )
            for environment, names in self._environments().items()
            for name in names
        ]

    def _trading_config(self, environment: str) -> Path:
        """The environment's own configuration, laid over the release's; kept once it is there."""
        path = self.var / "trading-config" / f"{environment}.yaml"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(TRADING_CONFIG)
        return path

    def _loads(self) -> list[Program]:
        programs = []
        for name, rate in self.load.items():
            command = (
                "-m",
                "demo.load",
                "--url",
                self.front(name),
                "--rate",
                str(rate),
                "--stats",
                str(self.stats(name)),
            )
            programs.append(self._python(f"load-{name}", command, self.var / "load" / f"{name}.log", autostart=False))
        return programs

    def _console_programs(self) -> list[Program]:
        logs = self.var / "console"
        celery = ("-m", "celery", "-A", "opsconsole")
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO")
        web = ("-m", "uvicorn", "opsconsole.asgi:application", "--host", "127.0.0.1", "--port", str(self.ports.web))
        commands = {
            "web": (*web, "--log-level", "warning", "--timeout-graceful-shutdown", "2"),
            **{
                f"worker-{q}": (*celery, "worker", "-Q", q, "-P", "threads", "-c", "4", "-n", f"{q}@%h", *quiet)
                for q in ("critical", "default")
            },
            "beat": (*celery, "beat", "-l", "WARNING", "-s", str(logs / "beat-schedule")),
            "monitor": ("manage.py", "monitor"),
            "audit-sequencer": ("manage.py", "audit_sequencer"),
        }
        return [
            self._python(name, command, logs / f"{name}.log", env=self.environ()) for name, command in commands.items()
        ]

    def _python(
        self,
        name: str,
        command: tuple[str, ...],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        autostart: bool = True,
        priority: int = 100,
    ) -> Program:
        return Program(
            name=name,
            command=(sys.executable, *command),
            cwd=ROOT,
            log=log,
            env={"PYTHONUNBUFFERED": "1", **(env or {})},
            autostart=autostart,
            autorestart="always",
            startretries=1000,
            stop_wait_seconds=5,
            priority=priority,
        )
