"""What the emergency stop is measured on: the exchange, and a trading system with its own database, on loopback."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from hyperliquid.exchange import Exchange as SdkExchange
from hyperliquid.info import Info

from demo.releases import BuiltRelease, build_releases
from environments.drivers.base import ArtifactSpec, InstanceSpec
from environments.drivers.program import Program
from environments.drivers.supervisord import SupervisordDriver, instance_spec, program_for
from opsconsole.config import ROOT
from opsconsole.local.exchange_keys import ExchangeKeys
from opsconsole.local.paths import LocalServiceError, write_private
from opsconsole.local.ports import free_ports
from opsconsole.local.supervisor import Supervisor
from opsconsole.local.trading_database import TradingDatabase
from trading.stop import snapshot
from trading.stop.settings import InstanceSettings, StopSettings, write

ORDERS, POSITIONS, USD = 50, 10, 200
ENVIRONMENT = "bench"
INSTANCES = ("bench-blue-1", "bench-green-1")
TIMEOUT = 10.0
SPOT: Any = {"tokens": [], "universe": []}


@dataclass
class StopBed:
    """Running processes, and the settings of the stop for them. Only blue has a process, as after a first start."""

    folder: Path
    supervisor: Supervisor
    url: str
    keys: ExchangeKeys
    settings: StopSettings
    driver: SupervisordDriver
    specs: tuple[InstanceSpec, ...]

    def sdk(self, agent: str, meta: Any = None) -> SdkExchange:
        """The bare SDK with new connections; with ``meta`` it asks nothing beforehand."""
        wallet = Account.from_key(self.keys.key(agent))
        account = self.keys.address(ENVIRONMENT)
        more = {"meta": meta, "spot_meta": SPOT} if meta else {"perp_dexs": [""]}
        return SdkExchange(wallet, self.url, account_address=account, timeout=TIMEOUT, **more)

    def faults(self, **changes: Any) -> None:
        """Let the exchange do something wrong; nothing: all right again."""
        data = json.dumps(changes).encode() if changes else None
        method = "POST" if changes else "DELETE"
        request = urllib.request.Request(f"{self.url}/faults", data, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            pass

    def fill(self) -> None:
        """50 orders far from the market and 10 positions, long and short in turn; and the snapshot of them."""
        sdk = self.sdk(INSTANCES[1])
        mids, coins = sdk.info.all_mids(), list(sdk.info.coin_to_asset)[:POSITIONS]
        opened = [_order(sdk, coin, i % 2 == 0, float(mids[coin]), 0.05, "Ioc") for i, coin in enumerate(coins)]
        there = [coins[i % len(coins)] for i in range(ORDERS)]
        rest = [_order(sdk, coin, True, float(mids[coin]), -0.3, "Gtc") for coin in there]
        for batch in (opened, rest):
            statuses = sdk.bulk_orders(batch)["response"]["data"]["statuses"]
            if any("error" in one for one in statuses):
                raise LocalServiceError(f"the exchange did not take the orders: {statuses}")
        snapshot.refresh(self.settings.exchange, self.settings.snapshot_path)

    def floor(self) -> float:
        """Milliseconds of two parallel batches and one read with the bare SDK, on new connections."""
        info = Info(self.url, True, spot_meta=SPOT, timeout=TIMEOUT)
        account, meta = self.keys.address(ENVIRONMENT), info.meta()
        orders, state = info.frontend_open_orders(account), info.user_state(account)
        mids = info.all_mids()
        sdk = self.sdk(f"{ENVIRONMENT}-console", meta)
        # Another signer: the SDK takes the time for a nonce, and two threads of one signer collide now and then.
        other = self.sdk(INSTANCES[1], meta)
        cancels = [{"coin": order["coin"], "oid": order["oid"]} for order in orders]
        closes = [
            _closing(sdk, row["position"], float(mids[row["position"]["coin"]])) for row in state["assetPositions"]
        ]
        with ThreadPoolExecutor(max_workers=2) as hands:
            hands.submit(int).result()
            began = time.perf_counter()
            second = hands.submit(other.bulk_orders, closes)
            sdk.bulk_cancel(cancels)
            second.result()
            read = hands.submit(sdk.info.user_state, account)
            left = sdk.info.frontend_open_orders(account)
            held = read.result()["assetPositions"]
            taken = (time.perf_counter() - began) * 1000
        if left or held:
            raise LocalServiceError(f"the floor left {len(left)} orders and {len(held)} positions")
        return taken

    def restart(self) -> None:
        """A trading system that was never stopped, and trades: its state is removed first."""
        blue = self.specs[0]
        self.driver.stop(blue, force=True)
        shutil.rmtree(blue.state_dir, ignore_errors=True)
        blue.state_dir.mkdir(parents=True)
        self.settings.latch_path.unlink(missing_ok=True)
        self.driver.start(blue)
        self._until_it_trades(self.settings.instances[0].url)

    def _until_it_trades(self, url: str) -> None:
        token = (self.folder / "token").read_text()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"role": "ACTIVE", "epoch": 1, "actor": "bench", "reason": "bench"}).encode()
        deadline = time.monotonic() + 20
        while True:
            try:
                request = urllib.request.Request(f"{url}/v1/role", body, headers)
                with urllib.request.urlopen(request, timeout=TIMEOUT):
                    return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LocalServiceError(f"the trading system does not trade: {error}") from error
            time.sleep(0.05)


@contextmanager
def running_stop_bed() -> Iterator[StopBed]:
    """Start all of it; nothing is left afterwards. Raises LocalServiceError."""
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-stop-") as name:
        folder = Path(name)
        ports = free_ports(4)
        supervisor = Supervisor(folder / "supervisor", "bench")
        database = TradingDatabase(folder / "postgres", ports[0], folder / "databases")
        try:
            database.prepare()
            yield _start(folder, supervisor, database, ports[1:])
        finally:
            supervisor.shutdown()
            database.remove()


def _start(folder: Path, supervisor: Supervisor, database: TradingDatabase, ports: list[int]) -> StopBed:
    keys, token = ExchangeKeys(folder / "exchange"), folder / "token"
    account = keys.ensure(ENVIRONMENT, INSTANCES)
    write_private(token, "bench-token")
    url, hosts = f"http://127.0.0.1:{ports[0]}", folder / "hosts"
    specs = tuple(instance_spec(hosts, name, port) for name, port in zip(INSTANCES, ports[1:], strict=True))
    env = {
        "OPSC_EXCHANGE_URL": url,
        "OPSC_EXCHANGE_ACCOUNT": account,
        "OPSC_TOKEN_FILE": str(token),
        "OPSC_ENVIRONMENT": ENVIRONMENT,
        "OPSC_DATABASE_URL_FILE": str(database.url_file(ENVIRONMENT)),
    }
    programs = [
        program_for(spec, hosts, Path(sys.executable), {**env, "OPSC_EXCHANGE_KEY_FILE": str(keys.file(spec.name))})
        for spec in specs
    ]
    supervisor.up([database.program(), _exchange(folder, ports[0], keys), *programs])
    database.ensure([ENVIRONMENT])
    driver = SupervisordDriver(supervisor.socket, hosts)
    release = build_releases(folder / "releases")[0]
    for spec in specs:
        driver.install(spec, _artifact(release))
    settings = _settings(folder, url, account, keys, driver, specs)
    bed = StopBed(folder, supervisor, url, keys, settings, driver, specs)
    bed.restart()
    return bed


def _settings(
    folder: Path, url: str, account: str, keys: ExchangeKeys, driver: SupervisordDriver, specs: tuple[InstanceSpec, ...]
) -> StopSettings:
    key = f"file:{keys.file(f'{ENVIRONMENT}-console')}"
    definition = {"kind": "hyperliquid", "url": url, "account": account, "vault": "", "key": key, "dead_man_seconds": 0}
    instances = tuple(
        InstanceSettings(
            spec.name, spec.name.split("-")[1], f"http://127.0.0.1:{spec.port}", f"file:{folder / 'token'}"
        )
        for spec in specs
    )
    supervised = {"socket": str(driver.client.socket_path), "root": str(driver.root)}
    settings = StopSettings(ENVIRONMENT, "staging", folder / "stops", definition, instances, supervised)
    write(settings.folder / "settings.json", settings)
    return settings


def _exchange(folder: Path, port: int, keys: ExchangeKeys) -> Program:
    files = ("--log", str(folder / "exchange" / "orders.jsonl"), "--accounts", str(keys.accounts_file))
    command = (sys.executable, "-m", "demo.exchange", "--port", str(port), *files, "--seed", "7")
    return Program("exchange", command, ROOT, folder / "exchange.log", autorestart="never")


def _artifact(release: BuiltRelease) -> ArtifactSpec:
    return ArtifactSpec(release.version, release.digest, release.path, release.service)


def _order(sdk: SdkExchange, coin: str, buys: bool, mid: float, distance: float, tif: str) -> Any:
    decimals = sdk.info.asset_to_sz_decimals[sdk.info.name_to_asset(coin)]
    price = mid * (1 + distance * (1 if buys else -1))
    return {
        "coin": coin,
        "is_buy": buys,
        "sz": max(round(USD / mid, decimals), 10**-decimals),
        "limit_px": round(float(f"{price:.5g}"), 6 - decimals),
        "order_type": {"limit": {"tif": tif}},
        "reduce_only": False,
    }


def _closing(sdk: SdkExchange, held: Any, mid: float) -> Any:
    size = float(held["szi"])
    order = _order(sdk, held["coin"], size < 0, mid, 0.02, "Ioc")
    return {**order, "sz": abs(size), "reduce_only": True}
