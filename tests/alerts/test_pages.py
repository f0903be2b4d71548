"""The pages of alerts: the count on every page, the list, one alert, acknowledging, and what live pages fetch."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import alerts.live  # noqa: F401  registers the topic
from accounts.topics import draw, find
from alerts import queries
from alerts.actions import acknowledge, clear
from alerts.models import Alert, Delivery
from audit.models import Record
from tests.pages.test_live_page import words

pytestmark = pytest.mark.django_db


def titles(response) -> list[str]:
    return re.findall(r'<th scope="row" class="card-title wrap"><a [^>]*>([^<]*)</a>', response.content.decode())


@pytest.fixture
def many(trouble, staging, operator, actor_of):
    """One alert in each state."""
    found = {
        "critical": trouble("C", severity="critical"),
        "warning": trouble("W", detail="Funding <b>rate"),
        "known": acknowledge(actor_of(operator), trouble("K", environment=staging, kind="breaker"), "I look at <it>"),
        "over": trouble("O", kind="contact"),
        "cleared": acknowledge(actor_of(operator), trouble("Z", severity="critical")),
        "nowhere": trouble("N", environment=None, kind="key", link="/account/keys/"),
    }
    for name in ("over", "cleared"):
        clear(found[name].kind, found[name].key)
    return found


def test_an_empty_list_says_what_it_is_for(browser, operator):
    text = words(browser(operator).get("/alerts/"))
    assert "No alert yet" in text and "until somebody acknowledges them" in text


def test_open_ones_first_then_the_critical_ones_then_the_newest(browser, operator, many):
    response = browser(operator).get("/alerts/")
    assert titles(response) == ["C", "N", "O", "K", "W", "Z"]
    text = words(response)
    assert "Otto Operator," in text and "“I look at &lt;it&gt;”" in text and "Not acknowledged cause gone" in text
    assert '<tr class="row-crit">' in response.content.decode()
    assert response.content.decode().count('href="/positions/">What to do') == 5


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("environment=staging", "K"), ("kind=key", "N"), ("severity=critical", "CZ"), ("state=open", "CNOKW"),
        ("state=waiting", "CNOW"), ("state=acknowledged", "K"), ("state=cleared", "OZ"), ("q=funding", "W"),
        ("q=look at", "K"), ("environment=production&severity=warning", "OW"), ("q=nothing-like-it", ""),
    ],
)  # fmt: skip
def test_filters(query, found, browser, operator, many):
    response = browser(operator).get(f"/alerts/?{query}")
    assert titles(response) == [*found]
    assert ("No alert matches" in words(response)) is (not found)


def test_a_wrong_filter_is_named_and_left_out(browser, operator, many):
    response = browser(operator).get("/alerts/?state=gone&severity=fatal&q=%00&page=zzz")
    text = words(response)
    assert len(titles(response)) == 6 and "There is no state “gone”" in text and "A filter was left out." in text


def test_fifty_a_page_and_the_filter_stays(browser, operator, trouble):
    for number in range(60):
        trouble(f"T{number:02}")
    first = browser(operator).get("/alerts/?severity=warning")
    assert len(titles(first)) == 50 and "Page 1 of 2, 60 alerts" in words(first)
    assert 'rel="next" href="/alerts/?severity=warning&amp;page=2"' in first.content.decode()
    assert len(titles(browser(operator).get("/alerts/?severity=warning&page=2"))) == 10


def test_the_header_of_every_page_counts_what_waits(browser, operator, many, person):
    for address in ("/", "/audit/", "/account/"):
        text = words(browser(operator).get(address))
        assert "Alerts 4 : 4 not acknowledged, 1 critical" in text, address
    assert "Alerts : none waits" in words(browser(person("nemo", None)).get("/account/"))
    assert "bell-crit" in browser(operator).get("/audit/").content.decode()
    acknowledge_by_hand = browser(operator).post(f"/alerts/{many['critical'].pk}/acknowledge/")
    assert acknowledge_by_hand.status_code == 302
    page = browser(operator).get("/audit/")
    assert "3 not acknowledged" in words(page) and "bell-crit" not in page.content.decode()


class TestOne:
    def test_everything_about_it(self, browser, operator, trouble):
        alert = trouble("BTC", detail="internal 0.5\nexchange 0.3 <b>")
        trouble("BTC", detail=alert.detail)
        Delivery.objects.create(alert=alert, channel="on-call", at=timezone.now(), ok=True)
        Delivery.objects.create(
            alert=alert, channel="chat", at=timezone.now(), ok=False, tries=3, detail="answered 500"
        )
        page = browser(operator).get(f"/alerts/{alert.pk}/")
        text = words(page)
        for shown in (
            "Nobody has acknowledged it yet.", "seen 2 times", "What to do", "Positions differ", "production:BTC",
            "Alert raised", "Seen for the 2nd time", "Sent to on-call (raised)",
            "Not sent to chat (raised, attempt 3) answered 500", "Acknowledge",
        ):  # fmt: skip
            assert shown in text, shown
        assert "exchange 0.3 &lt;b&gt;" in page.content.decode()
        assert "PRODUCTION" in text

    def test_acknowledged_with_a_note_that_can_be_changed(self, browser, operator, admin, trouble):
        alert = trouble()
        client = browser(operator)
        done = client.post(f"/alerts/{alert.pk}/acknowledge/", {"note": "I call them", "seen": "warning"}, follow=True)
        text = words(done)
        assert done.redirect_chain == [(f"/alerts/{alert.pk}/", 302)]
        assert "Acknowledged: BTC differs" in text and "Otto Operator knows of it; its cause is still there." in text
        assert "I call them" in text and "Change the note" in text
        changed = browser(admin).post(f"/alerts/{alert.pk}/acknowledge/", {"note": "They mend it"}, follow=True)
        assert "The note is kept." in words(changed) and "Note of an alert changed Ada Admin" in words(changed)
        again = browser(admin).post(f"/alerts/{alert.pk}/acknowledge/", {}, follow=True)
        assert "Otto Operator had acknowledged it before." in words(again)
        assert Alert.objects.get().note == "They mend it"

    def test_a_warning_that_became_critical_meanwhile(self, browser, operator, trouble):
        alert = trouble()
        trouble(severity="critical")
        refused = browser(operator).post(f"/alerts/{alert.pk}/acknowledge/", {"seen": "warning", "note": "I look"})
        assert refused.status_code == 409 and "It became critical meanwhile." in words(refused)
        assert "I look" in refused.content.decode() and Alert.objects.get().state == "open"

    def test_a_note_that_is_too_long_is_kept_in_the_form(self, browser, operator, trouble):
        alert = trouble()
        refused = browser(operator).post(f"/alerts/{alert.pk}/acknowledge/", {"note": "x" * 2001})
        assert refused.status_code == 400 and "at most 2000 are kept" in words(refused)
        assert "x" * 2001 in refused.content.decode()

    def test_who_only_looks_gets_no_button(self, browser, developer, trouble):
        alert = trouble()
        for address in ("/alerts/", f"/alerts/{alert.pk}/"):
            page = browser(developer).get(address).content.decode()
            assert f'action="/alerts/{alert.pk}/acknowledge/"' not in page
        assert "an Operator or an Admin acknowledges it" in words(browser(developer).get(f"/alerts/{alert.pk}/"))
        assert browser(developer).post(f"/alerts/{alert.pk}/acknowledge/").status_code == 403
        assert Record.objects.filter(action="access.denied", environment="production").exists()

    def test_what_is_not_there_or_not_seen(self, browser, operator, person, trouble):
        alert = trouble()
        for client, number in ((browser(operator), 999_999), (browser(person("nemo", None)), alert.pk)):
            assert client.get(f"/alerts/{number}/").status_code == 404
            assert client.post(f"/alerts/{number}/acknowledge/").status_code == 404
            assert client.get(f"/alerts/parts/?part=alert&pk={number}").status_code == 404

    @pytest.mark.parametrize(
        ("back", "leads_to"),
        [("/alerts/?state=open&page=2", "/alerts/?state=open&page=2"), ("https://evil.example", "/alerts/{pk}/"),
         ("//evil.example", "/alerts/{pk}/"), ("/alerts/\\evil", "/alerts/{pk}/"), ("/audit/", "/alerts/{pk}/")],
    )  # fmt: skip
    def test_it_leads_back_to_the_list_and_nowhere_else(self, back, leads_to, browser, operator, trouble):
        alert = trouble()
        done = browser(operator).post(f"/alerts/{alert.pk}/acknowledge/", {"back": back})
        assert done["Location"] == leads_to.format(pk=alert.pk)


class TestAllAtOnce:
    def fields(self, client, query="") -> dict[str, str]:
        page = client.get(f"/alerts/{query}").content.decode()
        form = re.search(r'<form method="post" action="/alerts/acknowledge/".*?</form>', page, re.S)
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form.group(0))) if form else {}

    def test_what_matches_and_was_there(self, browser, operator, trouble, staging):
        trouble("A"), trouble("B"), trouble("C", environment=staging)
        client = browser(operator)
        given = self.fields(client, "?environment=production")
        assert (given["environment"], given["back"]) == ("production", "/alerts/?environment=production")
        trouble("D")
        done = client.post("/alerts/acknowledge/", {**given, "note": "Exchange is down"}, follow=True)
        assert "Acknowledged 2 alerts." in words(done)
        states = {alert.title: (alert.state, alert.note) for alert in Alert.objects.all()}
        assert states == {
            "A": ("acknowledged", "Exchange is down"), "B": ("acknowledged", "Exchange is down"),
            "C": ("open", ""), "D": ("open", ""),
        }  # fmt: skip
        assert Record.objects.filter(action="alert.acknowledged", actor=operator).count() == 2

    def test_nothing_that_waits_behind_the_button_for_new_ones(self, browser, operator, trouble):
        newest = [trouble("A"), trouble("B")][-1].pk
        trouble("C")
        part = browser(operator).get(f"/alerts/parts/?part=list&upto={newest}").content.decode()
        given = dict(re.findall(r'<input type="hidden" name="(drawn_at|upto)" value="([^"]*)"', part))
        browser(operator).post("/alerts/acknowledge/", given)
        assert {alert.title for alert in Alert.objects.exclude(acknowledged_at=None)} == {"A", "B"}

    def test_only_where_the_person_works(self, browser, developer, trouble, staging):
        trouble("A"), trouble("B"), trouble("C", environment=staging), trouble("D", environment=None)
        client = browser(developer)
        page = words(client.get("/alerts/"))
        assert "Acknowledge all 2" in page
        client.post("/alerts/acknowledge/", self.fields(client))
        assert {alert.title for alert in Alert.objects.exclude(acknowledged_at=None)} == {"C", "D"}

    def test_one_alone_has_its_own_button(self, browser, operator, trouble):
        trouble()
        assert self.fields(browser(operator)) == {}

    @pytest.mark.parametrize(
        "given", [{}, {"drawn_at": "now"}, {"drawn_at": "2026-01-21T00:00:00"}, {"state": "gone"}, {"note": "x" * 2001}]
    )
    def test_a_form_that_does_not_say_what_was_seen_does_nothing(self, given, browser, operator, trouble):
        trouble()
        drawn = {"drawn_at": (timezone.now() + timedelta(seconds=9)).isoformat()} if "note" in given else {}
        assert browser(operator).post("/alerts/acknowledge/", {**drawn, **given}).status_code == 400
        assert Alert.objects.get().state == "open"


class TestLive:
    def test_each_region_has_its_place_its_stamp_and_what_it_shows(self, browser, operator, many):
        found = {}
        for address in ("/alerts/?severity=warning", f"/alerts/{many['warning'].pk}/"):
            page = browser(operator).get(address).content.decode()
            assert 'data-topics="alerts"' in page
            for region, part in draw("alerts").regions.items():
                if place := re.search(rf'id="{region}"[^>]*data-stamp="([^"]*)"(?: data-query="([^"]*)")?', page):
                    assert place.group(1) == part.stamp, "or the page would fetch what it has"
                    url = part.url + (place.group(2) or "").replace("&amp;", "&")
                    fetched = browser(operator).get(url)
                    assert fetched.status_code == 200 and "<html" not in fetched.content.decode()
                    found[region] = fetched
        assert set(found) == {"alerts-badge", "alerts-new", "alerts-list", "alert-body"}
        assert titles(found["alerts-list"]) == ["N", "O", "K", "W"], "the filter of the page"
        assert found["alerts-new"].content.strip() == b""

    def test_new_ones_wait_behind_a_button(self, browser, operator, trouble):
        trouble("A")
        client = browser(operator)
        page = client.get("/alerts/?severity=warning").content.decode()
        queries_ = dict(re.findall(r'id="(alerts-\w+)"[^>]*data-query="([^"]*)"', page))
        trouble("B"), trouble("C", severity="critical")
        new = client.get("/alerts/parts/?part=new" + queries_["alerts-new"].replace("&amp;", "&"))
        assert "1 new alert: show" in words(new) and 'href="/alerts/?severity=warning"' in new.content.decode()
        shown = client.get("/alerts/parts/?part=list" + queries_["alerts-list"].replace("&amp;", "&"))
        assert titles(shown) == ["A"]

    def test_the_stamps_change_with_what_is_shown(self, trouble, operator, actor_of):
        stamps = [queries.stamp()]
        alert = trouble()
        stamps.append(queries.stamp())
        trouble()
        assert queries.stamp() == stamps[-1], "a repeat asks no page to fetch anything"
        acknowledge(actor_of(operator), alert)
        stamps.append(queries.stamp())
        clear(alert.kind, alert.key)
        stamps.append(queries.stamp())
        assert len(set(stamps)) == 4

    def test_a_critical_one_is_read_out_and_nothing_told_of_it(self, trouble, operator, actor_of):
        assert draw("alerts").say == ""
        trouble("W")
        assert draw("alerts").say == ""
        alert = trouble("BTC", severity="critical")
        view = draw("alerts")
        assert view.urgent and view.say.startswith("A critical alert came at ") and "BTC" not in view.say
        acknowledge(actor_of(operator), alert)
        assert draw("alerts").say == view.say, "that it was acknowledged is not read out"

    def test_who_may_follow(self, operator, person):
        topic, key = find("alerts")
        assert topic.may_see(operator, key) and not topic.may_see(person("nemo", None), key)
        assert [*topic.production(key)] == []


def test_the_pages_take_the_same_few_queries_however_much_there_is(browser, operator, trouble, actor_of):
    client = browser(operator)
    client.get("/alerts/")

    def count(address: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200
        return len(asked)

    found = []
    for number in range(1, 4):
        for name in range(number * 3):
            alert = trouble(f"{number} {name}")
            Delivery.objects.create(alert=alert, channel=f"c{name}", at=timezone.now(), ok=True)
            acknowledge(actor_of(operator), alert) if name % 2 else None
        found.append([count(address) for address in ("/alerts/", f"/alerts/{alert.pk}/", "/alerts/parts/?part=badge")])
    assert found[1] == found[2], found
    with CaptureQueriesContext(connection) as asked:
        queries.waiting_for(operator)
    assert len(asked) == 1, "the header"
