"""Every refusal of somebody who is signed in leaves exactly one record, whoever refused."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from audit.models import Record
from deployments.models import Deployment
from tests.accounts.factors import enter, give_second_factor, make_key
from tests.api.matrix_things import make_deployment
from tests.pages.test_live_page import words


@pytest.fixture
def running(production, release, admin) -> Deployment:
    return make_deployment("running", production, release, admin)


def denied() -> Record:
    return Record.objects.get(action="access.denied")


def test_a_page_that_is_refused(operator):
    response = enter(operator).get("/deployments/new/", headers={"X-Request-ID": "request-0001"})
    assert response.status_code == 403
    kept = denied()
    assert (kept.actor, kept.role, kept.outcome, kept.request_id) == (operator, "Operator", "denied", "request-0001")
    assert kept.after["act"] == "GET /deployments/new/" and "It takes: Admin or Developer." in kept.reason


def test_a_form_that_a_use_case_refused_is_recorded_once(operator, running):
    response = enter(operator).post(f"/deployments/{running.pk}/abort/", {"reason": "I want to"})
    assert response.status_code == 403
    kept = denied()
    assert (kept.environment, kept.after["permission"]) == ("production", "deploy_environment")
    assert kept.after["act"].endswith(".abort")


@pytest.mark.parametrize("header", [{}, {"Idempotency-Key": "once"}], ids=["plain", "idempotent"])
def test_an_api_call_that_a_use_case_refused_is_recorded_once(header, operator, running):
    client = Client(headers={"Authorization": f"Bearer {make_key(operator)}"})
    address, body = f"/api/v1/deployments/{running.pk}/abort/", json.dumps({"reason": "I want to"})
    response = client.post(address, body, content_type="application/json", headers=header)
    assert response.status_code == 403 and response.json()["permission"] == "deploy_environment"
    kept = denied()
    assert (kept.actor, kept.via, kept.environment) == (operator, "key", "production")


def test_an_api_call_that_no_use_case_saw(admin):
    client = Client(headers={"Authorization": f"Bearer {make_key(admin)}"})
    assert client.get("/api/v1/environments/").status_code == 403, "an Admin without a second factor"
    kept = denied()
    assert (kept.actor, kept.after["code"]) == (admin, "second_factor_required")
    assert kept.after["act"] == "GET /api/v1/environments/" and kept.reason


def test_a_form_without_its_token(operator):
    client = enter(operator)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert strict.post("/logout/").status_code == 403
    assert "no longer valid" in denied().reason and denied().after["act"] == "POST /logout/"


def test_who_is_not_signed_in_is_asked_to_and_what_is_not_there_is_no_refusal(operator, running):
    strict = Client(enforce_csrf_checks=True)
    assert strict.get("/people/").status_code == 302 and strict.post("/logout/").status_code == 403
    assert Client().get("/api/v1/environments/").status_code == 401
    assert enter(operator).get("/no-such-page/").status_code == 404
    assert not Record.objects.filter(action="access.denied").exists()


def test_secrets_of_an_address_or_a_reason_are_not_kept(operator, admin):
    give_second_factor(admin)
    text = make_key(admin)
    enter(operator).get(f"/people/{text}/")
    assert text not in json.dumps(list(Record.objects.values("reason", "after", "object_name")), default=str)


def test_the_page_says_what_is_missing_and_who_can_grant_it(operator, running, person):
    for name in ("alan", "anna", "abel", "axel", "adam"):
        person(name, "Admin")
    response = enter(operator).post(f"/deployments/{running.pk}/abort/", {"reason": "I want to"})
    text = words(response)
    assert "The permission to register releases, deploy, promote, hold, abort and roll back (production)" in text
    assert sum(f"{name} Admin" in text for name in ("Ada", "Alan", "Anna", "Abel", "Axel", "Adam")) == 5
    assert "Otto Operator" in text, "the frame stays"


def test_the_names_of_admins_are_for_people_who_are_signed_in(admin):
    strict = Client(enforce_csrf_checks=True)
    assert "Ada Admin" not in words(strict.post("/logout/"))


def test_what_is_not_there_offers_a_search(operator):
    client = enter(operator)
    text = client.get("/no-such-page/").content.decode()
    assert 'action="/audit/"' in text and 'action="/deployments/"' in text
    assert client.get("/deployments/?version=1.2").status_code == client.get("/audit/?q=otto").status_code == 200
    assert 'action="/audit/"' not in Client().get("/no-such-page/").content.decode()
