"""Leave to trade over the API, against a real trading system."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Record
from tests.trading import breaker_world
from trading.carrying_out import carry_out_all
from trading.models import Clearance, EmergencyStop

pytestmark = pytest.mark.django_db
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
URL = "/api/v1/clearances/"
ASK = {"environment": "production", "kind": "resume", "reason": "Feed mended"}


def post(client, url, body=None, **headers):
    return client.post(url, body or {}, content_type="application/json", headers=headers)


@pytest.fixture
def alan(scene, person):
    return person("alan", "Admin")


@pytest.fixture
def halted(scene):
    """Tripped and reset at the trading system: everything is there for resuming."""
    scene.client().trip_breaker(actor="tests", reason="Begins")
    scene.client().reset_breaker(actor="tests", reason="Begins")
    scene.sample()
    assert scene.role() == "HALTED"
    return scene


@pytest.fixture
def asked(halted, api, admin):
    answer = post(api(admin), URL, ASK)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_asked_by_one_and_approved_by_another(scene, asked, api, admin, alan):
    assert (asked["status"], asked["kind"], asked["is_own"], asked["may_decide"]) == ("waiting", "resume", True, False)
    assert asked["facts"]["instances"]["production-blue-1"]["role"] == "HALTED"
    seen = api(alan).get(f"{URL}{asked['id']}/").json()
    assert (seen["is_own"], seen["may_decide"], seen["requested_by"]) == (False, True, "Ada Admin")
    body = {"subject_hash": seen["subject_hash"]}
    own = post(api(admin), f"{URL}{asked['id']}/approve/", body)
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    given = post(api(alan), f"{URL}{asked['id']}/approve/", body).json()
    assert (given["status"], given["decided_by"], given["done_at"]) == ("approved", "Alan Admin", None)
    carry_out_all()
    done = api(admin).get(f"{URL}{asked['id']}/").json()
    assert done["done_at"] and "read back as ACTIVE" in done["detail"] and scene.role() == "ACTIVE"


def test_what_changed_is_told(scene, asked, api, alan):
    scene.client().trip_breaker(actor="the system", reason="Again")
    answer = post(api(alan), f"{URL}{asked['id']}/approve/", {"subject_hash": asked["subject_hash"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "subject_changed")
    member = "instances.production-blue-1.breaker"
    assert answer.json()["changes"] == [{"member": member, "from": "closed", "to": "open"}]
    assert Clearance.objects.get().status == "fell"


def test_the_same_request_with_the_same_key_asks_once(halted, api, admin):
    client = api(admin)
    first, second = (post(client, URL, ASK, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second["Idempotency-Replayed"]) == (201, "true") and first.json() == second.json()
    assert Clearance.objects.count() == 1 and post(client, URL, ASK).status_code == 409


def test_reject_and_withdraw(asked, api, admin, alan, operator):
    url = f"{URL}{asked['id']}/"
    assert post(api(operator), f"{url}reject/", {"reason": "No"}).status_code == 403
    assert post(api(alan), f"{url}reject/").status_code == 400
    assert post(api(alan), f"{url}withdraw/").status_code == 403
    assert post(api(admin), f"{url}withdraw/").json()["status"] == "withdrawn"
    again = post(api(alan), f"{url}reject/", {"reason": "No"})
    assert (again.status_code, again.json()["code"], again.json()["state"]) == (409, "not_waiting", "withdrawn")


def test_no_key_asks_for_a_release(scene, api, admin):
    from django.utils import timezone

    assert post(api(admin), URL, ASK | {"kind": "release"}).json()["code"] == "wrong_state"
    EmergencyStop.objects.create(
        environment=scene.environment, actor_name="Ada", via="page", pressed_at=timezone.now(), outcome="FLAT"
    )
    missing = post(api(admin), URL, ASK | {"kind": "release"})
    assert missing.status_code == 400 and "reason" in missing.json()["errors"]
    answers = {key: {"answer": "yes", "note": "Looked"} for key in ("reason", "flat", "reconciled", "version")}
    refused = post(api(admin), URL, ASK | {"kind": "release", "answers": answers})
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert not Clearance.objects.exists() and Record.objects.filter(action="access.denied").count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "nowhere"},
        {"kind": "start"},
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "\x00"},
        {"other": 1},
        {"answers": {"flat": {"answer": "perhaps", "note": "x"}}},
        {"step_up": "yes"},
    ],
)
def test_a_wrong_request_is_named(db, system_at_rest, api, person, change):
    answer = post(api(person("ada", "Admin")), URL, ASK | change)
    assert answer.status_code == 400 and answer.json()["errors"], answer.json()


@pytest.fixture
def system_at_rest(db, tmp_path, settings):
    from tests.cast import apply_system

    settings.OPSC_STOPS = tmp_path / "stops"
    return apply_system(tmp_path)


def test_the_list_takes_the_same_queries_for_many(system_at_rest, api, person):
    from datetime import timedelta

    from django.utils import timezone

    ada = person("ada", "Admin")
    client, place = api(ada), system_at_rest.environments.get(name="production")

    def make() -> None:
        Clearance.objects.create(
            environment=place,
            kind="resume",
            status="rejected",
            requested_by=ada,
            expires_at=timezone.now() + timedelta(1),
        )

    def queries() -> int:
        with CaptureQueriesContext(connection) as taken:
            assert client.get(URL).status_code == 200
        return len(taken)

    make()
    queries()
    few = queries()
    for _ in range(5):
        make()
    assert queries() == few and client.get(f"{URL}?status=waiting").json()["count"] == 0
    assert client.get(f"{URL}?status=odd").status_code == 400
