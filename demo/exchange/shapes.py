"""What leaves `/info`: accounts, orders, fills and markets as plain JSON in the shape of Hyperliquid's API."""

from decimal import Decimal
from typing import Any

from demo.exchange.account import Account, Fill, Order, Position
from demo.exchange.depth import Depth
from demo.exchange.market import COINS, Coin, Market
from demo.exchange.wire import number

BOOK_LEVELS = 20
USDC = {
    "name": "USDC",
    "szDecimals": 8,
    "weiDecimals": 8,
    "index": 0,
    "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "isCanonical": True,
    "evmContract": None,
    "fullName": None,
}


def meta() -> dict[str, Any]:
    """Answer of `meta`."""
    universe = [{"name": c.name, "szDecimals": c.size_decimals, "maxLeverage": c.max_leverage} for c in COINS]
    return {"universe": universe}


def asset_contexts(market: Market) -> list[dict[str, Any]]:
    """The second half of `metaAndAssetCtxs`; there is no funding, and every price is the mid."""
    rows = []
    for coin in COINS:
        mid = number(market.mid(coin.name))
        row: dict[str, Any] = dict.fromkeys(("markPx", "midPx", "oraclePx", "prevDayPx"), mid)
        row["impactPxs"] = [number(market.bid(coin.name)), number(market.ask(coin.name))]
        rows.append(row | dict.fromkeys(("funding", "openInterest", "dayNtlVlm", "premium", "dayBaseVlm"), "0"))
    return rows


def spot_meta() -> dict[str, Any]:
    """Answer of `spotMeta`: the settlement currency, and no spot market."""
    return {"tokens": [USDC], "universe": []}


def all_mids(market: Market) -> dict[str, str]:
    """Answer of `allMids`."""
    return {coin.name: number(market.mid(coin.name)) for coin in COINS}


def l2_book(depth: Depth, coin: str, now_ms: int) -> dict[str, Any]:
    """Answer of `l2Book`: bids, then asks, best first."""
    sides = [
        [{"px": number(price), "sz": number(size), "n": 1} for price, size in depth.levels(coin, taker)][:BOOK_LEVELS]
        for taker in ("A", "B")
    ]
    return {"coin": coin, "time": now_ms, "levels": sides}


def clearinghouse_state(account: Account, market: Market, now_ms: int) -> dict[str, Any]:
    """Answer of `clearinghouseState`: positions, margin summary, time."""
    held = [(coin, account.positions[coin.name]) for coin in COINS if coin.name in account.positions]
    notional, unrealised, margin = Decimal(0), Decimal(0), Decimal(0)
    for coin, position in held:
        value = abs(position.size) * market.mid(coin.name)
        notional, margin = notional + value, margin + value / _leverage(account, coin)[0]
        unrealised += (market.mid(coin.name) - position.entry) * position.size
    summary = {
        "accountValue": number(account.cash + unrealised),
        "totalNtlPos": number(notional),
        "totalRawUsd": number(account.cash),
        "totalMarginUsed": number(margin),
    }
    rows = [{"type": "oneWay", "position": _position(account, c, p, market.mid(c.name))} for c, p in held]
    return {
        "assetPositions": rows,
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": number(margin / 2),
        "withdrawable": number(max(account.cash + unrealised - margin, Decimal(0))),
        "time": now_ms,
    }


def open_order(order: Order) -> dict[str, Any]:
    """One element of `openOrders`."""
    request = order.request
    return {
        "coin": request.coin,
        "side": request.side,
        "limitPx": number(request.limit),
        "sz": number(order.remaining),
        "oid": order.oid,
        "timestamp": order.at_ms,
        "origSz": number(request.size),
        "cloid": request.cloid,
        "reduceOnly": request.reduce_only,
    }


def frontend_order(order: Order) -> dict[str, Any]:
    """One element of `frontendOpenOrders`: the order with its trigger."""
    trigger = order.request.trigger
    return open_order(order) | {
        "isTrigger": order.armed,
        "triggerPx": number(trigger.price) if trigger else "0.0",
        "triggerCondition": _condition(order),
        "orderType": _order_type(order),
        "tif": None if trigger else order.request.tif,
        "isPositionTpsl": order.request.position_tpsl,
        "children": [],
    }


def user_fill(fill: Fill) -> dict[str, Any]:
    """One element of `userFills`."""
    opens = fill.start_position * (1 if fill.side == "B" else -1) >= 0
    long = fill.side == "B" if opens else fill.side == "A"
    return {
        "coin": fill.coin,
        "px": number(fill.price),
        "sz": number(fill.size),
        "side": fill.side,
        "time": fill.at_ms,
        "startPosition": number(fill.start_position),
        "dir": f"{'Open' if opens else 'Close'} {'Long' if long else 'Short'}",
        "closedPnl": number(fill.closed_pnl),
        "hash": "0x" + "0" * 64,
        "oid": fill.oid,
        "cloid": fill.cloid,
        "crossed": fill.crossed,
        "fee": "0",
        "feeToken": "USDC",
        "tid": fill.tid,
    }


def order_status(account: Account, key: object) -> dict[str, Any]:
    """Answer of `orderStatus` by oid (int) or cloid (string)."""
    oid = account.by_cloid.get(key) if isinstance(key, str) else key
    order = account.orders.get(oid) if isinstance(oid, int) else None
    if order is None:
        return {"status": "unknownOid"}
    detail = {"order": frontend_order(order), "status": order.status, "statusTimestamp": order.status_ms}
    return {"status": "order", "order": detail}


def user_fees() -> dict[str, Any]:
    """Answer of `userFees`: the paper exchange takes none."""
    tiers: dict[str, Any] = {"cross": "0", "add": "0", "tiers": {"vip": [], "mm": []}, "referralDiscount": "0"}
    return {
        "activeReferralDiscount": "0",
        "dailyUserVlm": [],
        "feeSchedule": tiers,
        "userAddRate": "0",
        "userCrossRate": "0",
    }


def _leverage(account: Account, coin: Coin) -> tuple[int, bool]:
    return account.leverage.get(coin.name, (coin.max_leverage, True))


def _position(account: Account, coin: Coin, held: Position, mid: Decimal) -> dict[str, Any]:
    times, cross = _leverage(account, coin)
    value, pnl = abs(held.size) * mid, (mid - held.entry) * held.size
    margin = value / times
    leverage: dict[str, Any] = {"type": "cross" if cross else "isolated", "value": times}
    if not cross:
        leverage["rawUsd"] = number(margin - value if held.size > 0 else margin + value)
    return {
        "coin": coin.name,
        "szi": number(held.size),
        "entryPx": number(held.entry),
        "positionValue": number(value),
        "unrealizedPnl": number(pnl),
        "returnOnEquity": number(round(pnl / margin, 6)) if margin else "0",
        "leverage": leverage,
        "liquidationPx": None,
        "marginUsed": number(margin),
        "maxLeverage": coin.max_leverage,
        "cumFunding": {"allTime": "0", "sinceOpen": "0", "sinceChange": "0"},
    }


def _order_type(order: Order) -> str:
    trigger = order.request.trigger
    if trigger is None:
        return "Limit"
    return f"{'Take Profit' if trigger.tpsl == 'tp' else 'Stop'} {'Market' if trigger.is_market else 'Limit'}"


def _condition(order: Order) -> str:
    trigger = order.request.trigger
    if trigger is None:
        return "N/A"
    if not order.armed:
        return "Triggered"
    return f"Price {'above' if order.request.trigger_above else 'below'} {number(trigger.price)}"
