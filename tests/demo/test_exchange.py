"""The paper exchange: orders, positions, the log, and what survives a kill."""

import json
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from demo.exchange.book import Book, NewOrder, OrderRejected
from demo.exchange.journal import read_log
from demo.exchange.market import Market
from demo.exchange.wire import BadRequest, read_order
from demo.exchange.writers import find_writers, main, slot_of
from tests.demo.processes import Exchange, Stack, call, wait_for


def order(coin: str = "BTC", side: str = "B", size: str = "0.01", limit: str = "100000", **fields: object) -> NewOrder:
    return NewOrder(coin, side, Decimal(size), Decimal(limit), fields.pop("tif", "Ioc"), **fields)  # type: ignore[arg-type]


def test_prices_come_from_the_seed() -> None:
    walks = []
    for seed in (7, 7, 8):
        market = Market(seed)
        for _ in range(100):
            market.step()
        walks.append(market.dump())
    assert walks[0] == walks[1] != walks[2]


def test_a_round_trip_moves_position_and_cash() -> None:
    book = Book(Market(7))
    _, bought = book.place("a", order(size="0.02"), 1)
    assert bought is not None and book.account("a").position("BTC") == Decimal("0.02")
    _, sold = book.place("a", order(side="A", size="0.03", limit="90000"), 2)
    assert sold is not None
    account = book.account("a")
    assert account.position("BTC") == Decimal("-0.01") and account.positions["BTC"].entry == sold.price
    assert sold.closed_pnl == (sold.price - bought.price) * Decimal("0.02")
    assert account.cash == 100_000 + sold.closed_pnl


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (order(coin="DOGE"), "Unknown asset"),
        (order(size="0"), "invalid size"),
        (order(size="0.000001"), "invalid size"),
        (order(size="0.0001", limit="95001"), "minimum value"),
        (order(limit="500000"), "80% away"),
        (order(limit="94000"), "immediately match"),
        (order(reduce_only=True), "Reduce only"),
    ],
)
def test_a_wrong_order_is_rejected_and_changes_nothing(wrong: NewOrder, words: str) -> None:
    book = Book(Market(7))
    with pytest.raises(OrderRejected, match=words):
        book.place("a", wrong, 1)
    assert not book.account("a").orders and not book.account("a").positions


def test_a_reduce_only_order_never_flips_the_position() -> None:
    book = Book(Market(7))
    book.place("a", order(size="0.01"), 1)
    _, fill = book.place("a", order(side="A", size="0.05", limit="90000", reduce_only=True), 2)
    assert fill is not None and fill.size == Decimal("0.01")
    assert not book.account("a").positions


def test_a_resting_order_is_filled_when_the_market_reaches_it() -> None:
    market = Market(7)
    book = Book(market)
    resting, fill = book.place("a", order(limit="94990", tif="Gtc"), 1)
    assert fill is None and book.match_resting(2) == []
    for tick in range(10_000):
        market.step()
        if filled := book.match_resting(tick):
            break
    assert filled[0][1].oid == resting.oid and filled[0][1].price == Decimal(94990)
    with pytest.raises(OrderRejected, match="filled"):
        book.cancel("a", "BTC", resting.oid, 3)


def test_a_malformed_order_names_the_field() -> None:
    good = {"a": 0, "b": True, "p": "1", "s": "1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    for field, value, name in (
        ("a", 9, r"o\.a"),
        ("p", 1.5, r"o\.p"),
        ("s", "x", r"o\.s"),
        ("s", "NaN", r"o\.s"),
        ("t", {"limit": {"tif": "Alo"}}, r"o\.t\.limit\.tif"),
        ("b", "yes", "buy"),
    ):
        with pytest.raises(BadRequest, match=name):
            read_order(good | {field: value}, "o")


def test_http_shapes(exchange: Exchange) -> None:
    assert [coin["name"] for coin in exchange.info(type="meta")["universe"]] == ["BTC", "ETH", "SOL"]
    assert Decimal(exchange.info(type="allMids")["BTC"]) > 0
    filled = exchange.order("acc")["filled"]
    assert filled["totalSz"] == "0.01" and Decimal(filled["avgPx"]) > 0
    resting = exchange.order("acc", p="50000", t={"limit": {"tif": "Gtc"}}, c="0xabc")["resting"]["oid"]
    state = exchange.info(type="clearinghouseState", user="acc")
    assert state["assetPositions"][0]["position"]["szi"] == "0.01"
    assert [o["oid"] for o in exchange.info(type="openOrders", user="acc")] == [resting]
    assert exchange.info(type="orderStatus", user="acc", oid="0xabc")["order"]["status"] == "open"
    assert exchange.info(type="userFills", user="acc")[0]["dir"] == "Open Long"
    answer = exchange.act("acc", {"type": "cancel", "cancels": [{"a": 0, "o": resting}, {"a": 0, "o": 99}]})
    statuses = answer["response"]["data"]["statuses"]
    assert statuses[0] == "success" and "never placed" in statuses[1]["error"]
    assert exchange.act("acc", {"type": "teleport"})["status"] == "err"
    expired = exchange.act("acc", {"type": "cancel", "cancels": [{"a": 0, "o": 1}]}, expiresAfter=1)
    assert expired == {"status": "err", "response": "Action expired."}
    assert call("POST", f"{exchange.url}/info", {"type": "secret"}).status == 422
    assert call("POST", f"{exchange.url}/info", b"{").status == 422
    assert call("GET", f"{exchange.url}/nothing").status == 404


