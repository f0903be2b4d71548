"""The pages of positions, orders and reconciliation, without a script, against a real exchange and trading system."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Record
from tests.trading import position_world
from trading import reconciliation
from trading.models import Comparison

pytestmark = pytest.mark.django_db
running, world = position_world.running, position_world.world
CLOSE = {"reason": "Risk", "via": "exchange"}


@pytest.fixture
def place(world, production):
    world.lead(production)
    return production


@pytest.fixture
def browser():
    def make(user) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return make


def words(response) -> str:
    text = re.sub(r"<(script|style).*?</\1>", "", response.content.decode(), flags=re.S)
    main = text.split('<main id="main"')[-1].split("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def row(response, symbol: str) -> str:
    found = [one for one in re.findall(r"<tr.*?</tr>", response.content.decode(), re.S) if f">{symbol}</th>" in one]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def toasts(response) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def test_both_sides_stand_side_by_side(browser, world, place, operator):
    world.inject("ETH", "-0.4")
    world.inject("BTC", "0.02")
    world.adopt()
    world.inject("BTC", "0.01")
    response = browser(operator).get("/positions/")
    btc, eth = row(response, "BTC"), row(response, "ETH")
    assert btc.startswith("BTC 0.02 0.03 Another size +0.01") and eth.startswith("ETH −0.4 −0.4 Equal")
    assert words(response).index("BTC 0.02") < words(response).index("ETH −0.4"), "what differs stands first"
    assert "2 symbols, 1 differs in this read; an order under way may be the reason" in words(response)
    assert "production-blue-1" in words(response) and "Halted" in words(response)


def test_a_silent_side_is_no_data_and_the_other_is_shown(browser, world, place, operator):
    world.inject("BTC", "0.02")
    world.lead(place, with_system=False)
    response = browser(operator).get("/positions/?environment=production")
    assert "BTC no data 0.02 Not compared" in row(response, "BTC") and "nobody listens there" in words(response)
    world.lead(place)
    world.adopt()
    world.faults(dead=["clearinghouseState"])
    response = browser(operator).get("/positions/?environment=production")
    assert "BTC 0.02 no data Not compared" in row(response, "BTC") and "Close" in row(response, "BTC")


def test_nothing_open_and_nothing_known_are_told_apart(browser, world, place, operator):
    assert "No open position Neither the system nor the exchange" in words(browser(operator).get("/positions/"))
    world.faults(dead=["clearinghouseState", "frontendOpenOrders", "openOrders"])
    assert "so positions may be open" in words(browser(operator).get("/positions/"))
    assert "so orders may be open" in words(browser(operator).get("/orders/"))


@pytest.mark.parametrize("path", ["/positions/", "/orders/", "/positions/reconciliation/"])
def test_somebody_without_a_role_is_told_so(browser, person, production, path):
    client = browser(person("nemo", None))
    assert "You see no environment" in words(client.get(path))
    assert client.get(f"{path}?environment=production").status_code == 404


@pytest.mark.parametrize(("path", "button"), [("/positions/", "Closing a position"), ("/orders/", "Cancelling orders")])
def test_who_may_not_act_sees_who_can(browser, world, place, developer, path, button):
    world.inject("BTC", "0.02")
    world.rest()
    shown = words(browser(developer).get(path))
    assert f"{button} in production takes: Admin or Operator" in shown and "/close/" not in shown
    assert "takes: Admin or Operator" in words(browser(developer).get("/positions/production/BTC/close/"))
    assert browser(developer).post("/positions/production/BTC/close/", CLOSE).status_code == 403
    assert world.positions() == {"BTC": "0.02"}


def test_close_says_what_it_does_and_then_what_is_left(browser, world, place, operator):
    world.inject("ETH", "-0.4")
    client = browser(operator)
    page = client.get("/positions/production/ETH/close/")
    assert "Buys 0.4 ETH at the market" in words(page) and "Hold 1.5 s to close ETH" in words(page)
    assert re.search(r'value="exchange" required checked', page.content.decode()), "the system does not know of it"
    done = client.post("/positions/production/ETH/close/", CLOSE, follow=True)
    assert done.redirect_chain == [("/positions/?environment=production", 302)]
    assert "Read back: nothing is left at the exchange" in toasts(done) and world.positions() == {}
    assert "The exchange has no position in ETH" in words(client.get("/positions/production/ETH/close/"))
    assert client.post("/positions/production/ETH/close/", CLOSE).status_code == 409


def test_a_refused_close_keeps_the_reason_and_offers_the_other_way(browser, world, place, operator):
    world.inject("ETH", "-0.4")
    world.lead(place, with_system=False)
    answer = browser(operator).post("/positions/production/ETH/close/", {"reason": "Too much risk", "via": "system"})
    assert answer.status_code == 502 and "Not closed." in words(answer) and "still -0.4" in words(answer)
    page = answer.content.decode()
    assert ">Too much risk</textarea>" in page and re.search(r'value="exchange" required checked', page)


def test_a_reason_is_needed(browser, world, place, operator):
    world.inject("ETH", "-0.4")
    answer = browser(operator).post("/positions/production/ETH/close/", {"reason": " ", "via": "exchange"})
    assert answer.status_code == 400 and "Say why" in words(answer) and world.positions() == {"ETH": "-0.4"}


@pytest.mark.parametrize("symbol", ["B%20TC", "x" * 60, "%3Cscript%3E"])
def test_no_symbol_is_no_page(browser, production, operator, symbol):
    assert browser(operator).get(f"/positions/production/{symbol}/close/").status_code == 404


def test_orders_and_cancelling_them(browser, world, place, operator):
    one, two, three = world.rest("BTC"), world.rest("BTC"), world.rest("ETH", "0.5")
    client = browser(operator)
    listed = client.get("/orders/")
    assert "Buy Limit 0.02" in row(listed, one) and "Cancel those of BTC ETH" in words(listed)
    page = client.get(f"/orders/production/cancel/?order={one}")
    assert f"Cancel order {one} in production" in words(page) and "Cancels 1 open order." in words(page)
    done = client.post("/orders/production/cancel/", {**CLOSE, "order": one, "symbol": ""}, follow=True)
    assert "none is left at the exchange" in toasts(done) and sorted(world.orders()) == sorted([two, three])
    client.post("/orders/production/cancel/", {**CLOSE, "symbol": "BTC"})
    assert world.orders() == [three]
    client.post("/orders/production/cancel/", {"reason": "Stale", "via": "system"})
    assert world.orders() == []
    assert client.get("/orders/production/cancel/?order=1&symbol=BTC").status_code == 404
    assert "Nothing to cancel" in words(client.get("/orders/production/cancel/"))


def test_reconciliation_from_compare_to_take_over(browser, world, place, admin):
    world.inject("BTC", "0.02")
    world.inject("ETH", "-0.4")
    client = browser(admin)
    assert "Never compared" in words(client.get("/positions/reconciliation/"))
    found = words(client.post("/positions/production/compare/", follow=True))
    assert "2 positions differ from the exchange" in found and "No promotion passes" in found
    assert "BTC Unknown to the system 0 0.02 +0.02" in found and "Missed fill notification" in found
    assert "Positions differ from the exchange." in words(client.get("/positions/"))
    page = words(client.get("/positions/production/adopt/?symbol=BTC"))
    assert "It becomes 0.02" in page and "ETH" not in page.split("What differs now")[1]
    done = client.post("/positions/production/adopt/", {"symbol": "BTC", "reason": "Missed fill"}, follow=True)
    assert "Taken over and read back: BTC." in toasts(done) and world.kept() == {"BTC": "0.02"}
    done = client.post("/positions/production/adopt/", {"reason": "Missed fill"}, follow=True)
    assert "taken over by Ada Admin and read back" in words(done) and world.kept() == world.positions()
    assert Record.objects.filter(action="positions.adopted", outcome="done").count() == 2
    assert client.post("/positions/production/adopt/", {"reason": "Again"}).status_code == 409


def test_an_operator_is_told_who_takes_over(browser, world, place, operator):
    world.inject("BTC", "0.02")
    reconciliation.check(place)
    client = browser(operator)
    assert "in production takes: Admin" in words(client.get("/positions/reconciliation/"))
    assert "takes: Admin" in words(client.get("/positions/production/adopt/"))
    assert client.post("/positions/production/adopt/", {"reason": "Because"}).status_code == 403


def test_no_data_is_told_as_such(browser, world, place, admin):
    world.lead(place, with_system=False)
    done = browser(admin).post("/positions/production/compare/", follow=True)
    assert "This says nothing about the positions" in words(done) and "Not compared" in toasts(done)


@pytest.mark.parametrize("path", ["/positions/", "/orders/", "/positions/reconciliation/"])
def test_rows_take_no_queries(browser, world, place, operator, path):
    client, counts = browser(operator), []
    for coins in (("BTC",), ("ETH", "SOL")):
        for coin in coins:
            world.inject(coin, {"BTC": "0.02", "ETH": "0.4", "SOL": "5"}[coin])
            world.rest(coin, {"BTC": "0.02", "ETH": "0.5", "SOL": "5"}[coin])
        for number in range(20):
            at = timezone.now() - timedelta(hours=number)
            Comparison.objects.create(environment=place, at=at, verdict="pass")
        client.get(path)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 25


def test_the_history_has_pages(browser, production, operator):
    for number in range(60):
        at = timezone.now() - timedelta(minutes=number)
        Comparison.objects.create(environment=production, at=at, verdict="pass")
    response = browser(operator).get("/positions/reconciliation/?page=2")
    assert "Page 2 of 2, 60 comparisons" in words(response)
    assert browser(operator).get("/positions/reconciliation/?page=nonsense").status_code == 200
