"""Client of the exchange: market data, account state, orders. Every number is a Decimal, every size is in coins."""

import asyncio
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import aiohttp

Side = Literal["buy", "sell"]
# A request that has not been answered by then counts as lost; the exchange itself refuses it a little later, so an
# order that was neither answered nor seen executed by EXPIRY can never execute.
REPLY_SECONDS = 0.5
EXPIRY_SECONDS = 0.6


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
class Fill:
    """What was executed of an order."""

    symbol: str
    side: Side
    size: Decimal
    price: Decimal


class ExchangeClient:
    """One account at the exchange. `writer` and the epoch of the tenure go with every order into its log."""

    def __init__(self, url: str, account: str, writer: str) -> None:
        self._url = url
        self._account = account
        self._writer = writer
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
        """Resting orders as the exchange lists them. Raises ExchangeUnreachable."""
        return list(await self._info({"type": "openOrders", "user": self._account}))

    async def place(self, order: Order, epoch: int) -> Fill:
        """Sends one order and answers its fill. Raises ExchangeRefused.

        When the reply is lost, asks the exchange what became of the order until it is known, or until it has expired
        (then ExchangeUnreachable: it was not executed, and cannot be any more, unless the exchange is still
        unreachable at that time).
        """
        expires = time.time() + EXPIRY_SECONDS
        body = {
            "a": self._asset(order.symbol),
            "b": order.side == "buy",
            "p": format(order.limit, "f"),
            "s": format(order.size, "f"),
            "r": order.reduce_only,
            "t": {"limit": {"tif": "Ioc"}},
            "c": order.cloid,
        }
        try:
            status = (await self._exchange({"type": "order", "orders": [body], "grouping": "na"}, epoch, expires))[0]
        except ExchangeUnreachable:
            return await self._find_fill(order, expires)
        if "filled" not in status:
            raise ExchangeRefused(status.get("error") or f"unexpected answer {status!r}")
        filled = status["filled"]
        return Fill(order.symbol, order.side, Decimal(filled["totalSz"]), Decimal(filled["avgPx"]))

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
                known = next((fill for fill in fills if fill["cloid"] == order.cloid), None)
                if known is not None:
                    return Fill(order.symbol, order.side, Decimal(known["sz"]), Decimal(known["px"]))
            except ExchangeUnreachable:
                pass
            if last:
                raise ExchangeUnreachable(f"order {order.cloid} was not answered and has expired")
            await asyncio.sleep(0.05)

    def _asset(self, symbol: str) -> int:
        if symbol not in self.markets:
            raise ExchangeRefused(f"the exchange lists no market {symbol}")
        return self.markets[symbol].asset

    async def _exchange(self, action: dict[str, Any], epoch: int, expires: float) -> list[Any]:
        body = {
            "action": action,
            "nonce": time.time_ns() // 1_000_000,
            "signature": None,
            "vaultAddress": self._account,
            "expiresAfter": int(expires * 1000),
        }
        answer = await self._post("/exchange", body, {"X-Writer": self._writer, "X-Epoch": str(epoch)})
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
