"""The pages of the breakers and of the leave to trade, as a browser without a script uses them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import trading.live  # noqa: F401  registers the topics
from accounts.topics import Reload, draw, find
from audit.models import Record
from environments.models import Environment
from tests.accounts.factors import enter, give_second_factor
from tests.pages.test_live_page import words
from tests.trading import breaker_world
from trading.carrying_out import carry_out_all
from trading.models import BreakerTrip, Clearance, EmergencyStop
from trading.stop import latch as latch_file

pytestmark = pytest.mark.django_db
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
FORM = {
    f"{name}-{key}": text
    for key in ("fixed", "legitimate", "healthy")
    for name, text in (("answer", "yes"), ("note", "Looked"))
}
RELEASE = {
    f"{name}-{key}": text
    for key in ("reason", "flat", "reconciled", "version")
    for name, text in (("answer", "yes"), ("note", "Looked"))
}


@pytest.fixture
def ada(scene, admin):
    give_second_factor(admin)
    return enter(admin)


@pytest.fixture
def alan(scene, person):
    user = person("alan", "Admin")
    give_second_factor(user)
    return enter(user)


@pytest.fixture
def otto(scene, operator):
    return enter(operator)


@pytest.fixture
def rest(db, tmp_path, settings):
    """The inventory alone; nothing of it runs."""
    from tests.cast import apply_system

    settings.OPSC_STOPS = tmp_path / "stops"
    return apply_system(tmp_path)


def test_from_the_trip_to_trading_again(scene, ada, alan, otto):
    assert "Closed" in words(otto.get("/breakers/"))
    assert otto.post("/breakers/production/trip/", {"reason": " "}).status_code == 400
    done = otto.post("/breakers/production/trip/", {"reason": "Odd fills"})
    trip = BreakerTrip.objects.get()
    assert (done.status_code, done["Location"]) == (302, f"/breakers/{trip.pk}/")
    text = words(otto.get("/breakers/"))
    assert "Open: trading stopped" in text and "Opened by hand" in text and "by Otto Operator" in text
    page = words(otto.get(f"/breakers/{trip.pk}/"))
    assert "Admin answers three questions" in page and "Keep the answers" not in page

    url = f"/breakers/{trip.pk}/"
    page = words(ada.get(url))
    assert (
        "Seen now" in page and re.search("It has no trades yet|The last .* PnL", page) and "has no answer yet" in page
    )
    wrong = ada.post(f"{url}validate/", FORM | {"note-legitimate": ""})
    assert wrong.status_code == 400 and "Say what the answer rests on." in words(wrong)
    assert 'name="answer-fixed" value="yes" required checked' in wrong.content.decode(), "what was typed stays"
    assert ada.post(f"{url}validate/", FORM).status_code == 302
    unproven = ada.post(f"{url}reset/", {"reason": "Fixed", "name_typed": "production"})
    assert unproven.status_code == 403 and scene.client().circuit_breaker().is_open
    reset = _prove(ada, url, f"{url}reset/", {"reason": "Fixed"})
    assert reset.status_code == 302 and not scene.client().circuit_breaker().is_open and scene.role() == "HALTED"
    assert "The reset starts nothing." in words(ada.get(url)) and "Looked" in words(ada.get(url))

    resume(scene, ada, alan)


def resume(scene, ada, alan) -> None:
    """Ada asks, Alan approves, the monitor does it."""
    scene.sample()
    page = words(ada.get("/clearances/resume/production/"))
    assert "What has to be true, now" in page and "blue (v1.2.4) trades again, under a new epoch" in page
    asked = ada.post("/clearances/resume/production/", {"reason": "Feed mended"})
    clearance = Clearance.objects.get()
    assert asked["Location"] == f"/clearances/{clearance.pk}/"
    assert "You asked for this; another person must decide." in words(ada.get(asked["Location"]))
    page = alan.get(asked["Location"])
    assert "It waits for you." in words(page) and "confirm-approve" in page.content.decode()
    subject = re.search(r'name="subject" value="([0-9a-f]{64})"', page.content.decode()).group(1)
    own = ada.post(f"{asked['Location']}approve/", {"subject": subject})
    assert own.status_code == 403
    assert alan.post(f"{asked['Location']}approve/", {"subject": subject}).status_code == 302
    assert "Approved, being done" in words(alan.get(asked["Location"]))
    carry_out_all()
    page = words(alan.get(asked["Location"]))
    assert "Done" in page and "read back as ACTIVE" in page and scene.role() == "ACTIVE"


def _prove(client, page: str, address: str, fields: dict[str, str]):
    """Send a form of a page with the present code of the authenticator app."""
    import time

    import pyotp

    from accounts.models import AuthenticatorApp
    from tests.accounts.factors import SEED

    for _ in range(2):
        AuthenticatorApp.objects.update(last_step=0)
        found = re.search(r'name="challenge" value="([^"]+)"', client.get(page).content.decode())
        assert found, "the page asks for no proof"
        step = int(time.time()) // 30
        proof = {"challenge": found.group(1), "code": pyotp.TOTP(SEED).now(), "name_typed": "production"}
        response = client.post(address, {**fields, **proof})
        if step == int(time.time()) // 30:
            break
    return response


def test_the_release_takes_answers_a_proof_and_another_person(scene, stops, ada, alan, otto, admin):
    now = timezone.now()
    stop = EmergencyStop.objects.create(
        environment=scene.environment, actor_name="Otto", via="page", reason="Runaway", pressed_at=now, outcome="FLAT"
    )
    latch_file.engage(stops / "production", latch_file.Latch(str(stop.pk), "production", now.timestamp(), "otto"))
    Environment.objects.filter(pk=scene.environment.pk).update(latched_at=now)
    scene.press()
    url = f"/kill-switch/stops/{stop.pk}/release/"
    assert "It takes: Admin." in words(otto.get(url)) and otto.post(url, RELEASE).status_code == 403
    page = words(ada.get(url))
    assert "Pressed by Otto" in page and "Is the account flat, or are the positions wanted?" in page
    assert ada.post(url, RELEASE | {"note-flat": ""}).status_code == 400
    blocked = ada.post(url, RELEASE | {"answer-flat": "no"})
    assert blocked.status_code == 409 and "Close what is left" in words(blocked)
    assert ada.post(url, RELEASE | {"reason": "Mended"}).status_code == 403
    asked = _prove(ada, url, url, RELEASE | {"reason": "Mended"})
    assert asked.status_code == 302, words(asked)
    address = asked["Location"]
    subject = {"subject": Clearance.objects.get().subject}
    assert alan.post(f"{address}approve/", subject).status_code == 403, "a proof is needed here, too"
    assert "Looked" in words(alan.get(address))
    assert _prove(alan, address, f"{address}approve/", subject).status_code == 302
    carry_out_all()
    page = words(ada.get(address))
    assert "The kill switch is released." in page and "Nothing trades yet. Resume trading" in page
    assert scene.role() == "HALTED" and latch_file.read(stops / "production") is None
    resume = words(ada.get("/clearances/resume/production/"))
    assert "production-blue-1 is restarted first" in resume
    confirmed = Record.objects.filter(action="account.confirmed").order_by("id")
    assert [one.after["action"] for one in confirmed] == ["stop.released", "clearance.approved"]


def test_while_latched_the_pages_lead_to_the_kill_switch(scene, stops, ada):
    stop = EmergencyStop.objects.create(
        environment=scene.environment, actor_name="Otto", via="page", pressed_at=timezone.now(), outcome="FLAT"
    )
    latch_file.engage(stops / "production", latch_file.Latch(str(stop.pk), "production", 1.0, "otto"))
    page = ada.get("/clearances/resume/production/")
    assert "The kill switch is engaged." in words(page) and f"/kill-switch/stops/{stop.pk}/" in page.content.decode()
    refused = ada.post("/clearances/resume/production/", {"reason": "Now"})
    assert refused.status_code == 409 and "Release it on the page of the kill switch" in words(refused)


def test_what_is_not_confirmed_is_said_on_the_page(scene, otto):
    scene.stop()
    refused = otto.post("/breakers/production/trip/", {"reason": "Odd fills"})
    assert (
        refused.status_code == 502 and "Not confirmed." in words(refused) and "press the kill switch" in words(refused)
    )


def make_trip(rest, **fields) -> BreakerTrip:
    given = {"reason_code": "daily_loss", "reason": "the daily loss limit was passed", "observed": "0.0312"}
    given |= {"threshold": "0.03", "tripped_at": timezone.now(), "instance_name": "production-blue-1", **fields}
    return BreakerTrip.objects.create(environment=rest.environments.get(name="production"), **given)


def test_an_open_breaker_shows_its_bar_and_what_could_not_be_read(rest, person):
    trip = make_trip(rest)
    client = enter(person("otto", "Operator"))
    page = client.get("/breakers/")
    assert "Daily loss limit hit" in words(page) and 'aria-label="Loss of the day: 3.12 %, limit 3.00 %"' in (
        page.content.decode()
    )
    assert "No data" in words(client.get(f"/breakers/{trip.pk}/"))


def test_without_anything_the_page_says_what_it_is_for(rest, person):
    assert "so there is no breaker" in words(enter(person("otto", "Operator")).get("/breakers/"))
    assert "You see no environment" in words(enter(person("nemo", None)).get("/breakers/"))


def test_the_list_takes_the_same_queries_for_many(rest, person):
    client = enter(person("otto", "Operator"))

    def queries() -> int:
        with CaptureQueriesContext(connection) as taken:
            assert client.get("/breakers/").status_code == 200
        return len(taken)

    make_trip(rest)
    queries()
    few = queries()
    for number in range(6):
        make_trip(rest, instance_name=f"i{number}", reset_at=timezone.now() if number % 2 else None)
    assert queries() == few


def test_live_pages_get_the_cards_and_the_decision(rest, person):
    make_trip(rest)
    ada = person("ada", "Admin")
    view = draw("breakers")
    place = rest.environments.get(name="production")
    assert "Daily loss limit hit" in view.regions[f"breakers-of-{place.pk}"]
    assert "<form" not in "".join(str(region) for region in view.regions.values())
    made = Clearance.objects.create(
        environment=place, kind="resume", requested_by=ada, expires_at=timezone.now() + timedelta(minutes=5)
    )
    decision = draw(f"clearance.{made.pk}").regions["decision"]
    assert isinstance(decision, Reload) and decision.url == f"/clearances/{made.pk}/decision/"
    Clearance.objects.update(status="approved", detail="starts")
    assert draw(f"clearance.{made.pk}").regions["decision"].stamp != decision.stamp
    topic, key = find(f"clearance.{made.pk}")
    assert list(topic.production(key)) == ["production"] and not topic.may_see(person("nemo", None), key)
