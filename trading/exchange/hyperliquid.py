"""Hyperliquid, with the official SDK's signatures and wire forms.

What of the SDK is left aside, and why: its requests wait for ever by default; ``market_close`` answers None when it did
nothing; a 4xx answer without ``code`` ends in a KeyError; its nonces collide between threads; it reads the markets over
the network before it sends anything; it makes floats of amounts; and ``requests`` takes a millisecond of computing for
each call, of which a stop makes several at once. API: hyperliquid.gitbook.io, "For developers".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeVar

import certifi
import urllib3
from eth_account import Account
from hyperliquid.utils.constants import MAINNET_API_URL
from hyperliquid.utils.signing import order_wires_to_order_action, sign_l1_action

from trading.exchange import nonces
from trading.exchange.base import (
    Balance,
    CancelResult,
    CloseResult,
    ExchangeError,
    ExchangeRefused,
    ExchangeUnreachable,
    Market,
    Markets,
    OpenOrder,
    Position,
)
from trading.exchange.rules import whole_size, wire, worst_price

EXPIRES_SECONDS = 5.0
"""A write that reaches the exchange later than this is refused by it."""
CONNECTING = 0.4
"""Share of a request's time that connecting may take."""
LARGEST_ANSWER = 8 * 1024 * 1024
SPOT_OFFSET, DEX_OFFSET, DEX_STEP = 10_000, 110_000, 10_000
"""Asset ids of spot pairs, and of the dexs that others run."""
FIRST_SPOT_PAIR = "PURR/USDC"
"""The only spot pair that is not named @INDEX."""
T = TypeVar("T")


