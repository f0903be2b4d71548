"""What an Admin does with people: who may, what ends at once, what is refused, and what is written down."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from accounts import links, people_actions, people_queries
from accounts.authentication import check_bearer
from accounts.errors import Forbidden, LastAdmin
from accounts.models import APIKey, RecoveryCode, SSHKey, User, UserSession
from audit.actors import Actor
from audit.models import Record
from environments.permissions import allowed
from tests.accounts.factors import enter, give_second_factor, make_key

ACTS = {
    "change_role": ("Operator", "Because"),
    "deactivate": ("Because",),
    "reactivate": ("Because",),
    "remove_second_factor": ("Because",),
    "invite_again": ("Because",),
}


def record(action: str) -> Record:
    return Record.objects.get(action=action)


def test_an_invited_person_gets_a_link_that_works_for_a_day(actor_of, admin):
    made, token = people_actions.invite(actor_of(admin), "grace", "Grace Hopper", "Operator", " Joins the desk ")
    assert (made.display_name, made.role, made.is_active, made.last_login) == ("Grace Hopper", "Operator", True, None)
    link = links.read(token, User.objects.all())
    assert (link.user, link.kind) == (made, links.Kind.ENROL)
    assert people_queries.person(people_queries.people().get(pk=made.pk)).state == "invited"
    for action in ("user.created", "user.invited"):
        assert (record(action).reason, record(action).actor, record(action).object_name) == (
            "Joins the desk",
            admin,
            "grace",
        )
    assert record("user.invited").after == {"role": "Operator"}
    assert token not in str(list(Record.objects.values()))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("otto", "Otto Two", "Admin", "Because"), "username"),
        (("roles", "Rolf Es", "Admin", "Because"), "username"),
        (("grace", "Grace Hopper", "Boss", "Because"), "role"),
        (("grace", "Grace Hopper", "Admin", "  "), "reason"),
        (("grace", "Grace Hopper", "Admin", "x" * 501), "reason"),
    ],
)
def test_a_wrong_invitation_leaves_nothing(actor_of, admin, operator, given, field):
    with pytest.raises(ValidationError) as error:
        people_actions.invite(actor_of(admin), *given)
    assert field in error.value.message_dict
    assert User.objects.count() == 2 and not Record.objects.filter(action__startswith="user.").exists()


@pytest.mark.parametrize("act", ACTS)
def test_only_admins_do_it_and_nobody_to_themselves(act, actor_of, admin, operator, developer):
    do = getattr(people_actions, act)
    for actor, target in ((operator, developer), (developer, operator), (admin, admin)):
        with pytest.raises(Forbidden):
            do(actor_of(actor), target, *ACTS[act])
    denied = Record.objects.filter(action="access.denied")
    assert denied.count() == 3 and "It takes: another Admin." in denied.latest("id").reason
    assert not Record.objects.filter(action__startswith="user.").exists()


@pytest.mark.parametrize("act", ACTS)
def test_each_takes_a_reason(act, actor_of, admin, operator):
    give_second_factor(operator)
    with pytest.raises(ValidationError) as error:
        getattr(people_actions, act)(actor_of(admin), operator, *ACTS[act][:-1], "  ")
    assert "reason" in error.value.message_dict


def test_an_admin_who_came_with_a_stale_role_is_refused(actor_of, admin, person, operator):
    former = person("frida", "Admin")
    actor = actor_of(former)
    people_actions.change_role(actor_of(admin), former, "Developer", "Moves on")
    with pytest.raises(Forbidden):
        people_actions.deactivate(actor, operator, "Not mine to do any more")
    assert User.objects.get(pk=operator.pk).is_active


def test_another_role_holds_at_once_and_ends_what_is_open(actor_of, admin, developer, staging, production):
    client = enter(developer)
    login = make_key(developer, kind="login")
    assert client.get("/environments/").status_code == 200
    changed = people_actions.change_role(actor_of(admin), developer, "Operator", "Moves to the desk")
    assert changed.role == "Operator" and not Session.objects.exists() and not UserSession.objects.exists()
    assert client.get("/environments/").status_code == 302
    assert APIKey.objects.get().revoked_at and APIKey.objects.get().prefix in login
    assert not allowed(actor_of(changed), "deploy_environment", staging)
    assert allowed(actor_of(changed), "emergency_stop", production)
    kept = record("user.role_changed")
    assert (kept.before, kept.reason) == ({"role": "Developer"}, "Moves to the desk")
    assert kept.after == {"role": "Operator", "sessions_ended": 1, "command_lines_ended": 1}


@pytest.mark.parametrize("role", ["Developer", "Boss", ""])
def test_a_role_that_is_none_or_the_same(role, actor_of, admin, developer):
    with pytest.raises(ValidationError) as error:
        people_actions.change_role(actor_of(admin), developer, role, "Because")
    assert "role" in error.value.message_dict


def test_deactivating_shuts_every_door_and_reactivating_opens_it(actor_of, admin, operator):
    from rest_framework.exceptions import AuthenticationFailed

    client, key, login = enter(operator), make_key(operator), make_key(operator, kind="login")
    token = links.make(operator)
    people_actions.deactivate(actor_of(admin), operator, "Left the company")
    assert client.get("/").status_code == 302 and not Session.objects.exists()
    for text in (key, login):
        with pytest.raises(AuthenticationFailed):
            check_bearer(text)
    with pytest.raises(links.InvalidLink):
        links.read(token, User.objects.all())
    after = record("user.deactivated").after
    assert after == {"is_active": False, "sessions_ended": 1, "command_lines_ended": 1, "api_key_count": 1}
    people_actions.deactivate(actor_of(admin), operator, "Again")
    people_actions.reactivate(actor_of(admin), operator, "Came back")
    assert check_bearer(key).owner == operator
    with pytest.raises(AuthenticationFailed):
        check_bearer(login)
    assert record("user.deactivated").reason == "Left the company"
    assert record("user.reactivated").after == {"is_active": True, "role": "Operator", "api_key_count": 1}


def test_the_last_active_admin_stays_one(admin, person, actor_of):
    machine = Actor(name="root (command line)", via="cli", role="System")
    gone = person("gone", "Admin")
    people_actions.deactivate(machine, gone, "Left")
    for act, given in ((people_actions.deactivate, ()), (people_actions.change_role, ("Operator",))):
        with pytest.raises(LastAdmin, match="Make somebody else Admin first"):
            act(machine, admin, *given, "Because")
    people_actions.reactivate(machine, gone, "Back")
    people_actions.change_role(machine, admin, "Operator", "Two are not needed")
    assert people_queries.active_admins() == ["Gone Admin"]


def test_a_lost_device_holds_nothing_any_more(actor_of, admin, operator):
    give_second_factor(operator)
    RecoveryCode.objects.create(user=operator, digest="0" * 64)
    SSHKey.objects.create(user=operator, name="laptop", public_key="ssh-ed25519 AAAA", fingerprint="SHA256:x")
    client = enter(operator)
    people_actions.remove_second_factor(actor_of(admin), operator, "Laptop stolen")
    assert client.get("/").status_code == 302
    removed = {"passkeys": 1, "authenticator_apps": 1, "recovery_code_count": 1, "ssh_keys": 1}
    assert record("user.second_factor_removed").after["removed"] == removed
    assert people_queries.person(people_queries.people().get(pk=operator.pk)).factor == "none"
    with pytest.raises(ValidationError, match="Nothing was changed"):
        people_actions.remove_second_factor(actor_of(admin), operator, "Again")
    token = people_actions.invite_again(actor_of(admin), operator, "New laptop")
    assert links.read(token, User.objects.all()).user == operator


def test_no_link_for_somebody_inactive(actor_of, admin, operator):
    people_actions.deactivate(actor_of(admin), operator, "Left")
    with pytest.raises(ValidationError, match="not active"):
        people_actions.invite_again(actor_of(admin), operator, "Because")


def test_ending_sessions_and_keys_takes_a_reason_and_lets_people_enter_again(actor_of, admin, operator, developer):
    client, text = enter(operator), make_key(operator)
    with pytest.raises(Forbidden):
        people_actions.end_sessions(actor_of(developer), operator, "Because")
    assert people_actions.end_sessions(actor_of(admin), operator, "Seen on a shared machine") == 1
    assert client.get("/").status_code == 302 and enter(operator).get("/").status_code == 200
    key = APIKey.objects.get()
    with pytest.raises(ValidationError, match="Say why"):
        people_actions.revoke_key(actor_of(admin), key, "")
    people_actions.revoke_key(actor_of(admin), key, "Leaked")
    assert record("api_key.revoked").reason == "Leaked" and record("user.sessions_ended").actor == admin
    assert not APIKey.objects.get().is_usable and text


def test_the_command_line_helps_the_only_admin(admin, capsys):
    give_second_factor(admin)
    call_command("remove_second_factor", "ada", reason="Phone and laptop stolen")
    assert "manage.py sign_in_link --enrol ada" in capsys.readouterr().out and not admin.passkeys.exists()
    assert (record("user.second_factor_removed").via, record("user.second_factor_removed").role) == ("cli", "System")
    for wrong in (("ada", "Again"), ("nobody", "Because"), ("ada", " ")):
        with pytest.raises(CommandError):
            call_command("remove_second_factor", wrong[0], reason=wrong[1])
