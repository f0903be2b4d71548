"""Every question that the official SDK asks, and whether the answers add up."""

from __future__ import annotations

import contextlib
import random
import time
from decimal import Decimal

import pytest
from hyperliquid.info import Info
from hyperliquid.utils.error import ClientError

from demo.exchange.account import NewOrder
from demo.exchange.book import Book, OrderRejected
from demo.exchange.market import COINS, Market
from demo.exchange.shapes import clearinghouse_state
from tests.exchange.conftest import Trader
from tests.exchange.processes import PaperExchange


def test_markets(paper: PaperExchange) -> None:
    info = paper.info()
    universe = info.meta()["universe"]
    assert [coin["name"] for coin in universe][:3] == ["BTC", "ETH", "SOL"] and len(universe) >= 10
    assert info.name_to_asset("SOL") == 2 and info.asset_to_sz_decimals[0] == 5
    meta, contexts = info.meta_and_asset_ctxs()
    assert meta["universe"] == universe and len(contexts) == len(universe)
    assert set(info.all_mids()) == {coin["name"] for coin in universe}
    assert info.perp_dexs() == [None]
    assert info.spot_meta()["universe"] == [] and info.spot_meta_and_asset_ctxs()[1] == []
    assert Info(paper.url, skip_ws=True, perp_dexs=[""], timeout=3).meta() == info.meta()
    for wrong in ("no-such-dex", "xyz"):
        with pytest.raises(ClientError):
            info.meta(dex=wrong)


def test_prices(trader: Trader) -> None:
    book = trader.info.l2_snapshot("ETH")
    bids, asks = ([(float(level["px"]), float(level["sz"])) for level in side] for side in book["levels"])
    assert bids == sorted(bids, reverse=True) and asks == sorted(asks) and bids[0][0] < asks[0][0]
    assert all(size > 0 for _, size in bids + asks)
    trader.paper.faults(depth={"ETH": 0})
    assert trader.info.l2_snapshot("ETH")["levels"] == [[], []]
    trader.paper.faults(depth={"ETH": None})
    trader.sdk.market_open("ETH", True, 0.1)
    now = int(time.time() * 1000)
    for interval in ("1m", "1h"):
        candles = trader.info.candles_snapshot("ETH", interval, now - 86_400_000, now)
        last = candles[-1]
        assert float(last["l"]) <= float(last["o"]) <= float(last["h"]) and last["t"] <= now <= last["T"]
        assert (last["s"], last["i"]) == ("ETH", interval) and last["n"] >= 1 and float(last["v"]) >= 0.1
    assert trader.info.candles_snapshot("ETH", "1m", now + 60_000, now + 120_000) == []


def test_account_questions(trader: Trader) -> None:
    before = int(time.time() * 1000)
    trader.sdk.market_open("SOL", True, 1)
    (fill,) = trader.info.user_fills(trader.address)
    assert trader.info.user_fills_by_time(trader.address, before) == [fill]
    assert trader.info.user_fills_by_time(trader.address, before - 1000, before - 500) == []
    assert (fill["dir"], fill["startPosition"], fill["fee"], fill["crossed"]) == ("Open Long", "0", "0", True)
    assert trader.info.user_fees(trader.address)["userCrossRate"] == "0"
    assert trader.info.spot_user_state(trader.address) == {"balances": []}
    nobody = "0x" + "12" * 20
    assert trader.info.user_state(nobody)["assetPositions"] == [] and trader.info.open_orders(nobody) == []
    assert trader.info.user_role(nobody) == {"role": "missing"}
    assert trader.info.user_role(trader.address) == {"role": "user"}
    assert trader.info.user_state(trader.address.upper().replace("0X", "0x"))["assetPositions"]


def test_equity_and_positions_add_up(trader: Trader) -> None:
    """What was paid and what is held make the equity, whatever was traded in between."""
    sizes = [("BTC", 0.02), ("ETH", -0.4), ("SOL", 5), ("BTC", -0.05), ("ETH", 0.1), ("DOGE", 900), ("SOL", -5)]
    for coin, size in sizes:
        trader.sdk.market_open(coin, size > 0, abs(size))
    state = trader.info.user_state(trader.address)
    fills = trader.info.user_fills(trader.address)
    net: dict[str, Decimal] = {}
    paid = Decimal(0)
    for fill in fills:
        signed = Decimal(fill["sz"]) * (1 if fill["side"] == "B" else -1)
        net[fill["coin"]] = net.get(fill["coin"], Decimal(0)) + signed
        paid += signed * Decimal(fill["px"])
    held = {row["position"]["coin"]: row["position"] for row in state["assetPositions"]}
    assert {coin: Decimal(p["szi"]) for coin, p in held.items()} == {coin: size for coin, size in net.items() if size}
    worth = sum(Decimal(p["positionValue"]) * (1 if Decimal(p["szi"]) > 0 else -1) for p in held.values())
    summary = state["marginSummary"]
    assert abs(Decimal(summary["accountValue"]) - (100_000 - paid + worth)) < Decimal("0.000001")
    realised = sum(Decimal(fill["closedPnl"]) for fill in fills)
    assert abs(Decimal(summary["totalRawUsd"]) - (100_000 + realised)) < Decimal("0.000001")
    unrealised = sum(Decimal(p["unrealizedPnl"]) for p in held.values())
    assert abs(Decimal(summary["accountValue"]) - Decimal(summary["totalRawUsd"]) - unrealised) < Decimal("0.000001")


@pytest.mark.parametrize("seed", range(5))
def test_equity_adds_up_over_any_history(seed: int) -> None:
    """The same over thousands of random orders, resting ones and triggers too, without a network."""
    chance, book = random.Random(seed), Book(Market(seed))
    net: dict[str, Decimal] = {}
    paid = Decimal(0)
    for step in range(2_000):
        book.market.step()
        events = book.advance(step)
        fills = [fill for event in events for fill in event.fills]
        coin = chance.choice(COINS[:4])
        mid = book.market.mid(coin.name)
        limit = (mid * Decimal(str(chance.uniform(0.99, 1.01)))).quantize(Decimal("0.1" if mid < 9999 else "1"))
        size = round(Decimal(chance.randint(20, 40_000)) / mid, coin.size_decimals)
        side = chance.choice("AB")
        request = NewOrder(coin.name, side, size, limit, chance.choice(("Ioc", "Gtc")), chance.random() < 0.3)  # type: ignore[arg-type]
        with contextlib.suppress(OrderRejected):
            fills += book.place("a", request, step)[1]
        for fill in fills:
            signed = fill.size if fill.side == "B" else -fill.size
            net[fill.coin] = net.get(fill.coin, Decimal(0)) + signed
            paid += signed * fill.price
    account = book.account("a")
    assert {coin: held.size for coin, held in account.positions.items()} == {c: s for c, s in net.items() if s}
    worth = sum((size * book.market.mid(coin) for coin, size in net.items()), Decimal(0))
    value = Decimal(clearinghouse_state(account, book.market, 0)["marginSummary"]["accountValue"])
    assert abs(value - (100_000 - paid + worth)) < Decimal("0.000001")
    assert len(account.fills) > 100
