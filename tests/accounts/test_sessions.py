"""Sessions: what they are good for, how long, and how they are ended."""

from __future__ import annotations

import time
from importlib import import_module

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import live, sessions
from accounts.models import UserSession
from audit.models import Record
from tests.accounts.ways import by_link, code_of, fresh, says, with_app, with_passkey

pytestmark = pytest.mark.usefixtures("still_clock")
JSON = {"Accept": "application/json"}


def put(client: Client, **changes) -> None:
    session = client.session
    session.update(changes)
    session.save()


def test_opening_one(operator):
    client = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"})
    by_link(operator, client=client)
    row = UserSession.objects.get()
    assert (row.session_key, row.methods, row.address) == (client.session.session_key, ["link"], "127.0.0.1")
    assert client.session["open_id"] == row.pk and row.user == operator
    assert "Firefox on Linux (this one)" in says(client.get("/account/sessions/"))


@pytest.mark.parametrize(
    ("methods", "demo", "strong"),
    [
        ([], False, False),
        (["link"], True, False),
        (["ssh"], False, False),
        (["oidc"], False, False),
        (["oidc", "oidc_mfa"], False, True),
        (["link", "totp"], False, True),
        (["passkey"], False, True),
        (["link", "recovery"], False, True),
        (["demo"], False, False),
        (["demo"], True, True),
    ],
)
def test_what_counts_as_strong(settings, methods, demo, strong):
    settings.DEMO = demo
    assert sessions.is_strong({"methods": methods}) is strong


def test_an_admin_can_do_nothing_before_a_second_factor(admin, release):
    client = by_link(admin)
    assert client.get("/deployments/")["Location"] == "/account/security/?next=/deployments/"
    for path in ("/", "/account/", "/account/sessions/", "/account/security/recovery/", "/audit/"):
        assert client.get(path).status_code == 302, path
    release("v1.2.5")
    body = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "x"}
    assert client.post("/deployments/new/", body)["Location"] == "/account/security/?next=/"
    for answer in (
        client.get("/api/v1/environments/"),
        client.post("/api/v1/deployments/", body, content_type="application/json"),
    ):
        assert answer.status_code == 403 and answer.json()["code"] == "second_factor_required"
    assert client.get("/deployments/", headers=JSON).status_code == 403
    assert live.refusal(client.session.session_key, []) == live.NOT_ALLOWED
    page = client.get("/account/security/").content.decode()
    assert "cannot do anything without a second factor" in page and 'class="nav"' not in page


def test_after_enrolling_everything_opens(admin):
    client, _, codes = with_passkey(admin)
    assert len(codes) == 10 and client.get("/deployments/").status_code == 200
    assert client.get("/api/v1/environments/").status_code == 200
    assert live.refusal(client.session.session_key, []) is None


def test_who_has_a_second_factor_must_show_it(operator):
    with_passkey(operator)
    client = by_link(operator)
    assert client.get("/")["Location"] == "/login/second/?next=/"
    assert client.get("/account/security/")["Location"].startswith("/login/second/")
    assert client.get("/api/v1/environments/").json()["code"] == "second_factor_required"
    assert live.refusal(client.session.session_key, []) == live.NOT_ALLOWED
    page = client.get("/login/second/")
    assert page.status_code == 200 and 'class="nav"' not in page.content.decode()
    missing = client.get("/no-such-page/")
    assert missing.status_code == 404 and 'class="nav"' not in missing.content.decode()
    assert client.post("/logout/").status_code == 302


def test_somebody_else_without_a_second_factor_works_with_a_link(operator):
    client = by_link(operator)
    assert client.get("/deployments/").status_code == 200 and client.get("/api/v1/environments/").status_code == 200
    assert live.refusal(client.session.session_key, []) is None


def test_an_operator_who_becomes_admin_is_held_back_at_once(operator):
    from django.contrib.auth.models import Group

    client = by_link(operator)
    operator.groups.set([Group.objects.get(name="Admin")])
    assert client.get("/deployments/").status_code == 302


def test_the_first_factor_ends_sessions_that_were_opened_without_it(operator):
    weak = by_link(operator)
    with_passkey(operator)
    assert weak.get("/")["Location"].startswith("/login/?next=")


def test_an_admins_key_opens_nothing_without_a_second_factor(admin, settings):
    from accounts.key_actions import create_api_key
    from accounts.limits import SCOPES
    from audit.actors import system

    bounds = {"scopes": SCOPES, "environments": None, "networks": ()}
    text = create_api_key(system("tests"), admin, "Test", **bounds)[1]
    client = Client(headers={"Authorization": f"Bearer {text}"})
    answer = client.get("/api/v1/environments/")
    assert answer.status_code == 403 and answer.json()["code"] == "second_factor_required"
    settings.DEMO = True
    assert client.get("/api/v1/environments/").status_code == 200
    settings.DEMO = False
    with_app(admin)
    assert client.get("/api/v1/environments/").status_code == 200


