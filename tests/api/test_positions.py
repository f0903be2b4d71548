"""Positions, orders and reconciliation over the API, against a real exchange and a real trading system."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Record
from tests.trading import position_world
from trading.models import Comparison

pytestmark = pytest.mark.django_db
running, world = position_world.running, position_world.world
BASE = "/api/v1/environments/production/"


def post(client, path, body=None):
    return client.post(BASE + path, body or {}, content_type="application/json")


@pytest.fixture
def place(world, production):
    world.lead(production)
    return production


def test_positions_of_both_sides(api, world, place, developer):
    world.inject("BTC", "0.02")
    body = api(developer).get(BASE + "positions/").json()
    assert (body["environment"], body["instance"], body["role"]) == ("production", "production-blue-1", "HALTED")
    assert body["system"]["ok"] and body["exchange"]["ok"] and body["exchange"]["detail"] == ""
    (one,) = body["positions"]
    assert (one["symbol"], one["system"]["size"], one["exchange"]["size"]) == ("BTC", "0", "0.02")
    assert one["difference"] == "missing_internal" and float(one["exchange"]["entry_price"]) > 0
    world.adopt()
    assert api(developer).get(BASE + "positions/").json()["positions"][0]["difference"] is None


def test_a_silent_side_is_null(api, world, place, operator):
    world.inject("BTC", "0.02")
    world.lead(place, with_system=False)
    body = api(operator).get(BASE + "positions/").json()
    assert not body["system"]["ok"] and "nobody listens" in body["system"]["detail"]
    assert body["positions"][0]["system"] is None and body["positions"][0]["exchange"]["size"] == "0.02"


@pytest.mark.parametrize("via", ["system", "exchange"])
def test_close(api, world, place, operator, via):
    world.inject("ETH", "-0.4")
    world.adopt()
    answer = post(api(operator), "positions/ETH/close/", {"reason": "Risk", "via": via})
    body = answer.json()
    assert answer.status_code == 200 and body["done"] and (body["before"], body["remaining"]) == ("-0.4", "0")
    assert body["via"] == via and "nothing is left" in body["detail"] and world.positions() == {}
    assert Record.objects.filter(action="position.closed", outcome="done").get().via == "key"


def test_what_is_refused_says_why(api, world, place, operator, developer):
    world.inject("ETH", "-0.4")
    assert post(api(developer), "positions/ETH/close/", {"reason": "Risk"}).status_code == 403
    refused = post(api(operator), "positions/ETH/close/", {"reason": "Risk"})
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert "directly at the exchange" in refused.json()["detail"]
    world.lead(place, with_system=False)
    silent = post(api(operator), "positions/ETH/close/", {"reason": "Risk"})
    assert (silent.status_code, silent.json()["code"]) == (502, "unreachable")
    assert "still -0.4" in silent.json()["detail"] and world.positions() == {"ETH": "-0.4"}
    assert post(api(operator), "positions/BTC/close/", {"reason": "Risk"}).status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("positions/ETH/close/", {}, "reason"),
        ("positions/ETH/close/", {"reason": "a\0b"}, "reason"),
        ("positions/ETH/close/", {"reason": "x" * 2001}, "reason"),
        ("positions/ETH/close/", {"reason": "Risk", "via": "pigeon"}, "via"),
        ("positions/ETH/close/", {"reason": "Risk", "force": True}, "force"),
        ("positions/E%20TH/close/", {"reason": "Risk"}, "symbol"),
        ("orders/cancel/", {"reason": "Risk", "order": "1", "symbol": "BTC"}, "order"),
        ("orders/cancel/", {"reason": "Risk", "order": "1; 2"}, "order"),
        ("orders/cancel/", {"reason": "Risk", "symbol": "B TC"}, "symbol"),
        ("reconciliation/", {"symbols": "BTC", "reason": "Fill"}, "symbols"),
        ("reconciliation/", {"symbols": [], "reason": "Fill"}, "symbols"),
        ("reconciliation/", {"symbols": [1], "reason": "Fill"}, "symbols"),
        ("reconciliation/", {"symbols": ["B TC"], "reason": "Fill"}, "symbols"),
        ("reconciliation/", {"symbols": "all"}, "reason"),
    ],
)
def test_a_wrong_field_is_named(api, production, admin, path, body, field):
    answer = post(api(admin), path, body)
    assert answer.status_code == 400 and list(answer.json()["errors"]) == [field], answer.json()


def test_orders_and_cancelling_them(api, world, place, operator):
    one, two, three = world.rest("BTC"), world.rest("BTC"), world.rest("ETH", "0.5")
    client = api(operator)
    listed = {order["id"]: order for order in client.get(BASE + "orders/").json()["orders"]}
    assert sorted(listed) == sorted([one, two, three])
    assert (listed[one]["side"], listed[one]["size"], listed[one]["kind"]) == ("buy", "0.02", "Limit")
    done = post(client, "orders/cancel/", {"reason": "Stale", "order": one, "via": "exchange"}).json()
    assert done["done"] and done["before"] == [one] and done["remaining"] == []
    assert post(client, "orders/cancel/", {"reason": "Stale", "symbol": "BTC"}).json()["before"] == [two]
    assert post(client, "orders/cancel/", {"reason": "Stale"}).json()["before"] == [three] and world.orders() == []


def test_reconciliation(api, world, place, admin, operator):
    client = api(admin)
    assert client.get(BASE + "reconciliation/").json()["latest"] is None
    world.inject("BTC", "0.02")
    world.inject("ETH", "-0.4")
    found = post(api(operator), "reconciliation/").json()
    assert found["latest"]["verdict"] == "fail" and "BTC, ETH" in found["promotion_block"]
    assert found["latest"]["differences"][1] == {
        "symbol": "ETH",
        "internal": "0",
        "exchange": "-0.4",
        "delta": "-0.4",
        "class": "missing_internal",
    }
    assert post(api(operator), "reconciliation/", {"symbols": "all", "reason": "Fill"}).status_code == 403
    one = post(client, "reconciliation/", {"symbols": ["BTC"], "reason": "Missed fill"}).json()
    assert one["latest"]["adopted"] == ["BTC"] and world.kept() == {"BTC": "0.02"}
    rest = post(client, "reconciliation/", {"symbols": "all", "reason": "Missed fill"}).json()
    assert rest["latest"]["verdict"] == "pass" and rest["promotion_block"] is None
    assert post(client, "reconciliation/", {"symbols": "all", "reason": "Again"}).status_code == 409
    assert client.get(BASE + "reconciliation/").json()["latest"]["actor"] == admin.display_name


def test_the_list_of_comparisons(api, production, staging, operator, key_of, client, admin):
    for number, environment in enumerate((production, staging)):
        for minutes in range(3):
            Comparison.objects.create(
                environment=environment,
                at=timezone.now() - timedelta(minutes=minutes),
                verdict="fail" if minutes == number else "pass",
            )
    caller = api(operator)
    everything = caller.get("/api/v1/comparisons/").json()
    assert everything["count"] == 6
    found = caller.get("/api/v1/comparisons/?environment=staging&verdict=fail").json()["results"]
    assert [(one["environment"], one["verdict"]) for one in found] == [("staging", "fail")]
    assert caller.get("/api/v1/comparisons/?verdict=maybe").status_code == 400
    bounded = {"Authorization": f"Bearer {key_of(admin, environments=['staging'])}"}
    assert client.get("/api/v1/comparisons/", headers=bounded).json()["count"] == 3
    with CaptureQueriesContext(connection) as few:
        caller.get("/api/v1/comparisons/?page_size=1")
    with CaptureQueriesContext(connection) as many:
        caller.get("/api/v1/comparisons/")
    assert len(few) == len(many)
