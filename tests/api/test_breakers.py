"""The circuit breaker over the API, against a real trading system."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Record
from tests.accounts.factors import enter, give_second_factor
from tests.trading import breaker_world
from trading.models import BreakerTrip

pytestmark = pytest.mark.django_db
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
TRIP = "/api/v1/environments/production/circuit-breaker/trip/"
ANSWERS = {key: {"answer": "yes", "note": "Looked"} for key in ("fixed", "legitimate", "healthy")}


def post(client, url, body=None):
    return client.post(url, body or {}, content_type="application/json")


@pytest.fixture
def tripped(scene, api, operator):
    answer = post(api(operator), TRIP, {"reason": "Odd fills"})
    assert answer.status_code == 200, answer.json()
    return answer.json()[0]


def test_tripping_answers_with_what_was_read_back(scene, tripped, api, operator):
    assert (tripped["instance"], tripped["is_open"], tripped["tripped_by"]) == (
        scene.instance().name,
        True,
        "Otto Operator",
    )
    assert tripped["reason_code"] == "manual" and len(tripped["objections"]) == 3 and scene.role() == "HALTED"
    shown = api(operator).get("/api/v1/environments/production/circuit-breaker/").json()
    (card,) = shown["breakers"]
    assert (card["state"], card["has_trading_role"], card["trip"]["id"]) == ("open", True, tripped["id"])


def test_what_is_not_confirmed_is_a_502(scene, api, operator):
    scene.stop()
    answer = post(api(operator), TRIP, {"reason": "Odd fills"})
    assert (answer.status_code, answer.json()["code"]) == (502, "unreachable")
    assert "press the kill switch" in answer.json()["detail"]


def test_answering_then_a_key_cannot_reset(scene, tripped, api, admin, operator):
    url = f"/api/v1/breakers/{tripped['id']}/"
    assert post(api(operator), f"{url}validate/", {"answers": ANSWERS}).status_code == 403
    refused = post(api(admin), f"{url}reset/", {"reason": "Fixed"})
    assert (refused.status_code, refused.json()["code"], len(refused.json()["reasons"])) == (409, "wrong_state", 3)
    answered = post(api(admin), f"{url}validate/", {"answers": ANSWERS}).json()
    assert [one["answer"] for one in answered["answers"]] == ["yes"] * 3 and answered["objections"] == []
    assert answered["answers"][0]["seen"] and answered["answers"][0]["by"] == "Ada Admin"
    refused = post(api(admin), f"{url}reset/", {"reason": "Fixed"})
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert post(api(operator), f"{url}reset/", {"reason": "Fixed"}).json()["code"] == "forbidden"
    assert scene.client().circuit_breaker().is_open
    denied = Record.objects.filter(action="access.denied").order_by("id")
    assert [record.after.get("code", record.after.get("act")) for record in denied][-1].endswith("refuse_reset")


def test_a_session_resets_with_a_fresh_proof(scene, tripped, api, admin):
    import time

    import pyotp

    from accounts.models import AuthenticatorApp
    from tests.accounts.factors import SEED

    give_second_factor(admin)
    client, url = enter(admin), f"/api/v1/breakers/{tripped['id']}/"
    assert post(client, f"{url}validate/", {"answers": ANSWERS}).status_code == 200
    for _ in range(2):
        AuthenticatorApp.objects.update(last_step=0)
        step = int(time.time()) // 30
        asked = post(client, "/api/v1/step-up/", {"action": "breaker.reset", "object": f"breakertrip:{tripped['id']}"})
        proof = {"challenge": asked.json()["challenge"], "code": pyotp.TOTP(SEED).now()}
        answer = post(client, f"{url}reset/", {"reason": "Fixed", "step_up": proof})
        if step == int(time.time()) // 30:
            break
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["is_open"], answer.json()["reset_by"]) == (False, "Ada Admin")
    assert not scene.client().circuit_breaker().is_open and scene.role() == "HALTED"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"answers": "yes"},
        {"answers": {"fixed": {"answer": "perhaps", "note": "x"}}},
        {"answers": {"fixed": {"answer": "yes"}}},
        {"answers": {"fixed": {"answer": "yes", "note": "\x00"}}},
        {"answers": {"fixed": {"answer": "yes", "note": "x" * 501}}},
        {"answers": {"other": {"answer": "yes", "note": "x"}}},
        {"answers": {}},
    ],
)
def test_wrong_answers_are_named(production_trip, api, admin, body):
    answer = post(api(admin), f"/api/v1/breakers/{production_trip.pk}/validate/", body)
    assert answer.status_code == 400 and answer.json()["errors"], answer.json()


@pytest.fixture
def production_trip(db, tmp_path):
    from tests.cast import apply_system

    place = apply_system(tmp_path).environments.get(name="production")
    fields = {"reason_code": "daily_loss", "observed": "0.0312", "threshold": "0.0300", "tripped_at": timezone.now()}
    return BreakerTrip.objects.create(environment=place, instance_name="production-blue-1", **fields)


def test_the_list_is_filtered_and_takes_the_same_queries_for_many(production_trip, api, admin):
    client = api(admin)

    def queries() -> int:
        with CaptureQueriesContext(connection) as taken:
            assert client.get("/api/v1/breakers/").status_code == 200
        return len(taken)

    queries()
    few = queries()
    for number in range(5):
        BreakerTrip.objects.create(
            environment=production_trip.environment, instance_name=f"i{number}", tripped_at=timezone.now()
        )
    assert queries() == few
    BreakerTrip.objects.filter(instance_name="i0").update(reset_at=timezone.now())
    for query, count in (("open=true", 5), ("open=false", 1), ("environment=staging", 0), ("", 6)):
        assert client.get(f"/api/v1/breakers/?{query}").json()["count"] == count, query
    assert client.get("/api/v1/breakers/?open=perhaps").status_code == 400
