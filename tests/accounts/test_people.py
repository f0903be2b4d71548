"""Users and API keys: who may make them, what is refused, and the commands."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import actions
from accounts.actors import from_command_line, from_request
from accounts.authentication import check_bearer
from accounts.errors import Forbidden
from accounts.models import APIKey, User
from audit.models import Record


def test_an_admin_creates_people(actor_of, admin):
    made = actions.create_user(actor_of(admin), "grace", "Grace Brewster Hopper", "Operator")
    assert (made.display_name, made.role) == ("Grace Brewster Hopper", "Operator") and not made.has_usable_password()
    record = Record.objects.get(action="user.created")
    assert record.actor == admin and record.after["role"] == "Operator"


def test_nobody_else_does(actor_of, operator, developer):
    for person in (operator, developer):
        with pytest.raises(Forbidden, match="It takes: Admin"):
            actions.create_user(actor_of(person), "grace", "Grace Hopper", "Admin")
    assert not User.objects.filter(username="grace").exists()
    assert Record.objects.filter(action="access.denied").count() == 2


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("otto", "Otto Two", "Admin"), "username"),
        (("bad name", "Bad Name", "Admin"), "username"),
        (("", "No Name", "Admin"), "username"),
        (("grace", "  ", "Admin"), "full_name"),
        (("grace", "Grace Hopper", "Boss"), "role"),
    ],
)
def test_wrong_people(actor_of, admin, operator, given, field):
    with pytest.raises(ValidationError) as error:
        actions.create_user(actor_of(admin), *given)
    assert field in error.value.message_dict and User.objects.count() == 2


def test_keys_end_after_90_days_at_most(actor_of, operator):
    key, text = actions.create_api_key(actor_of(operator), operator, "Mine")
    assert timedelta(days=89, hours=23) < key.expires_at - timezone.now() <= timedelta(days=90)
    assert check_bearer(text).pk == key.pk
    record = Record.objects.get(action="api_key.created")
    assert (
        record.after["prefix"] == key.prefix and text not in str(record.after) and key.digest not in str(record.after)
    )
    for days in (0, 91, -1):
        with pytest.raises(ValidationError, match="1 to 90 days"):
            actions.create_api_key(actor_of(operator), operator, "Mine", days=days)
    for name in ("", "x" * 101):
        with pytest.raises(ValidationError):
            actions.create_api_key(actor_of(operator), operator, name)
    assert APIKey.objects.count() == 1


def test_keys_of_others_are_for_admins(actor_of, admin, operator, developer):
    key, _ = actions.create_api_key(actor_of(admin), operator, "Theirs")
    with pytest.raises(Forbidden):
        actions.create_api_key(actor_of(developer), operator, "Theirs")
    with pytest.raises(Forbidden):
        actions.revoke_api_key(actor_of(developer), key)
    assert actions.revoke_api_key(actor_of(operator), key).revoked_at
    actions.revoke_api_key(actor_of(admin), key)
    assert Record.objects.filter(action="api_key.revoked").count() == 1


def test_no_key_for_somebody_inactive(actor_of, admin, operator):
    operator.is_active = False
    with pytest.raises(ValidationError, match="not active"):
        actions.create_api_key(actor_of(admin), operator, "Theirs")


def test_the_actor_of_a_request(rf, admin):
    request = rf.get("/", REMOTE_ADDR="10.1.2.3")
    request.user, request.request_id = admin, "abcdefgh"
    actor = from_request(request)
    assert (actor.name, actor.via, actor.role) == ("Ada Admin", "session", "Admin")
    assert (actor.request_id, actor.address, actor.user) == ("abcdefgh", "10.1.2.3", admin)
    admin.is_active = False
    with pytest.raises(PermissionDenied):
        from_request(request)


def test_the_actor_of_the_command_line_is_not_the_system():
    actor = from_command_line()
    assert actor.via == "cli" and actor.name.endswith("(command line)") and not actor.is_system


def test_create_user_command(db, capsys):
    call_command("create_user", "grace", name="Grace Hopper", role="Developer")
    assert "manage.py sign_in_link grace" in capsys.readouterr().out
    assert User.objects.get().role == "Developer"
    assert Record.objects.get(action="user.created").via == "cli"
    with pytest.raises(CommandError, match="already exists"):
        call_command("create_user", "grace", name="Grace Hopper", role="Developer")


def test_api_key_command(operator, capsys):
    call_command("api_key", "create", "otto", "--name", "Script", "--days", "7")
    text = capsys.readouterr().out.strip()
    assert re.fullmatch(r"opsc_[a-z0-9]+_[A-Za-z0-9_-]{43}", text)
    key = check_bearer(text)
    call_command("api_key", "list", "--username", "otto")
    listed = capsys.readouterr().out
    assert f"{key.prefix}  otto  Script" in listed and "  usable" in listed and text not in listed
    call_command("api_key", "revoke", key.prefix)
    call_command("api_key", "list")
    assert "not usable" in capsys.readouterr().out
    for wrong in (("revoke", "nonsense"), ("create", "nobody", "--name", "x"), ("create", "otto", "--name", "")):
        with pytest.raises(CommandError):
            call_command("api_key", *wrong)