class Hyperliquid:
    """See ``base.Exchange``. ``account``: whose orders and positions these are; ``key``: of an API wallet, as hex.

    ``markets``: as ``known_markets`` gave them, so that nothing is read before the first write.
    """

    def __init__(
        self, url: str, account: str, key: str, *, vault: str = "", timeout: float = 1.5, markets: Markets | None = None
    ) -> None:
        self.timeout = timeout
        """Seconds of one request, connecting included."""
        self._url = url.rstrip("/")
        # Nothing is tried again by itself, and no redirect is followed: both could carry out a write twice.
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, ca_certs=certifi.where())
        self._user = vault or account
        self._vault = vault or None
        try:
            self._wallet = Account.from_key(key)
        except Exception:
            # Not chained: the text of the original could hold the key.
            raise ExchangeError("the key of the exchange account is not 32 bytes in hex") from None
        self._sections: tuple[str, ...] = ()
        self._markets: dict[str, Market] = {}
        self._outdated = False
        if markets:
            self._keep(markets)

    def load_markets(self) -> Markets:
        """Read the markets of every section; in a form for ``markets`` of a later one."""
        answer = self._info("perpDexs")
        dexs = self._read(lambda: [str(dex["name"]) for dex in answer if dex])
        listed = [("", 0), *((name, DEX_OFFSET + number * DEX_STEP) for number, name in enumerate(dexs))]
        found: Markets = {"sections": []}
        for name, offset in listed:
            meta = self._info("meta", dex=name)
            rows = self._read(partial(_universe, meta))
            found["sections"].append({"name": name, "offset": offset, "universe": rows})
        self._keep(found)
        return found

    def sections(self) -> tuple[str, ...]:
        """See ``Exchange.sections``."""
        if not self._sections:
            self.load_markets()
        return self._sections

    def markets(self) -> dict[str, Market]:
        """See ``Exchange.markets``."""
        if not self._markets:
            self.load_markets()
        return self._markets

    def open_orders(self, section: str = "") -> list[OpenOrder]:
        """See ``Exchange.open_orders``."""
        rows = self._info("frontendOpenOrders", user=self._user, dex=section)
        return self._read(lambda: [_order(row, section) for row in rows])

    def positions(self, section: str = "") -> list[Position]:
        """See ``Exchange.positions``."""
        if self._outdated:
            # A coin that is not in the list was listed since: asked for here, not on the way of a write.
            self.load_markets()
        answer = self._info("clearinghouseState", user=self._user, dex=section)
        found = self._read(lambda: [_position(row["position"], section) for row in answer["assetPositions"]])
        return [position for position in found if position.size]

    def balance(self, section: str = "") -> Balance:
        """See ``Exchange.balance``."""
        answer = self._info("clearinghouseState", user=self._user, dex=section)
        return self._read(lambda: _balance(answer["marginSummary"]))

    def mids(self, section: str = "") -> dict[str, Decimal]:
        """See ``Exchange.mids``."""
        answer = self._info("allMids", dex=section)
        return self._read(lambda: {str(coin): Decimal(price) for coin, price in answer.items()})

    def cancel(self, orders: Sequence[OpenOrder]) -> list[CancelResult]:
        """See ``Exchange.cancel``."""
        assets = [self._asset(order.coin) for order in orders]
        pairs = list(zip(assets, orders, strict=True))
        cancels = [{"a": asset, "o": order.oid} for asset, order in pairs if asset is not None]
        statuses = iter(self._batch({"type": "cancel", "cancels": cancels}, len(cancels)))
        found = []
        for asset, order in pairs:
            status = next(statuses) if asset is not None else {"error": f"{order.coin} is not in the list of markets"}
            refused = _error(status)
            found.append(CancelResult(order.oid, order.coin, "refused" if refused else "done", refused))
        return found

    def close(
        self, positions: Sequence[Position], *, slippage: Decimal, mids: Mapping[str, Decimal] | None = None
    ) -> list[CloseResult]:
        """See ``Exchange.close``."""
        wires = [self._closing(position, slippage, mids or {}) for position in positions]
        orders: list[Any] = [order for order in wires if not isinstance(order, str)]
        statuses = iter(self._batch(order_wires_to_order_action(orders), len(orders)))
        return [
            CloseResult(position.coin, "refused", detail=order)
            if isinstance(order, str)
            else _close_result(position.coin, Decimal(order["s"]), next(statuses))
            for position, order in zip(positions, wires, strict=True)
        ]

    def arm_dead_man(self, at: float | None) -> None:
        """See ``Exchange.arm_dead_man``. The exchange refuses a time that is nearer than 5 seconds."""
        self._act({"type": "scheduleCancel"} | ({} if at is None else {"time": int(at * 1000)}))

    def _closing(self, position: Position, slippage: Decimal, mids: Mapping[str, Decimal]) -> dict[str, Any] | str:
        """The order that closes a position, or why there can be none."""
        market, price = self._markets.get(position.coin), position.mark or mids.get(position.coin)
        if market is None:
            self._outdated = True
            return f"{position.coin} is not in the list of markets"
        if not price or price <= 0:
            return f"no price of {position.coin} is known"
        buys = position.size < 0
        limit = worst_price(price, buys=buys, slippage=slippage, size_decimals=market.size_decimals)
        size = wire(whole_size(position.size, market.size_decimals))
        kind = {"limit": {"tif": "Ioc"}}
        return {"a": market.asset, "b": buys, "p": wire(limit), "s": size, "r": True, "t": kind}

    def _asset(self, coin: str) -> int | None:
        if coin.startswith("@") and coin[1:].isdigit():
            return SPOT_OFFSET + int(coin[1:])
        if coin == FIRST_SPOT_PAIR:
            return SPOT_OFFSET
        market = self._markets.get(coin)
        self._outdated = self._outdated or market is None
        return None if market is None else market.asset

    def _keep(self, markets: Markets) -> None:
        self._markets = {
            str(coin): Market(int(section["offset"]) + index, int(decimals))
            for section in markets["sections"]
            for index, (coin, decimals) in enumerate(section["universe"])
        }
        self._sections = tuple(str(section["name"]) for section in markets["sections"])
        self._outdated = False

    def _batch(self, action: dict[str, Any], length: int) -> list[Any]:
        """The statuses of a batch; none for an empty one, which the exchange would refuse."""
        if not length:
            return []
        answer = self._act(action)
        statuses = self._read(lambda: list(answer["data"]["statuses"]))
        if len(statuses) == 1 < length and (text := _error(statuses[0])):
            raise ExchangeRefused(text)  # one text for the whole batch
        if len(statuses) != length:
            raise ExchangeUnreachable(f"{length} were sent, and the exchange answered about {len(statuses)}")
        return statuses

    def _act(self, action: dict[str, Any], *, again: bool = True) -> Any:
        """Sign and send; what was answered for an action that was taken."""
        nonce = nonces.following(self._wallet.address)
        expires = int((time.time() + EXPIRES_SECONDS) * 1000)
        mainnet = self._url == MAINNET_API_URL
        signature = sign_l1_action(self._wallet, action, self._vault, nonce, expires, mainnet)
        body = {"action": action, "nonce": nonce, "signature": signature}
        answer = self._post("/exchange", body | {"vaultAddress": self._vault, "expiresAfter": expires})
        if not isinstance(answer, dict) or answer.get("status") != "ok":
            text = str(answer.get("response", answer) if isinstance(answer, dict) else answer)[:300]
            if again and "nonce" in text.lower():  # another process took the same one: it was not carried out
                return self._act(action, again=False)
            raise ExchangeRefused(text)
        return answer.get("response")

    def _info(self, kind: str, **question: Any) -> Any:
        return self._post("/info", {"type": kind, **question})

    def _read(self, take: Callable[[], T]) -> T:
        try:
            return take()
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise ExchangeUnreachable(f"the exchange answered something unknown: {error!r}") from None

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        deadline = time.monotonic() + self.timeout
        connecting = self.timeout * CONNECTING
        try:
            response = self._pool.request(
                "POST",
                self._url + path,
                body=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
                timeout=urllib3.Timeout(connect=connecting, read=self.timeout - connecting),
                preload_content=False,
                redirect=False,
            )
            content = _limited(response, path, deadline)
        except urllib3.exceptions.HTTPError as error:
            raise ExchangeUnreachable(f"{path}: {_why(error, self.timeout)}") from None
        text = content[:200].decode(errors="replace").strip()
        if 300 <= response.status < 400 or response.status >= 500:
            raise ExchangeUnreachable(f"{path} answered {response.status}: {text}")
        if response.status != 200:
            raise ExchangeRefused(f"{path} answered {response.status}: {text}", response.status)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ExchangeUnreachable(f"{path} did not answer JSON: {text}") from None


