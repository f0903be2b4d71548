"""What an emergency stop is tried on: a real paper exchange with orders and positions, and real trading systems."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.demo.processes import TOKEN, Instance
from tests.exchange.processes import PaperExchange
from trading.exchange.open import open_exchange
from trading.stop import engine, journal, snapshot
from trading.stop.engine import Outcome, Press, Pressed
from trading.stop.plan import Timing
from trading.stop.settings import InstanceSettings, StopSettings, write

FAST = Timing(rechecks=(0.2,))
"""As it is, but that it ends soon after FLAT."""
SHORT = replace(FAST, first_outcome=4.2, give_up=6.0)
"""For what never gets flat: the rounds to 3.8 s are over by then."""
_numbers = itertools.count(1)


@dataclass
class World:
    """One account at the exchange, and the settings of its stop."""

    exchange: PaperExchange
    account: str
    settings: StopSettings

    @property
    def sdk(self) -> Any:
        """The official SDK, as one of the account's instances."""
        return self.exchange.client(self.account, f"{self.account}-blue-1")

    def fill(self, positions: int = 10, orders: int = 50, usd: int = 200) -> None:
        """Open positions, long and short in turn, and leave orders far from the market."""
        sdk = self.sdk
        mids = {coin: Decimal(price) for coin, price in sdk.info.all_mids().items()}
        coins = list(mids)[:positions] or list(mids)[:1]
        opened = [_order(sdk, coin, i % 2 == 0, usd, mids[coin], "0.05", "Ioc") for i, coin in enumerate(coins)]
        rest = [
            _order(sdk, coins[i % len(coins)], True, usd, mids[coins[i % len(coins)]], "-0.3", "Gtc")
            for i in range(orders)
        ]
        for batch in (opened[:positions], rest):
            if batch:
                statuses = sdk.bulk_orders(batch)["response"]["data"]["statuses"]
                assert not [one for one in statuses if "error" in one], statuses
        assert self.left() == (orders, positions)

    def trigger(self, coin: str = "BTC") -> None:
        """Leave a stop order, which waits for its price."""
        mid = float(self.sdk.info.all_mids()[coin])
        price = float(f"{mid * 0.7:.5g}")
        kind = {"trigger": {"triggerPx": price, "isMarket": True, "tpsl": "sl"}}
        answer = self.sdk.order(coin, False, 0.01, price, kind, reduce_only=True)
        assert "error" not in answer["response"]["data"]["statuses"][0], answer

    def left(self) -> tuple[int, int]:
        """Orders and positions at the exchange, asked without our adapter."""
        orders = self.exchange.ask(type="frontendOpenOrders", user=self.account)
        return len(orders), len(self.exchange.positions(self.account))

    def snapshot(self) -> None:
        """What the monitor does every two seconds."""
        snapshot.refresh(self.settings.exchange, self.settings.snapshot_path)

    def press(self, reason: str = "a test", *, drill: bool = False) -> Pressed:
        return engine.press(self.settings, Press("tester", "opsctl", reason, drill))

    def stop(self, timing: Timing = FAST) -> Outcome:
        """Press and run to the end."""
        return engine.run(self.settings, self.press(), timing=timing)

    def entries(self, outcome: Outcome, event: str) -> list[dict[str, Any]]:
        """The lines of the journal file of one kind."""
        path = self.settings.journal_path(outcome.state.id)
        return [entry for entry in journal.read(path) if entry["event"] == event]

    def open(self) -> Any:
        """Our adapter for this account."""
        return open_exchange(self.settings.exchange)


def make_world(
    exchange: PaperExchange, folder: Path, *instances: InstanceSettings, driver: dict[str, str] | None = None
) -> World:
    """A fresh account, and a stop that knows these instances."""
    name = f"stop-{next(_numbers)}"
    definition = {
        "kind": "hyperliquid",
        "url": exchange.url,
        "account": exchange.account(name),
        "vault": "",
        "key": f"file:{exchange.keys.file(f'{name}-console')}",
        "dead_man_seconds": 0,
    }
    settings = StopSettings(name, "staging", folder / "stops" / name, definition, instances, driver or {})
    write(settings.folder / "settings.json", settings)
    return World(exchange, name, settings)


def instance_settings(instance: Instance, folder: Path) -> InstanceSettings:
    """A real instance, as the settings of a stop name it."""
    token = folder / "instance.token"
    token.write_text(TOKEN)
    return InstanceSettings(instance.name, "blue", instance.url, f"file:{token}")


def _order(sdk: Any, coin: str, buys: bool, usd: int, mid: Decimal, slippage: str, tif: str) -> dict[str, Any]:
    decimals = sdk.info.asset_to_sz_decimals[sdk.info.name_to_asset(coin)]
    price = mid * (1 + Decimal(slippage) * (1 if buys else -1))
    return {
        "coin": coin,
        "is_buy": buys,
        "sz": max(round(usd / float(mid), decimals), float(Decimal(1).scaleb(-decimals))),
        "limit_px": round(float(f"{price:.5g}"), 6 - decimals),
        "order_type": {"limit": {"tif": tif}},
        "reduce_only": False,
    }
