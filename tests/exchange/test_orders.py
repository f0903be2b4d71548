"""The official SDK, as it is, places and cancels orders at the paper exchange."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hyperliquid.utils.types import Cloid

from tests.exchange.conftest import Trader, limit, status
from tests.exchange.processes import until


def test_a_resting_order_is_listed_and_cancelled(trader: Trader) -> None:
    cloid = Cloid.from_int(7)
    oid = status(trader.sdk.order("ETH", True, 0.05, 2000.5, limit(), cloid=cloid))["resting"]["oid"]  # type: ignore[index]
    (order,) = trader.info.open_orders(trader.address)
    assert {key: order[key] for key in ("coin", "side", "limitPx", "sz", "origSz", "oid", "cloid", "reduceOnly")} == {
        "coin": "ETH",
        "side": "B",
        "limitPx": "2000.5",
        "sz": "0.05",
        "origSz": "0.05",
        "oid": oid,
        "cloid": str(cloid),
        "reduceOnly": False,
    }
    (shown,) = trader.info.frontend_open_orders(trader.address)
    assert (shown["isTrigger"], shown["orderType"], shown["tif"]) == (False, "Limit", "Gtc")
    assert status(trader.sdk.cancel("ETH", oid)) == "success"
    assert trader.info.open_orders(trader.address) == []
    assert trader.info.query_order_by_oid(trader.address, oid)["order"]["status"] == "canceled"
    assert "never placed" in status(trader.sdk.cancel("ETH", oid))["error"]  # type: ignore[index]


def test_cancel_by_cloid_and_status_by_both_ids(trader: Trader) -> None:
    cloid = Cloid.from_int(2**100)
    oid = status(trader.sdk.order("SOL", False, 1, 250, limit(), cloid=cloid))["resting"]["oid"]  # type: ignore[index]
    by_cloid = trader.info.query_order_by_cloid(trader.address, cloid)
    assert by_cloid == trader.info.query_order_by_oid(trader.address, oid)
    assert (by_cloid["order"]["status"], by_cloid["order"]["order"]["sz"]) == ("open", "1")
    assert "Duplicate cloid" in status(trader.sdk.order("SOL", False, 1, 250, limit(), cloid=cloid))["error"]  # type: ignore[index]
    assert status(trader.sdk.cancel_by_cloid("SOL", cloid)) == "success"
    assert "never placed" in status(trader.sdk.cancel_by_cloid("SOL", cloid))["error"]  # type: ignore[index]
    assert trader.info.query_order_by_oid(trader.address, 10**9) == {"status": "unknownOid"}


def test_market_open_and_market_close(trader: Trader) -> None:
    filled = status(trader.sdk.market_open("BTC", False, 0.02))["filled"]  # type: ignore[index]
    assert filled["totalSz"] == "0.02" and abs(float(filled["avgPx"]) / trader.mid("BTC") - 1) < 0.01
    assert trader.positions() == {"BTC": "-0.02"}
    assert status(trader.sdk.market_close("BTC", 0.005))["filled"]["totalSz"] == "0.005"  # type: ignore[index]
    assert trader.positions() == {"BTC": "-0.015"}
    assert status(trader.sdk.market_close("BTC"))["filled"]["totalSz"] == "0.015"  # type: ignore[index]
    assert trader.positions() == {}
    assert trader.sdk.market_close("BTC") is None, "the SDK's silent answer when there is nothing to close"
    fills = trader.info.user_fills(trader.address)
    assert [fill["dir"] for fill in fills] == ["Close Short", "Close Short", "Open Short"]
    assert [fill["sz"] for fill in fills] == ["0.015", "0.005", "0.02"]


def test_a_batch_is_answered_one_by_one(trader: Trader) -> None:
    requests = [
        {"coin": "ETH", "is_buy": True, "sz": 0.05, "limit_px": 2000, "order_type": limit(), "reduce_only": False},
        {"coin": "ETH", "is_buy": True, "sz": 0.00005, "limit_px": 2000, "order_type": limit(), "reduce_only": False},
        {"coin": "SOL", "is_buy": True, "sz": 1, "limit_px": 190, "order_type": limit("Ioc"), "reduce_only": False},
    ]
    answer = trader.sdk.bulk_orders(requests)  # type: ignore[arg-type]
    kinds = [next(iter(one)) for one in answer["response"]["data"]["statuses"]]
    assert kinds == ["resting", "error", "filled"]
    assert trader.positions() == {"SOL": "1"}


def test_an_ioc_order_takes_what_is_there(trader: Trader) -> None:
    trader.paper.faults(depth={"LTC": 0.6})
    filled = status(trader.sdk.market_open("LTC", True, 1.0))["filled"]  # type: ignore[index]
    assert filled["totalSz"] == "0.6" and trader.positions() == {"LTC": "0.6"}
    order = trader.info.query_order_by_oid(trader.address, filled["oid"])["order"]
    assert (order["status"], order["order"]["sz"], order["order"]["origSz"]) == ("canceled", "0.4", "1")
    trader.paper.faults(depth={"LTC": 0})
    assert "immediately match" in status(trader.sdk.market_close("LTC"))["error"]  # type: ignore[index]
    # Only those who go further from the mid find somebody.
    trader.paper.faults(depth={"LTC": {"size": 10, "distance": 0.03}})
    assert "immediately match" in status(trader.sdk.market_close("LTC", slippage=0.02))["error"]  # type: ignore[index]
    assert "filled" in status(trader.sdk.market_close("LTC", slippage=0.05))  # type: ignore[operator]
    assert trader.positions() == {}


def test_a_large_order_walks_the_levels(trader: Trader) -> None:
    mid = trader.mid("BTC")
    filled = status(trader.sdk.market_open("BTC", True, 30))["filled"]  # type: ignore[index]
    fills = trader.info.user_fills(trader.address)
    assert filled["totalSz"] == "30" and len(fills) > 2
    prices = [Decimal(fill["px"]) for fill in reversed(fills)]
    assert prices == sorted(prices) and float(prices[-1]) > mid
    value = sum(Decimal(fill["px"]) * Decimal(fill["sz"]) for fill in fills)
    assert abs(value / 30 - Decimal(filled["avgPx"])) < Decimal("0.0001")


def test_a_gtc_order_rests_with_what_was_not_filled(trader: Trader) -> None:
    trader.paper.faults(depth={"ADA": 40})
    price = float(f"{trader.mid('ADA') * 1.01:.4g}")
    oid = status(trader.sdk.order("ADA", True, 100, price, limit()))["resting"]["oid"]  # type: ignore[index]
    until(lambda: trader.positions() == {"ADA": "100"}, "the rest is filled with the next ticks")
    assert trader.info.query_order_by_oid(trader.address, oid)["order"]["status"] == "filled"
    assert [fill["sz"] for fill in trader.info.user_fills(trader.address)] == ["20", "40", "40"]


def test_post_only(trader: Trader) -> None:
    mid = trader.mid("SOL")
    crossing, below = float(f"{mid * 1.01:.5g}"), float(f"{mid * 0.9:.5g}")
    refused = status(trader.sdk.order("SOL", True, 1, crossing, limit("Alo")))
    assert "Post only order would have immediately matched, bbo was" in refused["error"]  # type: ignore[index]
    assert "resting" in status(trader.sdk.order("SOL", True, 1, below, limit("Alo")))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("BTC", True, 0.01, 90000.5), "tick size"),
        (("BTC", True, 0.000001, 90000), "invalid size"),
        (("XRP", True, 0.5, 2), "invalid size"),
        (("ETH", True, 0.001, 3000), "minimum value of $10"),
        (("ETH", True, 0.1, 100), "80% away"),
        (("ETH", True, 0.1, 9000), "80% away"),
    ],
)
def test_what_the_exchange_does_not_take(trader: Trader, order: tuple[str, bool, float, float], words: str) -> None:
    assert words in status(trader.sdk.order(*order, limit()))["error"]  # type: ignore[index, arg-type]
    assert trader.info.open_orders(trader.address) == [] and trader.positions() == {}


def test_orders_that_find_nobody_or_would_increase(trader: Trader) -> None:
    low = float(f"{trader.mid('ETH') * 0.9:.4g}")
    assert "immediately match" in status(trader.sdk.order("ETH", True, 0.1, low, limit("Ioc")))["error"]  # type: ignore[index]
    reduce = status(trader.sdk.order("ETH", True, 0.1, 5000, limit("Ioc"), reduce_only=True))
    assert "Reduce only order would increase position" in reduce["error"]  # type: ignore[index]
    trader.sdk.market_open("ETH", True, 0.1)
    reduce = status(trader.sdk.order("ETH", True, 0.1, 5000, limit("Ioc"), reduce_only=True))
    assert "Reduce only order would increase position" in reduce["error"]  # type: ignore[index]
    # A reduce-only order is cut to the position, and needs no minimum value.
    closed = status(trader.sdk.order("ETH", False, 5, 2000, limit("Ioc"), reduce_only=True))
    assert closed["filled"]["totalSz"] == "0.1" and trader.positions() == {}  # type: ignore[index]


def test_a_stop_loss_fires_on_the_mid(trader: Trader) -> None:
    trader.sdk.market_open("AVAX", True, 10)
    stop = float(f"{trader.mid('AVAX') * 0.95:.4g}")
    kind = {"trigger": {"isMarket": True, "triggerPx": stop, "tpsl": "sl"}}
    oid = status(trader.sdk.order("AVAX", False, 10, stop * 0.9, kind, reduce_only=True))["resting"]["oid"]  # type: ignore[index, arg-type]
    (shown,) = trader.info.frontend_open_orders(trader.address)
    assert (shown["isTrigger"], shown["orderType"], shown["reduceOnly"]) == (True, "Stop Market", True)
    assert (float(shown["triggerPx"]), shown["triggerCondition"].split()[1]) == (stop, "below")
    assert trader.info.open_orders(trader.address) == [], "only the longer list has orders that wait for their trigger"
    trader.paper.faults(shock={"AVAX": -0.06})
    until(lambda: trader.positions() == {}, "the stop has closed the position")
    assert trader.info.query_order_by_oid(trader.address, oid)["order"]["status"] == "filled"
    trader.paper.faults(shock={"AVAX": 0.06})


def test_trigger_orders_that_wait_or_make_no_sense(trader: Trader) -> None:
    mid = trader.mid("LINK")
    above, below = float(f"{mid * 1.1:.4g}"), float(f"{mid * 0.9:.4g}")

    def place(is_buy: bool, price: float, tpsl: str) -> dict[str, object]:
        kind = {"trigger": {"isMarket": False, "triggerPx": price, "tpsl": tpsl}}
        return status(trader.sdk.order("LINK", is_buy, 5, price, kind))  # type: ignore[arg-type, return-value]

    for is_buy, price, tpsl in ((False, above, "tp"), (False, below, "sl"), (True, below, "tp"), (True, above, "sl")):
        oid = place(is_buy, price, tpsl)["resting"]["oid"]  # type: ignore[index]
        assert status(trader.sdk.cancel("LINK", oid)) == "success"
        assert "Invalid TP/SL price" in place(not is_buy, price, tpsl)["error"]  # type: ignore[operator]


def test_schedule_cancel_fires(trader: Trader) -> None:
    low = float(f"{trader.mid('BTC') * 0.5:.4g}")
    oid = status(trader.sdk.order("BTC", True, 0.01, low, limit()))["resting"]["oid"]  # type: ignore[index]
    now = int(time.time() * 1000)
    early = trader.sdk.schedule_cancel(now + 3000)
    assert early["status"] == "err" and "at least 5 seconds" in early["response"]
    assert trader.sdk.schedule_cancel(now + 60_000) == {"status": "ok", "response": {"type": "default"}}
    assert trader.sdk.schedule_cancel(None)["status"] == "ok"
    at = int(time.time() * 1000) + 5_200
    assert trader.sdk.schedule_cancel(at)["status"] == "ok"
    until(lambda: trader.info.open_orders(trader.address) == [], "every order is cancelled")
    order = trader.info.query_order_by_oid(trader.address, oid)["order"]
    assert order["status"] == "scheduledCancel" and 0 <= order["statusTimestamp"] - at < 500
    assert [e["time"] for e in trader.log() if e["action"] == "schedule"][-2:] == [at, None], "it fires once"


def test_leverage(trader: Trader) -> None:
    trader.sdk.market_open("ETH", True, 0.1)
    assert trader.sdk.update_leverage(4, "ETH", is_cross=False)["status"] == "ok"
    position = trader.info.user_state(trader.address)["assetPositions"][0]["position"]
    assert (position["leverage"]["type"], position["leverage"]["value"]) == ("isolated", 4)
    assert abs(float(position["marginUsed"]) * 4 - float(position["positionValue"])) < 0.01
    assert trader.sdk.update_leverage(26, "ETH")["status"] == "err"
