"""Client of the exchange: market data, account state, orders. Every number is a Decimal, every size is in coins."""

import asyncio
import time
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Literal

import aiohttp

from .signing import Signer

Side = Literal["buy", "sell"]
# A request that has not been answered by then counts as lost; the exchange itself refuses it a little later, so an
# order that was neither answered nor seen executed by EXPIRY can never execute.
REPLY_SECONDS = 0.5
EXPIRY_SECONDS = 0.6
# The exchange's rules for a price: five significant figures, and 6 - size decimals behind the point.
FIGURES = Context(prec=5, rounding=ROUND_HALF_EVEN)
PRICE_DECIMALS = 6


class ExchangeUnreachable(Exception):
    """No answer, or not one that can be read."""


class ExchangeRefused(Exception):
    """The exchange answered, and said no; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Market:
    """A market as the exchange lists it: its asset id and the decimals of a size."""

    asset: int
    size_decimals: int


@dataclass(frozen=True, slots=True)
class ExchangePosition:
    """A net position at the exchange; negative size is short, entry in USD."""

    size: Decimal
    entry: Decimal


@dataclass(frozen=True, slots=True)
class AccountState:
    """Positions and equity (USD) of the account at the exchange's time `time` (unix seconds)."""

    positions: dict[str, ExchangePosition]
    equity: Decimal
    time: float


@dataclass(frozen=True, slots=True)
class Order:
    """An immediate-or-cancel order. `limit` is the worst price in USD."""

    symbol: str
    side: Side
    size: Decimal
    limit: Decimal
    reduce_only: bool
    cloid: str


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """An order that waits in the book at `price`, or a stop that fires at market when the mid reaches `trigger`."""

    symbol: str
    side: Side
    size: Decimal
    price: Decimal
    reduce_only: bool
    cloid: str
    trigger: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """What was executed of an order."""

    symbol: str
    side: Side
    size: Decimal
    price: Decimal