def warm_up() -> None:
    """Sign something that is thrown away: the first signature of a process loads what the others use."""
    sign_l1_action(Account.create(), {"type": "scheduleCancel"}, None, 1, 1, False)


def _limited(response: urllib3.BaseHTTPResponse, path: str, deadline: float) -> bytes:
    """The body; each piece may take the whole time, all of them together may not take more."""
    content = bytearray()
    try:
        for piece in response.stream(64 * 1024):
            content += piece
            if len(content) > LARGEST_ANSWER or time.monotonic() > deadline:
                raise ExchangeUnreachable(f"{path} did not finish its answer in time")
    except BaseException:
        response.close()  # what is half read must not be used again
        raise
    response.release_conn()
    return bytes(content)


def _why(error: urllib3.exceptions.HTTPError, timeout: float) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError) and "refused" in str(error).lower():
        return "nobody listens there"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"no answer within {timeout:g} s"
    return f"the connection broke ({type(error).__name__})"


def _universe(meta: Any) -> list[list[Any]]:
    return [[str(row["name"]), int(row["szDecimals"])] for row in meta["universe"]]


def _order(row: dict[str, Any], section: str) -> OpenOrder:
    trigger = bool(row.get("isTrigger"))
    price = row.get("triggerPx") if trigger else row["limitPx"]
    return OpenOrder(
        oid=int(row["oid"]),
        coin=str(row["coin"]),
        side="buy" if row["side"] == "B" else "sell",
        size=Decimal(row["sz"]),
        price=Decimal(price or row["limitPx"]),
        reduce_only=bool(row.get("reduceOnly")),
        trigger=trigger,
        kind=str(row.get("orderType") or "Limit"),
        placed_at=float(row.get("timestamp") or 0) / 1000,
        section=section,
    )


def _position(row: dict[str, Any], section: str) -> Position:
    size = Decimal(row["szi"])
    value, entry, pnl = row.get("positionValue"), row.get("entryPx"), row.get("unrealizedPnl")
    return Position(
        coin=str(row["coin"]),
        size=size,
        entry=Decimal(entry) if entry else None,
        mark=Decimal(value) / abs(size) if value and size else None,
        pnl=Decimal(pnl) if pnl else None,
        section=section,
    )


def _balance(row: dict[str, Any]) -> Balance:
    return Balance(Decimal(row["accountValue"]), Decimal(row["totalMarginUsed"]))


def _error(status: Any) -> str:
    """Why an element was refused; empty when it was not."""
    if isinstance(status, dict) and "error" in status:
        return str(status["error"])[:300] or "refused"
    return ""


def _close_result(coin: str, asked: Decimal, status: Any) -> CloseResult:
    if text := _error(status):
        return CloseResult(coin, "refused", detail=text)
    filled = status.get("filled") if isinstance(status, dict) else None
    try:
        size, price = Decimal(filled["totalSz"]), Decimal(filled["avgPx"])  # type: ignore[index]
    except (KeyError, TypeError, InvalidOperation):
        return CloseResult(coin, "lost", detail=f"the exchange answered something unknown: {str(status)[:100]}")
    if size < asked:
        return CloseResult(coin, "partial", size, price, f"{wire(size)} of {wire(asked)}")
    return CloseResult(coin, "done", size, price)
