"""What the exchange does with an action: who signed it, whether it may be done, and the log of what was done."""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from demo.exchange.account import Fill, NewOrder, Order
from demo.exchange.book import Book, Event, OrderRejected
from demo.exchange.candles import Candles
from demo.exchange.directory import Directory, UnknownSigner, Writer
from demo.exchange.info import Info
from demo.exchange.journal import Journal, save, snapshot
from demo.exchange.market import COIN_BY_NAME
from demo.exchange.nonces import BadNonce, Nonces
from demo.exchange.signatures import BadSignature, digest, recover
from demo.exchange.wire import (
    BadRequest,
    Envelope,
    asset,
    flag,
    number,
    read_batch,
    read_cancel,
    read_cancel_by_cloid,
    read_envelope,
    read_order,
    whole,
)

SCHEDULE_AHEAD_MS = 5_000
FAULT = "fault"


class Refused(Exception):
    """The action as a whole is refused; the text is the exchange's answer."""


class Exchange:
    """Accounts, prices and log; every order and cancel is logged before it is answered."""

    def __init__(self, book: Book, journal: Journal, state_path: Path, directory: Directory, nonces: Nonces) -> None:
        self.book = book
        self.journal = journal
        self.state_path = state_path
        self.directory = directory
        self.nonces = nonces
        self.candles = Candles()
        self.info = Info(book, self.candles, directory)
        self.started_at = time.time()
        self._saved_offset = -1
        self._acts: dict[str, Callable[[dict[str, Any], Writer, int | None], Any]] = {
            "order": self._orders,
            "cancel": self._cancels,
            "cancelByCloid": self._cancels_by_cloid,
            "scheduleCancel": self._schedule,
            "updateLeverage": self._leverage,
        }

    def exchange(self, body: dict[str, Any], epoch: int | None) -> dict[str, Any]:
        """Carries out one signed `/exchange` body; answers `{"status": "ok", …}` or `{"status": "err", …}`.

        Raises BadRequest when the body does not have the shape of the API.
        """
        envelope = read_envelope(body)
        kind = envelope.action["type"]
        if kind not in self._acts:
            raise BadRequest(f"action.type: {kind!r} is not known here; known are {', '.join(self._acts)}")
        try:
            writer = self._authorise(envelope)
            return self.act(envelope.action, writer, epoch)
        except (Refused, UnknownSigner, BadNonce) as error:
            return {"status": "err", "response": str(error)}

    def act(self, action: dict[str, Any], writer: Writer, epoch: int | None) -> dict[str, Any]:
        """Carries out an action in the name of a writer whose signature was checked. Raises BadRequest, Refused."""
        statuses = self._acts[action["type"]](action, writer, epoch)
        if statuses is None:
            return {"status": "ok", "response": {"type": "default"}}
        kind = "order" if action["type"] == "order" else "cancel"
        return {"status": "ok", "response": {"type": kind, "data": {"statuses": statuses}}}

    def inject(self, account: str, coin: str, change: Decimal) -> None:
        """A fill that no client knows of: signed size in coins, at the mid. For faults."""
        now = _now()
        order, fills = self.book.inject(account, coin, change, int(now * 1000))
        self._log(now, Writer(account, FAULT), None, "order", order_fields(order, fills))

    def tick(self) -> None:
        """Moves the market by one step, and does and logs what happens by itself."""
        self.book.market.step()
        now = _now()
        now_ms = int(now * 1000)
        self.candles.tick(self.book.market, now_ms)
        for name, account in self.book.accounts.items():
            if account.scheduled_ms is not None and account.scheduled_ms <= now_ms:
                self._log(now, Writer(name, "schedule"), None, "schedule", {"time": None})
        for event in self.book.advance(now_ms):
            self._log_event(now, event)

    def save(self) -> None:
        """Writes the snapshot when anything was logged since the last one."""
        if self.journal.offset != self._saved_offset:
            save(self.state_path, snapshot(self.book, self.nonces, self.journal.offset))
            self._saved_offset = self.journal.offset

    def _authorise(self, envelope: Envelope) -> Writer:
        """Who signed, when it may act with this nonce now. Raises UnknownSigner, BadNonce, Refused, BadRequest."""
        try:
            message = digest(envelope.action, envelope.vault, envelope.nonce, envelope.expires)
        except (ValueError, OverflowError) as error:
            raise BadRequest(f"action: cannot be packed ({error})") from None
        try:
            signer = recover(message, envelope.signature)
        except BadSignature:
            raise Refused("Unable to recover signer.") from None
        writer = self.directory.writer(signer, envelope.vault)
        now_ms = int(time.time() * 1000)
        if envelope.expires is not None and now_ms > envelope.expires:
            raise Refused("Action expired.")
        self.nonces.use(signer, envelope.nonce, now_ms)
        return writer

    def _orders(self, action: dict[str, Any], writer: Writer, epoch: int | None) -> list[Any]:
        grouping = action.get("grouping", "na")
        # A priority fee in place of the grouping is allowed by the API; it changes nothing here.
        grouping = "na" if isinstance(grouping, dict) else grouping
        orders = [read_order(raw, f"action.orders[{i}]", grouping) for i, raw in enumerate(read_batch(action))]
        return [self._order(order, writer, epoch) for order in orders]

    def _cancels(self, action: dict[str, Any], writer: Writer, epoch: int | None) -> list[Any]:
        cancels = [read_cancel(raw, f"action.cancels[{i}]") for i, raw in enumerate(read_batch(action))]
        return [self._cancel(coin, oid, writer, epoch) for coin, oid in cancels]

    def _cancels_by_cloid(self, action: dict[str, Any], writer: Writer, epoch: int | None) -> list[Any]:
        cancels = [read_cancel_by_cloid(raw, f"action.cancels[{i}]") for i, raw in enumerate(read_batch(action))]
        return [self._cancel(coin, cloid, writer, epoch) for coin, cloid in cancels]

    def _schedule(self, action: dict[str, Any], writer: Writer, epoch: int | None) -> None:
        at, now = action.get("time"), _now()
        if at is not None and whole(at, "action.time") < now * 1000 + SCHEDULE_AHEAD_MS:
            raise Refused("Scheduled cancel time too early, must be at least 5 seconds from now.")
        self.book.account(writer.account).scheduled_ms = at
        self._log(now, writer, epoch, "schedule", {"time": at})

    def _leverage(self, action: dict[str, Any], writer: Writer, epoch: int | None) -> None:
        coin = COIN_BY_NAME[asset(action.get("asset"), "action.asset")]
        times, cross = whole(action.get("leverage"), "action.leverage"), flag(action.get("isCross"), "action.isCross")
        if not 1 <= times <= coin.max_leverage:
            raise Refused(f"Invalid leverage value. {coin.name} allows 1 to {coin.max_leverage}.")
        self.book.account(writer.account).leverage[coin.name] = (times, cross)
        fields = {"coin": coin.name, "leverage": times, "cross": cross}
        self._log(_now(), writer, epoch, "leverage", fields)

    def _order(self, request: NewOrder, writer: Writer, epoch: int | None) -> dict[str, Any]:
        now = _now()
        try:
            order, fills = self.book.place(writer.account, request, int(now * 1000))
        except OrderRejected as error:
            fields = request_fields(request) | {"oid": None, "sz": number(request.size), "px": number(request.limit)}
            self._log(now, writer, epoch, "order", fields | {"status": f"error: {error}"})
            return {"error": str(error)}
        self._log(now, writer, epoch, "order", order_fields(order, fills))
        for fill in fills:
            self.candles.trade(fill.coin, fill.size)
        if order.status == "open":
            resting: dict[str, Any] = {"oid": order.oid}
            return {"resting": resting if request.cloid is None else resting | {"cloid": request.cloid}}
        size, price = total(fills)
        filled = {"totalSz": number(size), "avgPx": number(price), "oid": order.oid}
        return {"filled": filled if request.cloid is None else filled | {"cloid": request.cloid}}

    def _cancel(self, coin: str, key: int | str, writer: Writer, epoch: int | None) -> Any:
        now = _now()
        fields: dict[str, Any] = {"oid": key if isinstance(key, int) else None, "coin": coin}
        try:
            order = self.book.cancel(writer.account, coin, key, int(now * 1000))
        except OrderRejected as error:
            self._log(now, writer, epoch, "cancel", fields | {"status": f"error: {error}"})
            return {"error": str(error)}
        self._log(now, writer, epoch, "cancel", cancel_fields(order))
        return "success"

    def _log_event(self, now: float, event: Event) -> None:
        nobody = {"writer": None, "epoch": None}
        head = {"at": now, "account": event.account, **nobody, "action": event.kind}
        for fill in event.fills:
            self.candles.trade(fill.coin, fill.size)
        fields = cancel_fields(event.order) if event.kind == "cancel" else order_fields(event.order, event.fills)
        self.journal.append(head | fields)

    def _log(self, at: float, writer: Writer, epoch: int | None, action: str, fields: dict[str, Any]) -> None:
        head = {"at": at, "account": writer.account, "writer": writer.name, "epoch": epoch, "action": action}
        self.journal.append(head | fields)


