"""The ops contract client against real servers, and its errors."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from environments.target import (
    StaleEpoch,
    TargetClient,
    TargetError,
    TargetMalformed,
    TargetRefused,
    TargetUnreachable,
)
from tests.environments.answers import HEALTH, STATE, answer, endless, free_port, half, hang, hang_up, serve, serving


def client(server, **values):
    return TargetClient(server.url, "secret", **values)


def problem(status, code, **members):
    body = {"type": f"urn:opsconsole:problem:{code}", "title": code, "status": status, "detail": "why", **members}
    return answer(body, status, "application/problem+json")


def test_health_and_state():
    with serving() as server:
        health, state = client(server).health(), client(server).state()
    assert (health.status, health.version, health.release_id) == ("pass", "v1.2.5", "sha256:ab")
    assert [part.name for part in health.components] == ["exchange:connection", "strategies:running"]
    assert (state.role, state.epoch, state.latched, state.restart_required) == ("ACTIVE", 12, False, False)
    assert (state.config_revision, state.deployed_at) == ("r1", datetime(2026, 1, 1, tzinfo=UTC))
    assert state.strategies[0].id == "geometry"
    assert state.strategies[0].last_heartbeat == datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)


def test_a_failing_system_has_a_health():
    with serving(healthz=answer(HEALTH | {"status": "fail"}, 503)) as server:
        assert client(server).health().status == "fail"


def test_the_role_is_set_with_epoch_actor_reason_and_key():
    granted = STATE | {"open_orders": 0, "since": "2026-01-01T00:00:11Z"}
    with serve({"POST /v1/role": answer(granted)}) as server:
        state = client(server).set_role("STANDBY", 13, actor="engine", reason="deployment 42")
        client(server).set_role("STANDBY", 13, actor="engine", reason="deployment 42")
    assert (state.open_orders, state.since) == (0, datetime(2026, 1, 1, 0, 0, 11, tzinfo=UTC))
    first, second = server.asked
    assert json.loads(first.body) == {"role": "STANDBY", "epoch": 13, "actor": "engine", "reason": "deployment 42"}
    assert first.headers["authorization"] == "Bearer secret"
    assert len({first.headers["idempotency-key"], second.headers["idempotency-key"]}) == 2


def test_an_older_epoch_is_told_apart_from_other_conflicts():
    stale_answer = problem(409, "stale-epoch", epoch=5, current_epoch=9)
    with serve({"POST /v1/role": stale_answer}) as server, pytest.raises(StaleEpoch) as stale:
        client(server).set_role("ACTIVE", 5, actor="a", reason="r")
    assert (stale.value.given, stale.value.current) == (5, 9)
    halted = problem(409, "halted", state=STATE)
    with serve({"POST /v1/role": halted}) as server, pytest.raises(TargetRefused) as refused:
        client(server).set_role("ACTIVE", 5, actor="a", reason="r")
    assert (refused.value.status, refused.value.title, refused.value.detail) == (409, "halted", "why")
    assert refused.value.problem["state"]["role"] == "ACTIVE"


REPLIES = {
    "POST /v1/reconcile": answer(
        {"differences": [{"symbol": "BTC", "internal": "0.2", "exchange": "0.1", "delta": "0.1", "class": "size"}]}
    ),
    "POST /v1/smoke-test": answer(
        {
            "results": [
                {"name": "database", "status": "pass", "detail": "can be written", "duration_ms": 1.25},
                {"name": "dry run", "status": "broken", "detail": "no", "duration_ms": 3},
            ]
        }
    ),
    "GET /v1/positions": answer({"positions": [{"symbol": "ETH", "size": "-1.50", "entry_price": "3000.1"}]}),
    "GET /v1/orders": answer(
        {"orders": [{"id": "7", "symbol": "ETH", "side": "buy", "size": "1", "price": None, "reduce_only": True}]}
    ),
    "GET /v1/trades": answer(
        {
            "trades": [
                {
                    "id": 8,
                    "at": "2026-01-01T01:00:00+01:00",
                    "strategy": "geometry",
                    "symbol": "BTC",
                    "side": "sell",
                    "size": "0.01",
                    "price": "90000.5",
                    "pnl": "-1.25",
                    "outcome": "loss",
                },
                {
                    "id": 9,
                    "at": "2026-01-01T00:00:01Z",
                    "strategy": "geometry",
                    "symbol": "BTC",
                    "side": None,
                    "size": None,
                    "price": None,
                    "pnl": None,
                    "outcome": "failed",
                },
            ]
        }
    ),
}


def test_reconcile_smoke_test_positions_orders_trades():
    with serve(REPLIES) as server:
        target = client(server)
        (difference,) = target.reconcile("engine", "before the shift")
        assert (difference.delta, difference.kind) == (Decimal("0.1"), "size")
        smoke = target.smoke_test(timeout=2)
        assert [(r.name, r.status, r.duration_ms) for r in smoke] == [
            ("database", "pass", 1.25),
            ("dry run", "fail", 3),
        ]
        (position,) = target.positions()
        assert (position.side, position.size, position.mark_price) == ("short", Decimal("-1.50"), None)
        (order,) = target.orders()
        assert (order.id, order.price, order.reduce_only) == ("7", None, True)
        loss, failed = target.trades(after=7, limit=50)
        assert (loss.pnl, loss.at, loss.outcome) == (Decimal("-1.25"), datetime(2026, 1, 1, tzinfo=UTC), "loss")
        assert (failed.side, failed.size, failed.outcome) == ("", None, "failed")
        assert server.asked[-1].path == "/v1/trades?after=7&limit=50"
        for after, limit in ((0, 0), (0, 201), (-1, 5)):
            with pytest.raises(ValueError, match="limit must be"):
                target.trades(after, limit)


@pytest.mark.parametrize(("reply", "kind"), [(hang, "timeout"), (hang_up, "disconnected"), (half, "disconnected")])
def test_no_complete_answer(reply, kind):
    with serve({"GET /v1/state": reply, "POST /v1/role": reply}) as server:
        began = time.monotonic()
        with pytest.raises(TargetUnreachable) as caught:
            client(server, read_timeout=0.3).state()
        assert caught.value.kind == kind
        with pytest.raises(TargetUnreachable) as caught:
            client(server).set_role("ACTIVE", 1, actor="a", reason="r", timeout=0.3)
        assert caught.value.kind == kind
        assert time.monotonic() - began < 1.2


def test_nobody_listens():
    with pytest.raises(TargetUnreachable, match="nobody listens") as caught:
        TargetClient(f"http://127.0.0.1:{free_port()}", "t").state()
    assert caught.value.kind == "refused"


def test_an_answer_in_drops_ends_in_time():
    def drops(connection):
        connection.sendall(b"HTTP/1.1 200 X\r\ncontent-length: 5000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)  # slow enough for each piece to be in time

    with serve({"GET /v1/state": drops}) as server:
        began = time.monotonic()
        with pytest.raises(TargetUnreachable) as caught:
            client(server, read_timeout=0.4).state()
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (answer("", 307, headers="location: http://127.0.0.1:1/\r\n"), TargetRefused, "redirects are not followed"),
        (problem(401, "unauthorized"), TargetRefused, "401 unauthorized: why"),
        (answer("<h1>Bad gateway</h1>", 502), TargetRefused, "502 without a problem document"),
        (endless, TargetMalformed, "more than 64 KB"),
        (answer("hello"), TargetMalformed, "did not answer JSON"),
        (answer([1, 2]), TargetMalformed, "must be a JSON object"),
        (answer(STATE | {"epoch": "12"}), TargetMalformed, "epoch must be a whole number, not '12'"),
        (answer({"epoch": 1}), TargetMalformed, "role must be a text, not None"),
        (answer(STATE | {"deployed_at": "yesterday"}), TargetMalformed, "deployed_at must be an RFC 3339 time"),
        (answer(STATE | {"deployed_at": "2026-01-01T00:00:00"}), TargetMalformed, "with its offset"),
        (answer(STATE | {"strategies": [7]}), TargetMalformed, r"strategies\[0\] must be a JSON object"),
    ],
)
def test_answers_that_are_no_state(reply, error, words):
    with serve({"GET /v1/state": reply}) as server, pytest.raises(error, match=words) as caught:
        client(server).state()
    assert isinstance(caught.value, TargetError)
    assert server.url in str(caught.value)


@pytest.mark.parametrize("amount", ["many", "NaN", "Infinity", True, None, [1]])
def test_an_amount_must_be_a_number(amount):
    replies = {"GET /v1/positions": answer({"positions": [{"symbol": "BTC", "size": amount}]})}
    with serve(replies) as server, pytest.raises(TargetMalformed, match=r"positions\[0\]: size must be a decimal"):
        client(server).positions()


def test_a_call_is_cheap():
    """A client is made for each step: making one and asking must not cost more than a few milliseconds."""
    with serving() as server:
        client(server).state()
        began = time.process_time()
        for _ in range(50):
            client(server).state()
        assert (time.process_time() - began) / 50 < 0.015
