"""Users: who may make them, what is refused, and the command."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command

from accounts import actions
from accounts.actors import from_command_line, from_request
from accounts.errors import Forbidden
from accounts.models import User
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