def test_a_session_ends_after_24_hours_however_busy(operator):
    client = by_link(operator)
    put(client, opened_at=time.time() - 24 * 3600 + 60)
    assert client.get("/").status_code == 200
    put(client, opened_at=time.time() - 24 * 3600 - 1)
    key = client.session.session_key
    assert client.get("/api/v1/environments/").status_code in (401, 403)
    assert live.refusal(key, []) == live.SIGNED_OUT
    assert client.get("/")["Location"].startswith("/login/") and "_auth_user_id" not in client.session
    assert not UserSession.objects.exists()


def test_a_session_from_elsewhere_is_none(operator):
    store = import_module("django.contrib.sessions.backends.db").SessionStore()
    store.update({"_auth_user_id": str(operator.pk), "_auth_user_backend": sessions._BACKEND})
    store["_auth_user_hash"] = operator.get_session_auth_hash()
    store.create()
    client = Client()
    client.cookies["sessionid"] = store.session_key
    assert client.get("/").status_code == 302


def test_last_seen_is_written_once_a_minute(operator, django_assert_max_num_queries):
    client = by_link(operator)
    first = UserSession.objects.get().last_seen_at
    client.get("/account/")
    assert UserSession.objects.get().last_seen_at == first
    put(client, seen_at=time.time() - 61)
    client.get("/account/")
    assert UserSession.objects.get().last_seen_at > first and time.time() - client.session["seen_at"] < 30


def test_list_and_end_one(operator, developer):
    here, there, theirs = by_link(operator), by_link(operator), by_link(developer)
    rows = UserSession.objects.filter(user=operator)
    assert rows.count() == 2
    page = here.get("/account/sessions/").content.decode()
    assert page.count("/end/") == 1 and "this one" in page
    mine, other, foreign = (client.session["open_id"] for client in (here, there, theirs))
    assert f"/account/sessions/{other}/end/" in page
    assert here.post(f"/account/sessions/{foreign}/end/").status_code == 404
    key = there.session.session_key
    assert here.post(f"/account/sessions/{other}/end/")["Location"] == "/account/sessions/"
    assert not Session.objects.filter(session_key=key).exists() and live.refusal(key, []) == live.SIGNED_OUT
    assert there.get("/").status_code == 302 and here.get("/").status_code == 200
    record = Record.objects.get(action="session.ended")
    assert record.actor == operator and record.after["methods"] == ["link"] and key not in str(record.after)
    assert UserSession.objects.filter(pk=mine).exists() and theirs.get("/").status_code == 200


def test_end_all_others_and_all(operator):
    here, *others = [by_link(operator) for _ in range(3)]
    assert here.post("/account/sessions/end-others/").status_code == 302
    assert [client.get("/").status_code for client in (here, *others)] == [200, 302, 302]
    assert Record.objects.filter(action="session.ended").count() == 2
    assert sessions.end_all(operator) == 1 and here.get("/").status_code == 302


def test_the_list_takes_the_same_queries_for_any_length(operator, django_assert_num_queries):
    here = by_link(operator)
    here.get("/account/sessions/")
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        here.get("/account/sessions/")
    for _ in range(4):
        by_link(operator)
    with CaptureQueriesContext(connection) as many:
        assert here.get("/account/sessions/").content.decode().count("/end/") == 4
    assert len(few) == len(many)


def test_signing_out_and_entering_as_somebody_else_clear_the_list(operator, developer):
    client = by_link(operator)
    by_link(developer, client=client)
    assert [row.user for row in UserSession.objects.all()] == [developer]
    client.post("/logout/")
    assert not UserSession.objects.exists()


def test_a_sessions_key_changes_with_each_proof(operator):
    client, seed = with_app(operator)
    fresh(operator)
    keys = [client.session.session_key]
    client.post("/logout/")
    by_link(operator, client=client)
    keys.append(client.session.session_key)
    client.post("/login/second/", {"code": code_of(seed)})
    keys.append(client.session.session_key)
    assert len(set(keys)) == 3 and UserSession.objects.get().session_key == keys[-1]
    assert UserSession.objects.get().methods == ["link", "totp"]
    stale = Client()
    stale.cookies["sessionid"] = keys[1]
    assert stale.get("/").status_code == 302
