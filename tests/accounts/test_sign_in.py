"""Signing in and out: one-time links, the wall before every page, and where one goes then."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts import links
from accounts.models import User
from audit.models import Record


def is_signed_in(client) -> bool:
    return "_auth_user_id" in client.session


@pytest.fixture
def link(operator, capsys) -> str:
    """The path of a fresh link, as the command prints it."""
    call_command("sign_in_link", "otto")
    printed = capsys.readouterr().out.strip()
    assert printed.startswith("http://localhost:8000/login/link/")
    return printed.removeprefix("http://localhost:8000")


def test_opening_a_link_does_not_use_it_up(client, link):
    for _ in range(3):
        page = client.get(link)
        assert page.status_code == 200 and "Otto Operator" in page.content.decode() and not is_signed_in(client)
        assert "no-store" in page["Cache-Control"]
    answer = client.post(link)
    assert (answer.status_code, answer["Location"]) == (302, "/") and is_signed_in(client)
    record = Record.objects.get(action="account.signed_in")
    assert record.actor.username == "otto" and record.after == {"how": "link"} and record.via == "session"


def test_a_link_works_once(link):
    assert Client().post(link).status_code == 302
    late = Client()
    for answer in (late.get(link), late.post(link)):
        assert answer.status_code == 410 and "sign_in_link USERNAME" in answer.content.decode()
    assert not is_signed_in(late)


def test_a_newer_sign_in_ends_a_link(client, operator, link):
    User.objects.filter(pk=operator.pk).update(last_login=timezone.now())
    assert client.post(link).status_code == 410


def test_a_link_ends_after_ten_minutes(client, link, monkeypatch):
    import time

    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 599)
    assert client.get(link).status_code == 200
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 602)
    assert client.post(link).status_code == 410 and not is_signed_in(client)


def test_somebody_inactive_gets_and_uses_no_link(client, operator, link):
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert client.post(link).status_code == 410
    with pytest.raises(CommandError, match="not active"):
        call_command("sign_in_link", "otto")
    with pytest.raises(CommandError, match="Known: ") as error:
        call_command("sign_in_link", "nobody")
    assert "otto" in str(error.value)


@pytest.mark.parametrize("token", ["x", "1:2:3", "9" * 30 + ":a:b", "-1:a:b", "١:a:b"])
def test_made_up_links(client, operator, token):
    assert client.post(f"/login/link/{token}/").status_code == 410


def test_a_link_of_somebody_else_is_no_link_of_mine(client, operator, admin):
    _, _, rest = links.make(operator).partition(":")
    assert client.post(f"/login/link/{admin.pk}:{rest}/").status_code == 410


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_once_open_one_session(operator):
    path, barrier, found = f"/login/link/{links.make(operator)}/", threading.Barrier(2), []

    def press():
        try:
            barrier.wait(timeout=10)
            found.append(Client().post(path).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(found) == [302, 410]


def test_the_wall(client, operator):
    answer = client.get("/deployments/?status=held")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/deployments/%3Fstatus%3Dheld")
    assert client.post("/deployments/1/hold/")["Location"] == "/login/?next=/"
    for part in ({"HX-Request": "true"}, {"Accept": "application/json"}):
        answer = client.get("/deployments/", headers=part)
        assert answer.status_code == 401 and "Sign in" in answer.content.decode()
    client.force_login(operator)
    assert client.get("/deployments/").status_code == 200
    operator.is_active = False
    operator.save()
    assert client.get("/deployments/").status_code == 302


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/deployments/42/", "/deployments/42/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("deployments/", "/"),
        ("", "/"),
    ],
)
def test_next_stays_here(client, operator, wanted, leads_to):
    link = f"/login/link/{links.make(operator)}/"
    assert client.post(link, {"next": wanted})["Location"] == leads_to
    assert client.get("/login/", {"next": wanted})["Location"] == leads_to


def test_signing_out(client, operator):
    client.force_login(operator)
    assert client.get("/logout/").status_code == 405 and is_signed_in(client)
    assert client.post("/logout/")["Location"] == "/login/" and not is_signed_in(client)
    assert Record.objects.get(action="account.signed_out").actor == operator


def test_forms_carry_a_csrf_token(operator):
    client = Client(enforce_csrf_checks=True)
    link = f"/login/link/{links.make(operator)}/"
    assert client.post(link).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(link).content.decode())
    assert client.post(link, {"csrfmiddlewaretoken": token.group(1)}).status_code == 302


def test_the_sign_in_page_says_how(client, db):
    page = client.get("/login/").content.decode()
    assert "manage.py sign_in_link USERNAME" in page and "10 minutes" in page and "password" in page


def test_a_session_is_dated(client, operator, link):
    before = timezone.now() - timedelta(seconds=1)
    client.post(link)
    operator.refresh_from_db()
    assert operator.last_login > before


def test_an_enrolment_link_works_for_a_day_and_leads_to_enrolling(operator, admin, monkeypatch):
    import time

    token, now = links.make(operator, links.Kind.ENROL), time.time()
    page = Client().get(f"/login/link/{token}/").content.decode()
    assert "Welcome, Otto Operator" in page and "add a passkey" in page
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 24 * 3600 + 2)
    assert Client().post(f"/login/link/{token}/").status_code == 410
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 24 * 3600 - 60)
    client = Client()
    assert client.post(f"/login/link/{token}/")["Location"] == "/account/security/"
    assert "You have no second factor yet" in client.get("/account/security/").content.decode()
    assert Client().post(f"/login/link/{token}/").status_code == 410


def test_a_link_from_the_command_line_lives_a_minute_and_says_so(operator, monkeypatch):
    import time

    token, now = links.make(operator, links.Kind.BROWSER), time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 62)
    assert Client().post(f"/login/link/{token}/").status_code == 410
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 50)
    client = Client()
    assert client.post(f"/login/link/{token}/").status_code == 302 and client.session["methods"] == ["ssh"]


def test_the_kind_of_a_link_cannot_be_changed(operator):
    token = links.make(operator)
    assert ".link:" in token
    for kind in ("enrol", "ssh", "", "other"):
        assert Client().post(f"/login/link/{token.replace('.link:', f'.{kind}:')}/").status_code == 410


def test_the_commands_print_enrolment_links(db, capsys):
    call_command("create_user", "grace", name="Grace Hopper", role="Admin")
    printed = capsys.readouterr().out
    path = re.search(r"http://localhost:8000(/login/link/\S+/)", printed).group(1)
    assert "within 24 hours" in printed and "Welcome, Grace Hopper" in Client().get(path).content.decode()
    assert Record.objects.get(action="account.link_issued").after == {"valid_minutes": 1440.0, "enrol": True}
    call_command("sign_in_link", "grace", enrol=True)
    assert ".enrol:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ({}, "http://localhost:8000"),
        ({"allowed_hosts": "127.0.0.1,[::1],ops.example.com,x.example.com"}, "http://ops.example.com:8000"),
        ({"allowed_hosts": "ops.example.com", "https": True}, "https://ops.example.com"),
        ({"allowed_hosts": ".example.com", "https": True}, "https://example.com"),
        ({"allowed_hosts": "192.0.2.7", "port": 9000}, "http://192.0.2.7:9000"),
        ({"origin": "https://Ops.example.com:8443/", "https": True}, "https://ops.example.com:8443"),
    ],
)
def test_where_people_open_the_console(given, origin):
    from opsconsole.config import Config

    hosts = {"allowed_hosts": "127.0.0.1,localhost", "origin": "", "https": False, "port": 8000}
    needed = {"secret_key": "x" * 32, "database_url": "x", "redis_url": "x"}
    assert Config(**{**needed, **hosts, **given}).public_origin == origin


@pytest.mark.parametrize("wrong", ["ops.example.com", "ftp://ops.example.com", "https://ops.example.com/console"])
def test_an_origin_is_scheme_and_host(wrong):
    from pydantic import ValidationError

    from opsconsole.config import Config

    with pytest.raises(ValidationError, match="https://host"):
        Config(secret_key="x" * 32, database_url="x", redis_url="x", origin=wrong)
