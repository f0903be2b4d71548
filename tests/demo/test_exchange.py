"""The paper exchange: orders, positions, the log, and what survives a kill."""

import json
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from demo.exchange.account import NewOrder
from demo.exchange.book import Book, OrderRejected
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
    _, (bought,) = book.place("a", order(size="0.02"), 1)
    assert book.account("a").position("BTC") == Decimal("0.02")
    _, (sold,) = book.place("a", order(side="A", size="0.03", limit="90000"), 2)
    account = book.account("a")
    assert account.position("BTC") == Decimal("-0.01") and account.positions["BTC"].entry == sold.price
    assert sold.closed_pnl == (sold.price - bought.price) * Decimal("0.02")
    assert account.cash == 100_000 + sold.closed_pnl


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (order(coin="NOPE"), "Unknown asset"),
        (order(size="0"), "invalid size"),
        (order(size="0.000001"), "invalid size"),
        (order(size="0.0001", limit="95001"), "minimum value"),
        (order(limit="95000.5"), "tick size"),
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
    closing, (fill,) = book.place("a", order(side="A", size="0.05", limit="90000", reduce_only=True), 2)
    assert (fill.size, closing.status) == (Decimal("0.01"), "filled")
    assert not book.account("a").positions


def test_a_resting_order_is_filled_when_the_market_reaches_it() -> None:
    market = Market(7)
    book = Book(market)
    resting, fills = book.place("a", order(limit="94990", tif="Gtc"), 1)
    assert fills == [] and book.advance(2) == []
    for tick in range(10_000):
        market.step()
        if events := book.advance(tick):
            break
    assert [(e.kind, e.order) for e in events] == [("fill", resting)]
    assert events[0].fills[0].price == Decimal(94990) and resting.status == "filled"
    with pytest.raises(OrderRejected, match="filled"):
        book.cancel("a", "BTC", resting.oid, 3)


def test_a_malformed_order_names_the_field() -> None:
    good = {"a": 0, "b": True, "p": "1", "s": "1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    for field, value, name in (
        ("a", 99, r"o\.a"),
        ("p", 1.5, r"o\.p"),
        ("s", "x", r"o\.s"),
        ("s", "NaN", r"o\.s"),
        ("s", "1e3", r"o\.s"),
        ("t", {"limit": {"tif": "Fok"}}, r"o\.t\.limit\.tif"),
        ("t", {"trigger": {"isMarket": True, "triggerPx": "1", "tpsl": "x"}}, r"o\.t\.trigger\.tpsl"),
        ("b", "yes", r"o\.b"),
        ("c", "0xabc", r"o\.c"),
    ):
        with pytest.raises(BadRequest, match=name):
            read_order(good | {field: value}, "o")


def test_what_is_no_request_is_answered_in_plain_text(exchange: Exchange) -> None:
    for path, body in (
        ("/info", {"type": "secret"}),
        ("/info", b"{"),
        ("/info", b"[" * 100_000),
        ("/info", {"type": "meta", "dex": "other"}),
        ("/exchange", {"action": {"type": "order"}, "nonce": 1}),
        ("/exchange", {"action": {"type": "teleport"}, "nonce": 1, "signature": {"r": "0x1", "s": "0x1", "v": 27}}),
        ("/exchange", {"action": {"type": "cancel", "cancels": []}, "nonce": -1, "signature": {}}),
    ):
        answer = call("POST", exchange.url + path, body)
        assert answer.status == 422 and answer.headers["content-type"].startswith("text/plain"), body
        assert answer.body.startswith(b"Failed to deserialize the JSON body"), body
    assert call("GET", f"{exchange.url}/nothing").status == 404


def test_the_log_names_writer_and_epoch(exchange: Exchange) -> None:
    body = {"a": 0, "b": True, "p": "100000", "s": "0.01", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    exchange.account("writer-test", "acc-blue-1")
    action = {"type": "order", "orders": [body]}
    exchange.act("writer-test", action, {"X-Writer": "somebody-else", "X-Epoch": "4"}, agent="acc-blue-1")
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
    stop = {"trigger": {"isMarket": True, "triggerPx": "60000", "tpsl": "sl"}}
    exchange.order("acc", b=False, p="50000", s="0.004", r=True, t=stop, c="0x" + "a" * 32)
    exchange.act("acc", {"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 5})
    before = exchange.info(type="clearinghouseState", user="acc")
    orders = exchange.info(type="frontendOpenOrders", user="acc")
    assert [order["isTrigger"] for order in orders] == [False, True]
    assert exchange.stop(number) == (0 if number == signal.SIGTERM else -9)
    again = stack.exchange()
    after = again.info(type="clearinghouseState", user="acc")
    held, was = after["assetPositions"][0]["position"], before["assetPositions"][0]["position"]
    assert (held["szi"], held["entryPx"], held["leverage"]["value"]) == (was["szi"], was["entryPx"], 5)
    assert after["marginSummary"]["totalRawUsd"] == before["marginSummary"]["totalRawUsd"]
    assert again.info(type="frontendOpenOrders", user="acc") == orders
    assert again.order("acc")["filled"]["oid"] == orders[-1]["oid"] + 1


def test_a_log_of_the_first_version_is_read(stack: Stack) -> None:
    exchange = stack.exchange()
    exchange.stop()
    head = {"at": 1.0, "account": "acc", "writer": "acc-blue-1", "epoch": 1, "action": "order", "cloid": None}
    order = {"coin": "BTC", "side": "B", "sz": "0.02", "px": "95000", "reduce_only": False}
    resting = {"oid": 1, "px": "90000", "status": "resting"}
    entries = [
        head | order | resting,
        head | order | {"oid": 2, "status": "filled"},
        head | {"action": "fill", "writer": None, "oid": 1, "status": "filled", "sz": "0.02", "px": "90000"},
    ]
    exchange.orders.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    Path(str(exchange.orders) + ".state").write_text('{"offset": 0, "accounts": {}}')
    again = stack.exchange()
    position = again.info(type="clearinghouseState", user="acc")["assetPositions"][0]["position"]
    assert (position["szi"], position["entryPx"]) == ("0.04", "92500")


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
