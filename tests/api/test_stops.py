"""The kill switch over the API and at the specification's address."""

from __future__ import annotations

import uuid

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from accounts.models import APIKey
from audit.models import Record
from tests.trading.stop_world import ended, exchange_world, followed, reached, stop_world
from trading import stop_files
from trading.models import EmergencyStop

pytestmark = pytest.mark.django_db
__all__ = ["exchange_world", "stop_world"]
JSON = "application/json"


def test_pressing(stop_world, production, api, operator):
    stop_world.fill("production")
    client = api(operator)
    answer = client.post("/api/v1/environments/production/emergency-stop/", {"reason": "Prices"}, content_type=JSON)
    assert answer.status_code == 202
    found = answer.json()
    assert (found["joined"], found["environment"], found["drill"]) == (False, "production", False)
    assert answer["Location"] == f"/api/v1/emergency-stops/{found['id']}/"
    again = client.post("/api/v1/environments/production/emergency-stop/", {}, content_type=JSON).json()
    assert (again["id"], again["joined"]) == (found["id"], True)
    reached(production, found["id"], "FLAT")
    shown = client.get(answer["Location"]).json()
    assert (shown["outcome"], shown["reason"], shown["via"], shown["remaining"]) == ("FLAT", "Prices", "api", [])
    assert [(step["name"], step["status"]) for step in shown["steps"]] == [
        (name, "done") for name in ("requested", "halted", "cancelled", "closed", "flat")
    ]
    assert shown["steps"][4]["ms"] > shown["steps"][2]["ms"] >= 0 and shown["last_read_at"]
    ended(production, found["id"])
    followed()
    listed = client.get("/api/v1/emergency-stops/").json()
    assert (listed["count"], listed["results"][0]["id"], listed["results"][0]["outcome"]) == (1, found["id"], "FLAT")
    assert Record.objects.get(action="stop.engaged").via == "key"


def test_what_is_left_and_no_outcome_yet(stop_world, production, api, operator):
    stop_world.fill("production")
    stop_world.exchange.faults(depth={"ETH": 0})
    client = api(operator)
    address = client.post("/api/v1/environments/production/emergency-stop/", {}, content_type=JSON)["Location"]
    assert client.get(address).json()["outcome"] is None
    reached(production, address.split("/")[4], "NOT_FLAT")
    shown = client.get(address).json()
    assert (shown["outcome"], shown["running"]) == ("NOT_FLAT", True)
    assert [(one["kind"], one["symbol"]) for one in shown["remaining"]] == [("position", "ETH")]
    assert "could not immediately match" in shown["remaining"][0]["error"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "a" * 501}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ({"reason": ["x"]}, "reason"),
        ({"drill": "perhaps"}, "drill"),
        ({"resaon": "x"}, "resaon"),
        ({"environment": "production"}, "environment"),
        ([], "request"),
    ],
)
def test_a_malformed_body_stops_nothing(body, field, production, api, operator):
    answer = api(operator).post("/api/v1/environments/production/emergency-stop/", body, content_type=JSON)
    assert answer.status_code == 400 and field in answer.json()["errors"]
    assert stop_files.held_latch("production") is None


def test_a_drill_in_production_is_refused(stop_world, production, api, operator):
    answer = api(operator).post("/api/v1/environments/production/emergency-stop/", {"drill": True}, content_type=JSON)
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")


def test_a_developer_is_refused_and_that_is_recorded(stop_world, production, api, developer):
    answer = api(developer).post("/api/v1/environments/production/emergency-stop/", {}, content_type=JSON)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert Record.objects.filter(action="access.denied", actor=developer).count() == 1
    assert stop_files.held_latch("production") is None


def test_the_address_of_the_specification(stop_world, production, staging, key_of, operator, developer):
    def post(key, **body):
        return Client(headers={"Authorization": f"Bearer {key}"}).post("/admin/emergency-stop", body, content_type=JSON)

    found = post(key_of(operator, scopes=["emergency_stop"]), reason="Manual intervention").json()
    assert found["environment"] == "production"
    here = post(key_of(operator, scopes=["emergency_stop"], environments=["staging"])).json()
    assert here["environment"] == "staging"
    again = post(key_of(operator, scopes=["emergency_stop"]), environment="staging").json()
    assert (again["id"], again["joined"]) == (here["id"], True)
    scopeless = post(key_of(operator, scopes=[]), reason="x")
    assert (scopeless.status_code, scopeless.json()["code"]) == (403, "insufficient_scope")
    assert post(key_of(developer)).status_code == 403
    assert post(key_of(operator), environment="nowhere").status_code == 404
    assert post("opsc_abcdefghij_" + "A" * 43).status_code == 401
    for name, stop in (("production", found["id"]), ("staging", here["id"])):
        ended(name, stop)


def test_a_session_does_not_open_the_address_of_the_specification(stop_world, operator):
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post("/admin/emergency-stop", {}, content_type=JSON).status_code == 401
    assert stop_files.held_latch("production") is None


def test_the_reason_that_follows(production, api, operator):
    row = EmergencyStop.objects.create(environment=production, pressed_at=timezone.now(), actor_name="Otto")
    client, address = api(operator), f"/api/v1/emergency-stops/{row.pk}/"
    assert client.post(f"{address}reason/", {"reason": "  "}, content_type=JSON).status_code == 400
    answer = client.post(f"{address}reason/", {"reason": "Prices"}, content_type=JSON)
    assert (answer.status_code, answer.json()["reason"]) == (200, "Prices")
    assert client.post(f"{address}reason/", {"reason": "More"}, content_type=JSON).status_code == 409
    assert client.get(f"/api/v1/emergency-stops/{uuid.uuid4()}/").status_code == 404


def test_a_list_takes_no_query_for_a_row(production, staging, api, operator, django_assert_max_num_queries):
    client = api(operator)
    for number in range(8):
        EmergencyStop.objects.create(
            environment=(production, staging)[number % 2], pressed_at=timezone.now(), actor_name="Otto"
        )
        if number in (0, 7):
            with django_assert_max_num_queries(9):
                assert client.get("/api/v1/emergency-stops/").json()["count"] == number + 1


@pytest.mark.parametrize(
    "address", ["/kill-switch/production/", "/api/v1/environments/production/emergency-stop/", "/admin/emergency-stop"]
)
def test_without_a_database_it_names_the_way_that_is_left(address, stop_world, production, key_of, operator):
    """Nobody can be recognised then, so nothing is done; opsctl needs no database."""
    client = Client(raise_request_exception=False)
    if address.startswith("/kill"):
        client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    else:
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key_of(operator)}"
    assert APIKey.objects.count() or client.session

    def away(execute, sql, params, many, context):
        raise OperationalError("the server closed the connection unexpectedly")

    with connection.execute_wrapper(away):
        answer = client.post(address, {"confirm": "STOP"} if address.startswith("/kill") else "{}", **_type(address))
    assert answer.status_code == 503
    assert "opsctl emergency-stop" in answer.content.decode()
    assert stop_files.held_latch("production") is None


def _type(address: str) -> dict[str, str]:
    return {} if address.startswith("/kill") else {"content_type": JSON}
