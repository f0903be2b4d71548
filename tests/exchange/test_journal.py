"""The log is the truth: whatever happened, replaying it gives the same accounts, with a snapshot or without."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from demo.exchange.book import Book
from demo.exchange.depth import Thin
from demo.exchange.directory import Directory, Writer
from demo.exchange.exchange import Exchange, Refused
from demo.exchange.journal import Journal, read_log, restore
from demo.exchange.market import COINS, Market
from demo.exchange.nonces import Nonces
from demo.exchange.shapes import frontend_order, user_fill
from demo.exchange.signatures import sign
from demo.exchange.wire import number
from opsconsole.local.exchange_keys import ExchangeKeys
from tests.exchange.processes import PaperExchange

STEPS = 1_500
KINDS = ({"limit": {"tif": "Gtc"}}, {"limit": {"tif": "Ioc"}}, {"limit": {"tif": "Alo"}}, "trigger", "trigger")


def random_order(chance: random.Random, book: Book) -> dict[str, Any]:
    """An order near the price; some are refused."""
    asset = chance.randrange(4)
    coin = COINS[asset]
    mid = float(book.market.mid(coin.name))
    kind = chance.choice(KINDS)
    if kind == "trigger":
        price = f"{float(f'{mid * chance.uniform(0.998, 1.002):.5g}'):g}"
        kind = {"trigger": {"isMarket": chance.random() < 0.5, "triggerPx": price, "tpsl": chance.choice(("tp", "sl"))}}
    size = number(round(Decimal(chance.randint(100, 30_000)) / Decimal(repr(mid)), coin.size_decimals))
    price = f"{float(f'{mid * chance.uniform(0.998, 1.002):.5g}'):g}"
    cloid = f"{chance.getrandbits(127):#034x}" if chance.random() < 0.5 else None
    order = {"a": asset, "b": chance.random() < 0.5, "p": price, "s": size, "r": chance.random() < 0.3, "t": kind}
    return {"type": "order", "orders": [order | ({"c": cloid} if cloid else {})]}


def random_action(chance: random.Random, book: Book) -> dict[str, Any]:
    """Mostly orders; cancels by both ids, leverage and schedules between them."""
    resting = book.account("a").open_orders()
    what = chance.random()
    if what < 0.1 and resting:
        order = chance.choice(resting)
        asset = [coin.name for coin in COINS].index(order.request.coin)
        if order.request.cloid:
            return {"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": order.request.cloid}]}
        return {"type": "cancel", "cancels": [{"a": asset, "o": order.oid}, {"a": asset, "o": 10**9}]}
    if what < 0.12:
        return {
            "type": "updateLeverage",
            "asset": 1,
            "isCross": chance.random() < 0.5,
            "leverage": chance.randint(1, 9),
        }
    if what < 0.14:
        return {"type": "scheduleCancel", "time": chance.choice((None, 4_000_000_000_000))}
    return random_order(chance, book)


def seen(book: Book) -> dict[str, Any]:
    """Everything about the account that a client can see."""
    account = book.account("a")
    return {
        "positions": {c: (number(p.size), number(p.entry)) for c, p in sorted(account.positions.items())},
        "cash": number(account.cash),
        "orders": [frontend_order(order) for order in account.open_orders()],
        "fills": [user_fill(fill) for fill in account.fills][-100:],
        "leverage": account.leverage,
        "schedule": account.scheduled_ms,
        "oid": book.next_oid,
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_log_gives_back_every_account(tmp_path: Path, seed: int) -> None:
    chance, book, log = random.Random(seed), Book(Market(seed)), tmp_path / "log"
    keys = ExchangeKeys(tmp_path)
    keys.ensure("a", [])
    exchange = Exchange(book, Journal(log), tmp_path / "state", Directory(keys.accounts_file), Nonces())
    book.depth.thin["SOL"] = Thin(Decimal("3"))
    for step in range(STEPS):
        exchange.tick()
        try:
            exchange.act(random_action(chance, book), Writer("a", "a-console"), 1)
        except Refused:
            continue
        if step % 300 == 299:
            exchange.inject("a", "ETH", Decimal("0.5"))
        if step == STEPS // 2:
            exchange.save()
    actions = {entry["action"] for entry in read_log(log)}
    assert actions == {"order", "fill", "trigger", "cancel", "leverage", "schedule"}
    before = seen(book)
    from_log, from_snapshot = Book(Market(seed)), Book(Market(seed))
    assert restore(from_log, Nonces(), tmp_path / "none", log) > STEPS
    assert 0 < restore(from_snapshot, Nonces(), tmp_path / "state", log) < STEPS * 2
    assert seen(from_log) == before
    assert seen(from_snapshot) == before


def test_a_used_nonce_stays_used_over_a_restart(tmp_path: Path) -> None:
    paper = PaperExchange(tmp_path).start()
    try:
        action, nonce = {"type": "scheduleCancel"}, paper.ask(type="exchangeStatus")["time"]
        key = paper.keys.key("production-console")
        body = {
            "action": action,
            "nonce": nonce,
            "vaultAddress": None,
            "signature": sign(key, action, None, nonce, None),
        }
        assert paper.call("POST", "/exchange", body)["status"] == "ok"
        paper.stop()
        paper.start()
        assert "duplicate nonce" in paper.call("POST", "/exchange", body)["response"]
    finally:
        paper.stop()
