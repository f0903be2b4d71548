"""Shapes of the HTTP API: what arrives becomes a NewOrder or a question, what leaves is plain JSON.

Follows the public API of Hyperliquid (`/info` and `/exchange`): decimals as strings, times in milliseconds,
an asset id is the index in the universe. Signatures are not read yet: `vaultAddress` names the account.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from demo.exchange.book import Account, Book, Fill, NewOrder, Order, Position
from demo.exchange.market import COINS, Coin, Market


class BadRequest(Exception):
    """The body does not have the shape of the API; the text says what is wrong and where."""


def number(value: Decimal) -> str:
    """A decimal the way the API writes it: no exponent, no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if text not in ("-0", "") else "0"


def decimal(value: object, where: str) -> Decimal:
    """Reads a decimal string. Raises BadRequest naming the field."""
    if not isinstance(value, str):
        raise BadRequest(f"{where}: must be a decimal string, got {value!r}")
    try:
        result = Decimal(value)
    except InvalidOperation:
        raise BadRequest(f"{where}: {value!r} is not a decimal number") from None
    if not result.is_finite():
        raise BadRequest(f"{where}: {value!r} is not a finite number")
    return result


def asset(value: object, where: str) -> str:
    """The coin of an asset id. Raises BadRequest."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(COINS):
        raise BadRequest(f"{where}: {value!r} is not an asset id (0 to {len(COINS) - 1})")
    return COINS[value].name


def read_order(raw: object, where: str) -> NewOrder:
    """One element of `action.orders`: {a, b, p, s, r, t: {limit: {tif}}, c?}. Raises BadRequest."""
    if not isinstance(raw, dict):
        raise BadRequest(f"{where}: must be an object")
    kind = raw.get("t")
    limit = kind.get("limit") if isinstance(kind, dict) else None
    tif = limit.get("tif") if isinstance(limit, dict) else None
    if tif not in ("Ioc", "Gtc"):
        raise BadRequest(f"{where}.t.limit.tif: must be Ioc or Gtc, got {tif!r}")
    if not isinstance(raw.get("b"), bool) or not isinstance(raw.get("r"), bool):
        raise BadRequest(f"{where}: b (buy) and r (reduce only) must be true or false")
    cloid = raw.get("c")
    if cloid is not None and not isinstance(cloid, str):
        raise BadRequest(f"{where}.c: must be a string")
    return NewOrder(
        coin=asset(raw.get("a"), f"{where}.a"),
        side="B" if raw["b"] else "A",
        size=decimal(raw.get("s"), f"{where}.s"),
        limit=decimal(raw.get("p"), f"{where}.p"),
        tif=tif,
        reduce_only=raw["r"],
        cloid=cloid,
    )


def meta() -> dict[str, Any]:
    """Answer of `meta`."""
    universe = [{"name": c.name, "szDecimals": c.size_decimals, "maxLeverage": c.max_leverage} for c in COINS]
    return {"universe": universe}


def all_mids(market: Market) -> dict[str, str]:
    """Answer of `allMids`."""
    return {coin.name: number(market.mid(coin.name)) for coin in COINS}


def clearinghouse_state(account: Account, market: Market, now_ms: int) -> dict[str, Any]:
    """Answer of `clearinghouseState`: positions, margin summary, time."""
    held = [(coin, account.positions[coin.name]) for coin in COINS if coin.name in account.positions]
    notional, unrealised, margin = Decimal(0), Decimal(0), Decimal(0)
    for coin, position in held:
        value = abs(position.size) * market.mid(coin.name)
        notional, margin = notional + value, margin + value / coin.max_leverage
        unrealised += (market.mid(coin.name) - position.entry) * position.size
    summary = {
        "accountValue": number(account.cash + unrealised),
        "totalNtlPos": number(notional),
        "totalRawUsd": number(account.cash),
        "totalMarginUsed": number(margin),
    }
    return {
        "assetPositions": [{"type": "oneWay", "position": _position(c, p, market.mid(c.name))} for c, p in held],
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "withdrawable": number(account.cash),
        "time": now_ms,
    }


def _position(coin: Coin, held: Position, mid: Decimal) -> dict[str, Any]:
    value, pnl = abs(held.size) * mid, (mid - held.entry) * held.size
    margin = value / coin.max_leverage
    return {
        "coin": coin.name,
        "szi": number(held.size),
        "entryPx": number(held.entry),
        "positionValue": number(value),
        "unrealizedPnl": number(pnl),
        "returnOnEquity": number(round(pnl / margin, 6)) if margin else "0",
        "leverage": {"type": "cross", "value": coin.max_leverage},
        "liquidationPx": None,
        "marginUsed": number(margin),
        "maxLeverage": coin.max_leverage,
        "cumFunding": {"allTime": "0", "sinceOpen": "0", "sinceChange": "0"},
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
        "tid": fill.tid,
    }


def order_status(account: Account, key: object) -> dict[str, Any]:
    """Answer of `orderStatus` by oid (int) or cloid (string); an executed order carries its fill."""
    oid = account.by_cloid.get(key) if isinstance(key, str) else key
    order = account.orders.get(oid) if isinstance(oid, int) else None
    if order is None:
        return {"status": "unknownOid"}
    detail: dict[str, Any] = {"order": open_order(order), "status": order.status, "statusTimestamp": order.status_ms}
    return {"status": "order", "order": detail}


def answer_info(book: Book, body: Mapping[str, Any], now_ms: int) -> Any:
    """Answers one `/info` question. Raises BadRequest for an unknown type or a missing user."""
    kind = body.get("type")
    if kind == "meta":
        return meta()
    if kind == "allMids":
        return all_mids(book.market)
    if kind == "exchangeStatus":
        return {"time": now_ms, "specialStatuses": None}
    if kind not in ("clearinghouseState", "openOrders", "userFills", "orderStatus"):
        raise BadRequest(f"type: {kind!r} is not a known question")
    user = body.get("user")
    if not isinstance(user, str) or not user:
        raise BadRequest("user: must be the account's address")
    account = book.accounts.get(user) or Account()
    if kind == "clearinghouseState":
        return clearinghouse_state(account, book.market, now_ms)
    if kind == "openOrders":
        return [open_order(order) for order in account.open_orders()]
    if kind == "orderStatus":
        return order_status(account, body.get("oid"))
    return [user_fill(fill) for fill in reversed(account.fills)]
