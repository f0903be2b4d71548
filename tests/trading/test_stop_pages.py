"""The pages of the kill switch, without a script: press, progress, what is left, reason, the banner of every page."""

from __future__ import annotations

import json
import re
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.topics import Reload, draw
from environments.models import Environment
from environments.permissions import reach
from tests.trading.stop_world import ended, exchange_world, followed, reached, state, stop_world
from trading import live, stop_files, stop_pages, stop_view
from trading.models import EmergencyStop
from trading.stop import journal, latch, snapshot
from trading.stop.latch import Latch

assert live, "importing registers the topics"
pytestmark = pytest.mark.django_db
__all__ = ["exchange_world", "stop_world"]
JSON = {"Accept": "application/json"}


@pytest.fixture
def page():
    """A client in which a person is signed in."""

    def enter(user):
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return enter


def text_of(answer) -> str:
    """What a reader sees, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_pressing_by_the_form(stop_world, production, page, operator):
    stop_world.fill("production")
    client = page(operator)
    for typed in ({}, {"confirm": "yes"}):
        answer = client.post("/kill-switch/production/", typed)
        assert answer.status_code == 400 and "Type STOP to stop production." in text_of(answer)
    assert stop_files.held_latch("production") is None
    answer = client.post("/kill-switch/production/", {"confirm": "stop", "reason": "Prices"})
    assert answer.status_code == 302 and answer["Location"].startswith("/kill-switch/stops/")
    stop = answer["Location"].split("/")[3]
    assert "Emergency stop of production" in text_of(client.get(answer["Location"])), "before the row is written"
    reached(production, stop, "FLAT")
    seen = text_of(client.get(answer["Location"]))
    assert "Confirmed flat" in seen and "0 orders, 0 positions, and the writer is halted" in seen
    for title in ("Requested", "Halt acknowledged", "Orders cancelled", "Positions closed"):
        assert title in seen
    assert client.get("/kill-switch/production/").status_code == 302


def test_the_dialog_gets_an_address(stop_world, production, page, operator, developer):
    answer = page(operator).post("/kill-switch/production/", {"confirm": "STOP"}, headers=JSON)
    assert answer.status_code == 202
    found = answer.json()
    assert found["url"] == f"/kill-switch/stops/{found['id']}/" and found["joined"] is False
    denied = page(developer).post("/kill-switch/production/", {"confirm": "STOP"}, headers=JSON)
    assert denied.status_code == 403 and "It takes: Admin or Operator" in denied.json()["detail"]
    drill = page(operator).post("/kill-switch/production/", {"confirm": "STOP", "drill": "1"}, headers=JSON)
    assert drill.status_code == 409 and "Nothing was done" in drill.json()["detail"]
    ended(production, found["id"])


def test_every_page_says_that_it_is_engaged(production, page, operator, developer):
    client = page(operator)
    assert "KILL SWITCH ENGAGED" not in text_of(client.get("/"))
    at = timezone.now()
    latch.engage(stop_files.folder("production"), Latch(str(uuid.uuid4()), "production", at.timestamp(), "Otto"))
    seen = text_of(client.get("/"))
    assert f"KILL SWITCH ENGAGED: production since {at:%H:%M:%S} UTC" in seen
    assert "The reason is not stated yet." in seen and "Say why" in seen
    seen = text_of(page(developer).get("/"))
    assert "KILL SWITCH ENGAGED: production" in seen and "Say why" not in seen


def test_the_button_is_for_those_who_may_press(production, page, operator, developer):
    for user, there in ((operator, True), (developer, False)):
        html = page(user).get("/releases/").content.decode()
        assert ('id="kill-open"' in html, 'data-kill-does="production"' in html) == (there, there)


def test_what_it_would_do_now(stop_world, production, page, operator):
    stop_world.fill("production", orders=3)
    client = page(operator)
    assert "is not known here yet" in client.get("/kill-switch/now.json").json()["production"]
    kept = stop_files.written("production")
    snapshot.refresh(kept.exchange, kept.snapshot_path)
    said = client.get("/kill-switch/now.json").json()["production"]
    assert said.startswith("cancels 3 open orders and closes 2 positions (BTC, ETH), as read at ")
    assert said in text_of(client.get("/kill-switch/"))
    document = json.loads(kept.snapshot_path.read_text())
    kept.snapshot_path.write_text(json.dumps(document | {"at": document["at"] - 60}))
    assert re.search(r", 6\d s ago: what is open may differ", client.get("/kill-switch/now.json").json()["production"])


def test_not_confirmed_lists_what_is_left_with_a_button_each(stop_world, production, page, operator):
    stop_world.fill("production")
    stop_world.exchange.faults(depth={"ETH": 0})
    client = page(operator)
    address = client.post("/kill-switch/production/", {"confirm": "STOP"})["Location"]
    reached(production, address.split("/")[3], "NOT_FLAT")
    answer = client.get(address)
    seen = text_of(answer)
    assert "NOT FLAT" in seen and "Left: 1 position, no orders." in seen and "could not immediately match" in seen
    assert 'href="/positions/production/ETH/close/"' in answer.content.decode()
    assert "NOT CONFIRMED. Left: 1 position" in text_of(client.get("/"))


def told(**fields):
    """A stop whose journal ends after the press."""
    pressed = {"event": "pressed", "at": 1000.0, "id": "x", "environment": "production", "actor": "Otto"}
    return stop_view.page_of(uuid.uuid4(), "production", journal.summary([pressed]), **fields)


def test_after_five_seconds_it_says_not_confirmed():
    early, late = told(now=1004.9), told(now=1005.0)
    assert (early.state, early.tone) == ("stopping", "plain")
    assert (late.state, late.tone) == ("late", "crit") and late.says.startswith("Not confirmed after 5.00 s.")
    assert {step.status for step in late.steps[1:]} == {"late"}
    assert early.stamp != late.stamp


def test_a_look_after_flat_that_finds_something_takes_flat_back():
    entries = [
        {"event": "pressed", "at": 1000.0, "id": "x", "environment": "production", "actor": "Otto"},
        {"event": "flat", "at": 1002.1},
        {"event": "outcome", "at": 1002.1, "outcome": "FLAT"},
    ]
    flat = stop_view.page_of(uuid.uuid4(), "production", journal.summary(entries), now=1003.0)
    assert (flat.outcome, flat.state) == ("FLAT", "flat") and "2.10 s after the press" in flat.says
    entries.append({"event": "recheck", "at": 1012.1, "after": 10.0, "clean": False})
    again = stop_view.page_of(uuid.uuid4(), "production", journal.summary(entries), now=1013.0)
    assert (again.outcome, again.state) == (None, "late")
    assert again.notes == ["Looked again at 00:16:52 UTC: something was there again."]


def test_the_live_topic_draws_the_page(stop_world, production, page, operator, django_assert_num_queries):
    stop_world.fill("production")
    stop_world.exchange.faults(depth={"ETH": 0})
    client = page(operator)
    address = client.post("/kill-switch/production/", {"confirm": "STOP"})["Location"]
    stop = address.split("/")[3]
    html = client.get(address).content.decode()
    with django_assert_num_queries(0):
        view = draw(f"stop.{stop}")
    for region, content in view.regions.items():
        assert f'id="{region}"' in html
        assert isinstance(content, Reload) or "<form" not in content
    assert "Halt acknowledged" in view.regions["stop-body"]
    assert view.regions["stop-acts"].url == f"{address}acts/"
    assert live.may_see_stop(operator, stop) and not live.may_see_stop(operator, str(uuid.uuid4()))
    assert live.production_of_stop(stop) == ["production"]
    ended(production, stop)


def test_the_page_of_all_is_live(production, staging, page, operator):
    html = page(operator).get("/kill-switch/").content.decode()
    view = draw("stops")
    assert {"place-production", "place-staging", "uses-body"} == set(view.regions)
    assert all(f'id="{region}"' in html for region in view.regions)


def test_the_reason_by_the_form(production, page, operator, developer):
    row = EmergencyStop.objects.create(
        environment=production, pressed_at=timezone.now(), actor_name="Otto", via="page", outcome="FLAT"
    )
    client, address = page(operator), f"/kill-switch/stops/{row.pk}/"
    assert "Why was trading stopped?" in text_of(client.get(address))
    assert "Why was trading stopped?" not in text_of(page(developer).get(address))
    answer = client.post(f"{address}reason/", {"reason": " "})
    assert answer.status_code == 400 and "Say why" in text_of(answer)
    assert client.post(f"{address}reason/", {"reason": "Prices"}).status_code == 302
    assert "Why was trading stopped?" not in text_of(client.get(address))
    assert client.post(f"{address}reason/", {"reason": "Other"}).status_code == 409


def test_who_releases(production, staging, page, admin, operator):
    latch.engage(stop_files.folder("production"), Latch("", "production", 1.0, "Otto"))
    row = EmergencyStop.objects.create(environment=production, pressed_at=timezone.now(), actor_name="Otto")
    address = f"/kill-switch/stops/{row.pk}/"
    assert f'href="{address}release/"' in page(admin).get(address).content.decode()
    seen = page(operator).get(address)
    assert f'href="{address}release/"' not in seen.content.decode()
    assert "Releasing the kill switch takes: Admin, and a second person." in text_of(seen)
    latch.engage(stop_files.folder("staging"), Latch("", "staging", 1.0, "Otto", drill=True))
    pressed_at = timezone.now() - timedelta(minutes=1)
    drill = EmergencyStop.objects.create(environment=staging, pressed_at=pressed_at, actor_name="Otto", drill=True)
    seen = page(operator).get(f"/kill-switch/stops/{drill.pk}/")
    assert "End the drill and resume staging" in text_of(seen) and "DRILL" in text_of(seen)


def test_the_page_takes_a_fixed_number_of_queries(production, staging, operator, django_assert_num_queries):
    for number in range(12):
        EmergencyStop.objects.create(
            environment=(production, staging)[number % 2], pressed_at=timezone.now(), actor_name="Otto", outcome="FLAT"
        )
    with django_assert_num_queries(3):
        assert len(stop_pages.overview(operator).uses) == 10
    with django_assert_num_queries(2):
        stop_pages.frame(reach(operator, Environment.objects.all()))


def test_the_list_of_uses(stop_world, staging, page, operator):
    stop_world.fill("staging")
    client = page(operator)
    answer = client.post("/kill-switch/staging/", {"confirm": "STOP", "drill": "1", "reason": "Monthly"})
    ended(staging, answer["Location"].split("/")[3])
    followed()
    seen = text_of(client.get("/kill-switch/"))
    assert "DRILL" in seen and "Monthly" in seen and re.search(r"0\.\d\d s .*Confirmed flat", seen)
    assert state(staging, answer["Location"].split("/")[3]).drill