def test_the_log_names_writer_and_epoch(exchange: Exchange) -> None:
    body = {"a": 0, "b": True, "p": "100000", "s": "0.01", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    exchange.act("writer-test", {"type": "order", "orders": [body]}, {"X-Writer": "acc-blue-1", "X-Epoch": "4"})
    entries = call("GET", f"{exchange.url}/log?account=writer-test&since=1").json["entries"]
    assert entries == exchange.log_of("writer-test")
    kept = {key: entries[0][key] for key in ("writer", "epoch", "action", "coin", "side", "sz", "status")}
    assert kept == {
        "writer": "acc-blue-1",
        "epoch": 4,
        "action": "order",
        "coin": "BTC",
        "side": "B",
        "sz": "0.01",
        "status": "filled",
    }
    assert call("GET", f"{exchange.url}/log?account=nobody").json["entries"] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_accounts_survive_a_restart(stack: Stack, number: int) -> None:
    exchange = stack.exchange()
    exchange.order("acc")
    snapshot = Path(str(exchange.orders) + ".state")
    wait_for(lambda: snapshot.exists() and json.loads(snapshot.read_text())["next_oid"] == 2, what="snapshot")
    exchange.order("acc", b=False, p="90000", s="0.004")
    exchange.order("acc", p="50000", t={"limit": {"tif": "Gtc"}})
    before = exchange.info(type="clearinghouseState", user="acc")
    orders = exchange.info(type="openOrders", user="acc")
    assert exchange.stop(number) == (0 if number == signal.SIGTERM else -9)
    again = stack.exchange()
    after = again.info(type="clearinghouseState", user="acc")
    for name in ("szi", "entryPx"):
        assert after["assetPositions"][0]["position"][name] == before["assetPositions"][0]["position"][name]
    assert after["withdrawable"] == before["withdrawable"]
    assert again.info(type="openOrders", user="acc") == orders
    assert again.order("acc")["filled"]["oid"] == orders[0]["oid"] + 1


def test_half_a_line_at_the_end_of_the_log_does_no_harm(stack: Stack) -> None:
    exchange = stack.exchange()
    exchange.order("acc")
    exchange.stop()
    with exchange.orders.open("a") as log:
        log.write('{"at": 1, "acc')
    again = stack.exchange()
    again.order("acc")
    assert [entry["oid"] for entry in read_log(again.orders)] == [1, 2]


def entry(
    at: float, writer: str | None, epoch: int | None, account: str = "p", action: str = "order"
) -> dict[str, object]:
    return {"at": at, "account": account, "writer": writer, "epoch": epoch, "action": action}


def test_writers_finds_handovers_and_gaps() -> None:
    log = [
        entry(1.0, "p-blue-1", 1),
        entry(1.2, "p-blue-2", 1),
        entry(1.3, None, None),
        entry(1.4, "p-green-1", 9, account="other"),
        entry(1.5, "p-green-1", 2),
        entry(1.6, "p-blue-1", 2, action="cancel"),
        entry(2.0, "p-green-1", 2),
        entry(2.75, "p-blue-1", 3),
    ]
    found = find_writers(log, "p")
    assert found.overlaps == 0 and found.orders == 5
    changes = found.as_json()["changes"]
    assert [(c["from"], c["to"], c["gap_ms"]) for c in changes] == [
        ("p-blue-2", "p-green-1", 300.0),
        ("p-green-1", "p-blue-1", 750.0),
    ]
    assert len(find_writers(log, "p", since=2.5).changes) == 1
    assert find_writers(log, "p", until=1.25).changes == []


@pytest.mark.parametrize(
    "log",
    [
        [entry(1, "p-blue-1", 1), entry(2, "p-green-1", 2), entry(3, "p-blue-1", 1), entry(4, "p-green-1", 2)],
        [entry(1, "p-blue-1", 5), entry(2, "p-green-1", 5), entry(3, "p-blue-1", 5), entry(4, "p-green-1", 6)],
        [entry(1, "p-blue-1", 5), entry(3, "p-green-1", 3), entry(4, "p-blue-1", 5)],
        [entry(1, "p-blue-1", 5), entry(3, "p-blue-1", 4), entry(4, "p-blue-1", 5)],
    ],
    ids=["older epoch", "back within one epoch", "epoch never granted here", "older epoch of the same slot"],
)
def test_writers_finds_two_at_once(log: list[dict[str, object]], tmp_path: Path) -> None:
    found = find_writers(log, "p")
    assert found.overlaps == 1 and found.violations[0]["at"] == 3
    path = tmp_path / "log"
    path.write_text("".join(json.dumps(line) + "\n" for line in log))
    assert main([str(path), "--account", "p"]) == 1
    assert main([str(path), "--account", "p", "--since", "3.5"]) == 0


def test_slot_names() -> None:
    assert slot_of("production-blue-12") == "production-blue"
    assert slot_of("solo") == "solo"
