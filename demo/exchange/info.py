"""Answers to the questions of `/info`."""

from collections.abc import Callable, Mapping
from typing import Any

from demo.exchange import shapes
from demo.exchange.account import Account
from demo.exchange.book import Book
from demo.exchange.candles import Candles
from demo.exchange.directory import Directory
from demo.exchange.market import COIN_BY_NAME
from demo.exchange.wire import BadRequest, address, whole

# The most that one answer lists, as at the real exchange.
MOST_FILLS = 2_000
Question = Mapping[str, Any]


class Info:
    """What the exchange tells; an address that it does not know has an empty account."""

    def __init__(self, book: Book, candles: Candles, directory: Directory) -> None:
        self.book = book
        self.candles = candles
        self.directory = directory
        market = book.market
        self._questions: dict[str, Callable[[Question, int], Any]] = {
            "meta": lambda q, now: shapes.meta(),
            "metaAndAssetCtxs": lambda q, now: [shapes.meta(), shapes.asset_contexts(market)],
            "spotMeta": lambda q, now: shapes.spot_meta(),
            "spotMetaAndAssetCtxs": lambda q, now: [shapes.spot_meta(), []],
            "perpDexs": lambda q, now: [None],
            "allMids": lambda q, now: shapes.all_mids(market),
            "exchangeStatus": lambda q, now: {"time": now, "specialStatuses": None},
            "l2Book": lambda q, now: shapes.l2_book(book.depth, _coin(q), now),
            "candleSnapshot": lambda q, now: candles.answer(q.get("req")),
            "clearinghouseState": lambda q, now: shapes.clearinghouse_state(self._account(q), market, now),
            "spotClearinghouseState": lambda q, now: self._user(q) and {"balances": []},
            "openOrders": lambda q, now: [
                shapes.open_order(order) for order in self._account(q).open_orders() if not order.armed
            ],
            "frontendOpenOrders": lambda q, now: [
                shapes.frontend_order(order) for order in self._account(q).open_orders()
            ],
            "orderStatus": lambda q, now: shapes.order_status(self._account(q), _order_key(q)),
            "userFills": lambda q, now: self._fills(q, 0, now),
            "userFillsByTime": lambda q, now: self._fills(q, whole(q.get("startTime"), "startTime"), now),
            "userFees": lambda q, now: self._user(q) and shapes.user_fees(),
            "userRole": lambda q, now: self._role(self._user(q)),
            "extraAgents": lambda q, now: self._agents(self._user(q), now),
        }

    def answer(self, question: Question, now_ms: int) -> Any:
        """Answers one question. Raises BadRequest for an unknown type, dex or coin, or a missing user."""
        kind = question.get("type")
        answer = self._questions.get(kind) if isinstance(kind, str) else None
        if answer is None:
            raise BadRequest(f"type: {kind!r} is not a known question")
        if question.get("dex"):
            raise BadRequest(f"dex: there is no perp dex {question['dex']!r}; perpDexs lists them")
        return answer(question, now_ms)

    def _user(self, question: Question) -> str:
        return address(question.get("user"), "user")

    def _account(self, question: Question) -> Account:
        name = self.directory.name_of(self._user(question))
        return self.book.accounts.get(name or "") or Account()

    def _fills(self, question: Question, start: int, now_ms: int) -> list[dict[str, Any]]:
        end = question.get("endTime")
        last = now_ms if end is None else whole(end, "endTime")
        fills = [fill for fill in self._account(question).fills if start <= fill.at_ms <= last]
        return [shapes.user_fill(fill) for fill in reversed(fills[-MOST_FILLS:])]

    def _role(self, user: str) -> dict[str, Any]:
        if self.directory.name_of(user) is not None:
            return {"role": "user"}
        master = self.directory.master_of(user)
        return {"role": "agent", "data": {"user": master}} if master is not None else {"role": "missing"}

    def _agents(self, user: str, now_ms: int) -> list[dict[str, Any]]:
        name = self.directory.name_of(user)
        agents = self.directory.agents_of(name) if name is not None else {}
        # Agents of the file never run out; a date is part of the answer's shape.
        until = now_ms + 180 * 86_400_000
        return [{"name": agent, "address": where, "validUntil": until} for where, agent in agents.items()]


def _coin(question: Question) -> str:
    coin = question.get("coin")
    if not isinstance(coin, str) or coin not in COIN_BY_NAME:
        raise BadRequest(f"coin: {coin!r} is not a known coin")
    return coin


def _order_key(question: Question) -> int | str:
    key = question.get("oid")
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise BadRequest("oid: must be an order id or a client order id")
    return key
