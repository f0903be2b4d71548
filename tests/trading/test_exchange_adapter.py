"""The Hyperliquid adapter: against the real paper exchange, and against servers that answer what the SDK trips over."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.exchange.processes import PaperExchange, until
from tests.trading.stop.stop_world import World, make_world
from trading.exchange import nonces
from trading.exchange.base import (
    ExchangeError,
    ExchangeRefused,
    ExchangeUnreachable,
    OpenOrder,
    Position,
    all_orders,
    all_positions,
)
from trading.exchange.open import open_exchange
from trading.exchange.rules import whole_size, wire, worst_price

TWO = Decimal("0.02")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    exchange = PaperExchange(tmp_path_factory.mktemp("paper")).start()
    yield exchange
    exchange.stop()


@pytest.fixture
def world(paper: PaperExchange, tmp_path: Path) -> Iterator[World]:
    yield make_world(paper, tmp_path)
    paper.heal()


def test_it_reads_what_is_there(world: World):
    world.fill(4, 6)
    world.trigger("BTC")
    exchange = world.open()
    assert exchange.sections() == ("",)
    orders, positions = all_orders(exchange), all_positions(exchange)
    assert len(orders) == 7 and len(positions) == 4
    (trigger,) = [order for order in orders if order.trigger]
    assert trigger.coin == "BTC" and trigger.side == "sell" and trigger.reduce_only and trigger.placed_at > 1.7e9
    held = {position.coin: position for position in positions}
    assert held["BTC"].size > 0 > held["ETH"].size, "long and short"
    assert abs(held["BTC"].mark / exchange.mids()["BTC"] - 1) < Decimal("0.01")


def test_it_closes_and_cancels_in_one_batch_each(world: World):
    world.fill(10, 50)
    exchange = world.open()
    exchange.sections()
    before = len(world.exchange.log(world.account))
    closed = exchange.close(all_positions(exchange), slippage=TWO)
    cancelled = exchange.cancel(all_orders(exchange))
    assert {one.status for one in closed} == {one.status for one in cancelled} == {"done"}
    assert all(one.price for one in closed) and world.left() == (0, 0)
    written = world.exchange.log(world.account)[before:]
    assert len(written) == 60 and {entry["writer"] for entry in written} == {f"{world.account}-console"}


def test_a_position_is_closed_whole_whatever_its_digits(world: World):
    """0.1 + 0.2 is no 0.3 for floats: a close that is a little too small leaves dust."""
    sdk = world.sdk
    for _ in range(3):
        sdk.market_open("DOGE", True, 1234.0)
        sdk.market_open("ETH", False, 0.1)
    exchange = world.open()
    closed = exchange.close(all_positions(exchange), slippage=TWO)
    assert {one.status for one in closed} == {"done"} and world.left() == (0, 0)


def test_a_refused_element_says_why(world: World):
    exchange = world.open()
    gone = OpenOrder(424242, "BTC", "buy", Decimal(1), Decimal(1))
    unknown = OpenOrder(1, "NOSUCH", "buy", Decimal(1), Decimal(1))
    exchange.sections()
    found = exchange.cancel([gone, unknown])
    assert [one.status for one in found] == ["refused", "refused"]
    assert "already canceled" in found[0].detail and "not in the list of markets" in found[1].detail
    flat = [
        Position("BTC", Decimal(1), mark=Decimal(95_000)),
        Position("SOL", Decimal(1)),
        Position("NOSUCH", Decimal(1)),
    ]
    details = [one.detail for one in exchange.close(flat, slippage=TWO)]
    assert "Reduce only" in details[0] and "no price" in details[1] and "not in the list" in details[2]
    assert exchange.cancel([]) == [] and exchange.close([], slippage=TWO) == []


def test_a_part_of_a_position_is_closed(world: World):
    world.sdk.market_open("ETH", True, 0.5)
    exchange = world.open()
    (held,) = all_positions(exchange)
    half = Position("ETH", Decimal("0.2"), mark=held.mark)
    (result,) = exchange.close([half], slippage=TWO)
    assert result.status == "done" and result.size == Decimal("0.2")
    assert Decimal(world.exchange.positions(world.account)["ETH"]) == Decimal("0.3")


def test_the_dead_mans_switch_cancels_by_itself(world: World):
    world.fill(0, 3)
    exchange = world.open()
    exchange.arm_dead_man(time.time() + 5.5)
    with pytest.raises(ExchangeRefused, match="."):
        exchange.arm_dead_man(time.time() + 1)
    until(lambda: world.left() == (0, 0), "the exchange cancels by itself", 10)
    exchange.arm_dead_man(time.time() + 60)
    exchange.arm_dead_man(None)


def test_a_key_that_the_exchange_does_not_know_is_refused(world: World, tmp_path: Path):
    key = tmp_path / "other.key"
    key.write_text(Account.create().key.hex())
    exchange = open_exchange({**world.settings.exchange, "key": f"file:{key}"})
    exchange.sections()
    with pytest.raises(ExchangeRefused, match="does not exist"):
        exchange.cancel([OpenOrder(1, "BTC", "buy", Decimal(1), Decimal(1))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "other"}, "no adapter"),
        ({"key": "file:/nowhere"}, "cannot read /nowhere"),
        ({"key": "0x1234"}, "no secret reference"),
        ({"url": None, "account": None, "key": "env:PATH"}, "not 32 bytes in hex"),
    ],
)
def test_what_is_described_wrongly_says_so(world: World, change: dict[str, Any], words: str):
    with pytest.raises(ExchangeError, match=words):
        open_exchange({**world.settings.exchange, **change})


def test_the_key_is_never_in_an_error(world: World, tmp_path: Path):
    key = tmp_path / "bad.key"
    key.write_text("0xdeadbeefcanary")
    with pytest.raises(ExchangeError) as error:
        open_exchange({**world.settings.exchange, "key": f"file:{key}"})
    assert "canary" not in str(error.value) and error.value.__cause__ is None


# Servers that answer what an exchange under stress answers


class Answers(BaseHTTPRequestHandler):
    """Answers as the test says."""

    def do_POST(self) -> None:  # noqa: N802  the base class calls it so
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)  # type: ignore[attr-defined]
        self.server.answer(self, body)  # type: ignore[attr-defined]

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    found.seen = []  # type: ignore[attr-defined]
    found.daemon_threads = True
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def facing(server: ThreadingHTTPServer, tmp_path: Path) -> Callable[..., Any]:
    """Our adapter in front of a server that answers so."""
    key = tmp_path / "key"
    key.write_text(Account.create().key.hex())
    rows = [["BTC", 5], ["ETH", 4]]
    markets = {"sections": [{"name": "", "offset": 0, "universe": rows}]}

    def make(answer: Callable[[Any, Any], None], timeout: float = 1.0) -> Any:
        server.answer = answer  # type: ignore[attr-defined]
        url = f"http://127.0.0.1:{server.server_address[1]}"
        definition = {"kind": "hyperliquid", "url": url, "account": "0x" + "1" * 40, "key": f"file:{key}"}
        return open_exchange(definition, timeout=timeout, markets=markets)

    return make


@pytest.mark.parametrize(
    ("status", "body", "kind", "busy"),
    [
        (429, b"null", ExchangeRefused, True),
        (429, b'{"error": "no code"}', ExchangeRefused, True),
        (422, b"Failed to deserialize the JSON body", ExchangeRefused, False),
        (400, b'["a", "list"]', ExchangeRefused, False),
        (502, b"<html>", ExchangeUnreachable, None),
        (200, b"not json", ExchangeUnreachable, None),
        (200, b"null", ExchangeUnreachable, None),
        (200, b'[{"oid": 1}]', ExchangeUnreachable, None),
        (302, b"", ExchangeUnreachable, None),
    ],
)
def test_answers_that_the_sdk_trips_over(
    facing, status: int, body: bytes, kind: type[ExchangeError], busy: bool | None
):
    exchange = facing(lambda handler, _: handler.say(status, body, Location="/elsewhere"))
    with pytest.raises(kind) as error:
        exchange.open_orders()
    if isinstance(error.value, ExchangeRefused):
        assert error.value.busy is busy and error.value.status == status


def test_a_hanging_request_ends_in_time(facing):
    hangs = threading.Event()
    exchange = facing(lambda handler, _: hangs.wait(5), timeout=0.5)
    began = time.monotonic()
    with pytest.raises(ExchangeUnreachable, match="no answer within 0.5 s"):
        exchange.positions()
    assert time.monotonic() - began < 1.0
    hangs.set()


def test_an_answer_that_trickles_ends_in_time(facing):
    def trickle(handler: Any, _: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with pytest.raises(OSError):
            for _piece in range(200):
                handler.wfile.write(b" " * 70_000)
                time.sleep(0.1)

    exchange = facing(trickle, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(ExchangeUnreachable, match="in time"):
        exchange.positions()
    assert time.monotonic() - began < 1.5


def test_a_lost_reply_is_told_from_a_refusal(facing):
    exchange = facing(lambda handler, _: handler.connection.close())
    with pytest.raises(ExchangeUnreachable, match="broke"):
        exchange.cancel([OpenOrder(1, "BTC", "buy", Decimal(1), Decimal(1))])


def test_one_text_for_a_whole_batch_is_a_refusal_of_all(facing):
    answer = {"status": "ok", "response": {"type": "order", "data": {"statuses": [{"error": "Cannot process"}]}}}
    exchange = facing(lambda handler, _: handler.say(200, json.dumps(answer).encode()))
    held = [Position("BTC", Decimal(1), mark=Decimal(10)), Position("ETH", Decimal(1), mark=Decimal(10))]
    with pytest.raises(ExchangeRefused, match="Cannot process"):
        exchange.close(held, slippage=TWO)


def test_a_nonce_that_another_took_is_tried_once_more(facing, server):
    def answer(handler: Any, body: Any) -> None:
        taken = {"status": "err", "response": "Invalid nonce: duplicate nonce"}
        good = {"status": "ok", "response": {"type": "cancel", "data": {"statuses": ["success"]}}}
        handler.say(200, json.dumps(good if len(server.seen) > 1 else taken).encode())

    exchange = facing(answer)
    (result,) = exchange.cancel([OpenOrder(1, "BTC", "buy", Decimal(1), Decimal(1))])
    assert result.status == "done" and len({body["nonce"] for body in server.seen}) == 2
    assert all(0 < body["expiresAfter"] - time.time() * 1000 <= 5000 for body in server.seen)


def test_every_section_is_read_and_written_with_its_own_ids(facing, server):
    meta = {"": ["BTC", "ETH"], "xyz": ["xyz:GOLD"]}

    def answer(handler: Any, body: Any) -> None:
        kind = body.get("type")
        if kind == "perpDexs":
            found: Any = [None, {"name": "xyz"}]
        elif kind == "meta":
            found = {"universe": [{"name": name, "szDecimals": 2} for name in meta[body["dex"]]]}
        elif kind == "clearinghouseState":
            row = {"coin": "xyz:GOLD", "szi": "-1.25", "positionValue": "5000", "entryPx": "4000"}
            found = {"assetPositions": [{"position": row}] if body["dex"] else []}
        else:
            statuses = [{"filled": {"totalSz": "1.25", "avgPx": "4001", "oid": 1}}]
            found = {"status": "ok", "response": {"data": {"statuses": statuses}}}
        handler.say(200, json.dumps(found).encode())

    exchange = facing(answer)
    exchange.load_markets()
    assert exchange.sections() == ("", "xyz")
    (held,) = all_positions(exchange)
    assert held.section == "xyz" and exchange.close([held], slippage=TWO)[0].status == "done"
    (order,) = server.seen[-1]["action"]["orders"]
    assert order == {"a": 110_000, "b": True, "p": "4080", "s": "1.25", "r": True, "t": {"limit": {"tif": "Ioc"}}}
    exchange.cancel([OpenOrder(5, "@107", "buy", Decimal(1), Decimal(1))])
    assert server.seen[-1]["action"]["cancels"] == [{"a": 10_107, "o": 5}], "a spot order"


# Rules and nonces


@pytest.mark.parametrize(
    ("price", "buys", "decimals", "expected"),
    [
        ("95000.5", True, 5, "96901"),
        ("95000.5", False, 5, "93100"),
        ("3400.17", True, 4, "3468.2"),
        ("180.123", False, 2, "176.52"),
        ("0.34567", True, 0, "0.35259"),
        ("0.0000123", True, 0, "0.000013"),
        ("0.0000012", False, 0, "0.000001"),
        ("0.0000001", False, 0, "0.000001"),
        ("99999", True, 3, "101999"),
    ],
)
def test_prices_are_those_that_the_exchange_takes(price: str, buys: bool, decimals: int, expected: str):
    found = worst_price(Decimal(price), buys=buys, slippage=TWO, size_decimals=decimals)
    assert wire(found) == expected


def test_sizes_are_never_too_small():
    assert wire(whole_size(Decimal("-0.30000000000000004"), 2)) == "0.31"
    assert wire(whole_size(Decimal("1.50"), 2)) == "1.5"
    assert wire(whole_size(Decimal("-1000"), 0)) == "1000"
    assert wire(Decimal("1E+3")) == "1000" and wire(Decimal("0.10")) == "0.1"


def test_nonces_never_repeat_in_threads():
    taken: list[int] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(nonces.following("0xthreads") for _ in range(200)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 800
    assert abs(nonces.following("0xthreads") - time.time() * 1000) < 5000


def _take(_: int) -> list[int]:
    return [nonces.following("0xprocesses") for _ in range(50)]


def test_nonces_of_two_processes_hardly_ever_meet():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_take, range(2))
    assert len(set(first) & set(second)) <= 2, "what meets is refused by the exchange and sent again"


def test_a_wrong_clock_is_not_kept_for_ever():
    far = int(time.time() * 1000) + 10_000_000
    folder = nonces._folder()
    (folder / "0xclock").write_bytes(b"%-20d" % far)
    assert nonces.following("0xclock") < far