class ExchangeClient:
    """One account (by its address) at the exchange, for which `signer` may act.

    The exchange's log names the signer's agent and the epoch of the tenure, which goes with every order.
    """

    def __init__(self, url: str, account: str, signer: Signer) -> None:
        self._url = url
        self._account = account
        self._signer = signer
        self._session: aiohttp.ClientSession | None = None
        self.markets: dict[str, Market] = {}

    async def open(self) -> None:
        """Makes the connection pool; to be called inside the event loop."""
        connector = aiohttp.TCPConnector(limit=16, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=REPLY_SECONDS))

    async def close(self) -> None:
        """Disconnects; every later call raises ExchangeUnreachable."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @property
    def connected(self) -> bool:
        """False once the client was closed."""
        return self._session is not None

    async def load_markets(self) -> dict[str, Market]:
        """Reads and keeps the list of markets. Raises ExchangeUnreachable."""
        answer = await self._info({"type": "meta"})
        self.markets = {m["name"]: Market(i, m["szDecimals"]) for i, m in enumerate(answer["universe"])}
        return self.markets

    async def mids(self) -> dict[str, Decimal]:
        """Mid price in USD by symbol. Raises ExchangeUnreachable."""
        return {name: Decimal(price) for name, price in (await self._info({"type": "allMids"})).items()}

    async def account_state(self) -> AccountState:
        """Positions and equity. Raises ExchangeUnreachable."""
        answer = await self._info({"type": "clearinghouseState", "user": self._account})
        rows = [row["position"] for row in answer["assetPositions"]]
        positions = {p["coin"]: ExchangePosition(Decimal(p["szi"]), Decimal(p["entryPx"])) for p in rows}
        return AccountState(positions, Decimal(answer["marginSummary"]["accountValue"]), answer["time"] / 1000)

    async def open_orders(self) -> list[dict[str, Any]]:
        """Resting orders as the exchange lists them, trigger orders too. Raises ExchangeUnreachable."""
        return list(await self._info({"type": "frontendOpenOrders", "user": self._account}))

    async def fills(self) -> list[dict[str, Any]]:
        """The account's latest executions as the exchange lists them. Raises ExchangeUnreachable."""
        return list(await self._info({"type": "userFills", "user": self._account}))

    async def place(self, order: Order, epoch: int) -> Fill:
        """Sends one order and answers its fill. Raises ExchangeRefused.

        When the reply is lost, asks the exchange what became of the order until it is known, or until it has expired
        (then ExchangeUnreachable: it was not executed, and cannot be any more, unless the exchange is still
        unreachable at that time).
        """
        expires = time.time() + EXPIRY_SECONDS
        body = self._body(order, order.limit, {"limit": {"tif": "Ioc"}})
        try:
            status = (await self._exchange({"type": "order", "orders": [body], "grouping": "na"}, epoch, expires))[0]
        except ExchangeUnreachable:
            return await self._find_fill(order, expires)
        if "filled" not in status:
            raise ExchangeRefused(status.get("error") or f"unexpected answer {status!r}")
        filled = status["filled"]
        return Fill(order.symbol, order.side, Decimal(filled["totalSz"]), Decimal(filled["avgPx"]))

    async def rest(self, order: RestingOrder, epoch: int) -> int:
        """Sends one order that rests; answers its id at the exchange. Raises ExchangeRefused.

        ExchangeUnreachable when the reply is lost: it may rest then, and a read of the open orders shows it.
        """
        kind: dict[str, Any] = {"limit": {"tif": "Gtc"}}
        if order.trigger is not None:
            trigger = self._price(order.symbol, order.trigger)
            kind = {"trigger": {"isMarket": True, "triggerPx": trigger, "tpsl": "sl"}}
        action = {"type": "order", "orders": [self._body(order, order.price, kind)], "grouping": "na"}
        status = (await self._exchange(action, epoch, time.time() + EXPIRY_SECONDS))[0]
        if not isinstance(status, dict) or "resting" not in status:
            detail = status.get("error") if isinstance(status, dict) else None
            raise ExchangeRefused(detail or f"unexpected answer {status!r}")
        return int(status["resting"]["oid"])

    async def cancel(self, orders: list[dict[str, Any]], epoch: int) -> int:
        """Cancels resting orders (rows of `open_orders`); answers how many were. Raises ExchangeUnreachable."""
        if not orders:
            return 0
        cancels = [{"a": self._asset(order["coin"]), "o": order["oid"]} for order in orders]
        action = {"type": "cancel", "cancels": cancels}
        return (await self._exchange(action, epoch, time.time() + EXPIRY_SECONDS)).count("success")

    async def _find_fill(self, order: Order, expires: float) -> Fill:
        while True:
            # Decided before the read: only a read begun after the expiry can say that the order never executed.
            last = time.time() > expires
            try:
                fills = await self._info({"type": "userFills", "user": self._account})
                known = [(Decimal(f["sz"]), Decimal(f["px"])) for f in fills if f["cloid"] == order.cloid]
                if known:
                    size = sum((size for size, _ in known), Decimal(0))
                    value = sum((size * price for size, price in known), Decimal(0))
                    return Fill(order.symbol, order.side, size, known[0][1] if len(known) == 1 else value / size)
            except ExchangeUnreachable:
                pass
            if last:
                raise ExchangeUnreachable(f"order {order.cloid} was not answered and has expired")
            await asyncio.sleep(0.05)

    def _body(self, order: Order | RestingOrder, limit: Decimal, kind: dict[str, Any]) -> dict[str, Any]:
        """One order as the exchange reads it; the keys in the order of its documentation, as it hashes them so."""
        return {
            "a": self._asset(order.symbol),
            "b": order.side == "buy",
            "p": self._price(order.symbol, limit),
            "s": format(order.size.normalize(), "f"),
            "r": order.reduce_only,
            "t": kind,
            "c": order.cloid,
        }

    def _asset(self, symbol: str) -> int:
        if symbol not in self.markets:
            raise ExchangeRefused(f"the exchange lists no market {symbol}")
        return self.markets[symbol].asset

    def _price(self, symbol: str, price: Decimal) -> str:
        """The nearest price that the exchange accepts."""
        step = Decimal(1).scaleb(self.markets[symbol].size_decimals - PRICE_DECIMALS)
        return format(price.normalize(FIGURES).quantize(step).normalize(), "f")

    async def _exchange(self, action: dict[str, Any], epoch: int, expires: float) -> list[Any]:
        nonce, expires_ms = self._signer.nonce(), int(expires * 1000)
        body = {
            "action": action,
            "nonce": nonce,
            "signature": self._signer.sign(action, nonce, expires_ms),
            "vaultAddress": None,
            "expiresAfter": expires_ms,
        }
        answer = await self._post("/exchange", body, {"X-Epoch": str(epoch)})
        if answer["status"] != "ok":
            raise ExchangeRefused(str(answer["response"]))
        return list(answer["response"]["data"]["statuses"])

    async def _info(self, question: dict[str, Any]) -> Any:
        return await self._post("/info", question, {})

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
        if self._session is None:
            raise ExchangeUnreachable("disconnected from the exchange")
        try:
            async with self._session.post(self._url + path, json=body, headers=headers) as response:
                if response.status != 200:
                    raise ExchangeUnreachable(f"{path} answered {response.status}: {(await response.text())[:200]}")
                return await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ExchangeUnreachable(f"{path}: {type(error).__name__} {error}".rstrip()) from error
