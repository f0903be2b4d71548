"""No act without a record: when the record cannot be written, for real, nothing has happened."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection
from django.test import Client

from accounts import links
from accounts.actions import create_user, issue_sign_in_link
from accounts.key_actions import create_api_key
from accounts.models import APIKey, User
from audit.actors import system
from audit.models import Record
from deployments.models import Deployment, Release

START = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "Fix of the slippage"}


@pytest.fixture
def broken(db):
    """From the call on, the database takes no record."""

    def take_none():
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no room for records'; END $$"
            )
            cursor.execute("CREATE TRIGGER no_room BEFORE INSERT ON audit_record EXECUTE FUNCTION no_room()")

    return take_none


def kept():
    """All that the acts below would change."""
    tables = (User, APIKey, Deployment, Release, Session, Record)
    found = {model.__name__: [*model.objects.order_by("pk").values()] for model in tables}
    for key in found["APIKey"]:
        key.pop("last_used_at")  # looking at it is no act
    return found


def test_people_and_keys(broken, admin, operator, actor_of):
    actor = actor_of(admin)
    acts = (
        lambda: create_user(actor, "new", "New Person", "Operator"),
        lambda: create_api_key(actor, admin, "CI", scopes=[], environments=None, networks=[]),
        lambda: issue_sign_in_link(actor, operator),
        lambda: create_user(actor_of(operator), "new", "New Person", "Operator"),
    )
    broken()
    before = kept()
    for act in acts:
        with pytest.raises(DatabaseError, match="no room for records"):
            act()
    assert kept() == before


def test_signing_in_by_a_link(broken, operator):
    token = links.make(operator)
    broken()
    before = kept()
    client = Client(raise_request_exception=False)
    answer = client.post(f"/login/link/{token}/")
    assert answer.status_code == 500 and kept() == before
    assert client.get("/").status_code == 302  # to the sign-in page


def test_starting_a_deployment(broken, api, admin, ready, release):
    release("v1.2.5")
    client = api(admin)
    client.raise_request_exception = False
    broken()
    before = kept()
    answer = client.post("/api/v1/deployments/", START, content_type="application/json")
    assert answer.status_code == 500 and kept() == before
    assert "no room" not in answer.content.decode()


def test_a_refusal_that_cannot_be_recorded_is_no_permission(broken, api, operator, ready, release):
    release("v1.2.5")
    client = api(operator)
    client.raise_request_exception = False
    broken()
    before = kept()
    assert client.post("/api/v1/deployments/", START, content_type="application/json").status_code == 500
    assert kept() == before


def test_the_same_acts_happen_when_the_record_can_be_written(api, admin, ready, release):
    release("v1.2.5")
    assert api(admin).post("/api/v1/deployments/", START, content_type="application/json").status_code == 201
    assert create_user(system("tests"), "new", "New Person", "Operator").pk