def _now() -> float:
    """Unix seconds, rounded as the log has them: a replay must come to the same milliseconds."""
    return round(time.time(), 6)


def total(fills: list[Fill] | tuple[Fill, ...]) -> tuple[Decimal, Decimal]:
    """Size in coins and average price in USD of several fills; the price is rounded to eight decimals."""
    size = sum((fill.size for fill in fills), Decimal(0))
    if len(fills) == 1:
        return size, fills[0].price
    value = sum((fill.size * fill.price for fill in fills), Decimal(0))
    return size, round(value / size, 8) if size else Decimal(0)


def request_fields(request: NewOrder) -> dict[str, Any]:
    """The part of a log entry that says what was asked for."""
    fields: dict[str, Any] = {"cloid": request.cloid, "coin": request.coin, "side": request.side}
    fields |= {"tif": request.tif, "reduce_only": request.reduce_only, "limit": number(request.limit)}
    if request.trigger is not None:
        trigger = request.trigger
        fields["trigger"] = [number(trigger.price), trigger.is_market, trigger.tpsl, request.position_tpsl]
    return fields


def order_fields(order: Order, fills: list[Fill] | tuple[Fill, ...]) -> dict[str, Any]:
    """A log entry's description of an order and its fills now: `sz` and `px` of what was filled, else of the order."""
    size, price = total(fills) if fills else (order.request.size, order.request.limit)
    status = "resting" if order.status == "open" else order.status
    return (
        {"oid": order.oid}
        | request_fields(order.request)
        | {
            "sz": number(size),
            "px": number(price),
            "orig_sz": number(order.request.size),
            "remaining": number(order.remaining),
            "fills": [[number(fill.size), number(fill.price)] for fill in fills],
            "status": "filled" if status == "canceled" and fills else status,
        }
    )


def cancel_fields(order: Order) -> dict[str, Any]:
    """A log entry's description of an order that was taken off the book."""
    what = {"oid": order.oid, "coin": order.request.coin, "side": order.request.side}
    return what | {"sz": number(order.remaining), "px": number(order.request.limit), "status": order.status}
