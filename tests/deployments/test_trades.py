"""Trades since the promotion, from instances that answer over HTTP: each once, and nobody can hold the reader up."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from deployments.models import Trade
from deployments.trades import BATCH, TradeReader
from environments.models import Instance
from tests.deployments.toys import set_state


class Books(ThreadingHTTPServer):
    """Instances that report trades; ``honest`` false: whatever is asked for, they answer the first hundred."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.trades: list[dict] = []
        self.asked: list[int] = []
        self.honest = True

    def add(self, count: int, at) -> None:
        """So many more trades."""
        for _ in range(count):
            fields = {"strategy": "geometry", "symbol": "BTC", "side": "buy", "size": "0.1", "price": "100000"}
            self.trades.append({"id": len(self.trades) + 1, "at": at.isoformat(), "outcome": "win", **fields})


class Answer(BaseHTTPRequestHandler):
    """``GET /v1/trades``."""

    server: Books

    def do_GET(self) -> None:
        """The trades after the one asked for."""
        query = parse_qs(urlsplit(self.path).query)
        after, limit = int(query["after"][0]), int(query["limit"][0])
        self.server.asked.append(after)
        found = [one for one in self.server.trades if not self.server.honest or one["id"] > after]
        body = json.dumps({"trades": found[:limit]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Says nothing."""


@pytest.fixture
def books():
    server = Books()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def watched(begin, books):
    """A promoted deployment whose new slot is led to the books."""
    deployment, moment = begin(), timezone.now() - timedelta(minutes=1)
    Instance.objects.filter(slot=deployment.to_slot).update(base_url=f"http://127.0.0.1:{books.server_port}")
    return set_state(deployment, status="watching", handover_at=moment, promoted_at=moment)


def test_each_trade_since_the_promotion_is_kept_once(watched, books):
    books.add(3, watched.promoted_at - timedelta(seconds=1))
    books.add(2 * BATCH, watched.promoted_at + timedelta(seconds=1))
    reader = TradeReader()
    reader.look()
    reader.look()
    assert Trade.objects.count() == 2 * BATCH and books.asked == [0, BATCH, 2 * BATCH, 2 * BATCH + 3]
    books.add(1, timezone.now())
    TradeReader().look()  # restarted: it goes on after the last one that was kept
    assert Trade.objects.count() == 2 * BATCH + 1 and books.asked[-1] == 2 * BATCH + 3
    kept = Trade.objects.get(trade_id=str(2 * BATCH + 4))
    assert (kept.symbol, kept.size, kept.pnl, kept.outcome, kept.instance) == (
        "BTC",
        "0.1",
        "",
        "win",
        "production-green-1",
    )


def test_who_repeats_itself_does_not_hold_the_reader_up(watched, books):
    books.add(BATCH, timezone.now())
    books.honest = False
    TradeReader().look()
    assert Trade.objects.count() == BATCH and len(books.asked) <= 3


@pytest.mark.parametrize("trouble", [{"base_url": "http://127.0.0.1:1"}, {"token_ref": "file:/nowhere"}])
def test_trouble_with_one_instance_does_not_keep_others_from_being_read(watched, books, trouble):
    books.add(1, timezone.now())
    slot = watched.to_slot
    token = slot.instances.get().token_ref
    Instance.objects.create(
        slot=slot, name="a-first", **{"base_url": "http://127.0.0.1:1", "token_ref": token} | trouble
    )
    TradeReader().look()
    assert Trade.objects.get().instance == "production-green-1"


def test_before_the_promotion_nothing_is_read(watched, books):
    set_state(watched, status="running", promoted_at=None)
    TradeReader().look()
    assert books.asked == []
