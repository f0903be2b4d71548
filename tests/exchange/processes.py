"""A real paper exchange as a process, with keys of its own, for every test that needs one.

exchange = PaperExchange(tmp_path).start()
sdk = exchange.client("production")              # the official SDK, signing as production-console
exchange.faults(latency_ms=100)                  # see demo/exchange/fault_controls.py
exchange.stop()
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import eth_account
from hyperliquid.exchange import Exchange as SdkExchange
from hyperliquid.info import Info

from demo.exchange.journal import read_log
from opsconsole.local.exchange_keys import ExchangeKeys
from opsconsole.local.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 3.0


def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Polls until the condition answers something true; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)
    return value


class PaperExchange:
    """The process, its folder, its keys. `also` are further addresses it listens on (127.0.0.2)."""

    def __init__(self, directory: Path, *, port: int | None = None, also: Iterable[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.port, self.also = directory, port or free_ports(1)[0], tuple(also)
        self.keys = ExchangeKeys(directory)
        self.orders, self.output = directory / "orders.jsonl", directory / "exchange.out"
        self.process: subprocess.Popen[bytes] | None = None
        self.account("production")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def account(self, name: str, *agents: str) -> str:
        """The address of an account, made (with these agents and NAME-console) when it is new. Works at any time."""
        return self.keys.ensure(name, agents or (f"{name}-blue-1", f"{name}-green-1"))

    def start(self) -> PaperExchange:
        """Starts it and waits until it answers; goes on with what its folder holds."""
        command = [sys.executable, "-m", "demo.exchange", "--port", str(self.port), "--log", str(self.orders)]
        command += ["--accounts", str(self.keys.accounts_file), "--seed", "7"]
        for address in self.also:
            command += ["--also", address]
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=out, stderr=out)
        until(self._answers, f"the exchange answers ({self.output.read_text()})")
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(5)

    def client(self, account: str, agent: str | None = None, *, url: str | None = None) -> SdkExchange:
        """The official SDK for an account; `agent` signs (NAME-console unless told; NAME-master is its own key)."""
        wallet = eth_account.Account.from_key(self.keys.key(agent or f"{account}-console"))
        return SdkExchange(
            wallet, url or self.url, account_address=self.account(account), timeout=TIMEOUT, perp_dexs=[""]
        )

    def info(self) -> Info:
        """The official SDK for questions only."""
        return Info(self.url, skip_ws=True, timeout=TIMEOUT)

    def faults(self, **changes: Any) -> dict[str, Any]:
        """Switches faults on (or off by null); what holds then."""
        return dict(self.call("POST", "/faults", changes))

    def heal(self) -> None:
        """Takes every fault back."""
        self.call("DELETE", "/faults")

    def log(self, account: str | None = None) -> list[dict[str, Any]]:
        """The entries of the log, of one account by its name or of all."""
        return [entry for entry in read_log(self.orders) if account in (None, entry["account"])]

    def ask(self, **question: Any) -> Any:
        """One question to /info without the SDK; `user` may be the name of an account."""
        user = question.get("user")
        if isinstance(user, str) and not user.startswith("0x"):
            question["user"] = self.account(user)
        return self.call("POST", "/info", question)

    def positions(self, account: str) -> dict[str, str]:
        """Signed size by coin."""
        state = self.ask(type="clearinghouseState", user=account)
        return {row["position"]["coin"]: row["position"]["szi"] for row in state["assetPositions"]}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One JSON request. Raises urllib.error.HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.loads(response.read())

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.output.read_text()
        try:
            return bool(self.call("GET", "/healthz"))
        except (urllib.error.URLError, OSError):
            return False
