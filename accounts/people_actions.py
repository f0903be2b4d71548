"""The use cases of an Admin with people: invite, change the role, deactivate, help after a lost device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

import accounts.audit  # noqa: F401  registers the action names
from accounts import actions, key_actions, queries, sessions
from accounts.authority import NO_ENVIRONMENT, require_admin
from accounts.errors import Forbidden, LastAdmin
from accounts.limits import MANAGE_PEOPLE
from accounts.models import APIKey, AuthenticatorApp, Passkey, RecoveryCode, SSHKey, User
from accounts.roles import Role
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor

REASON_MISSING = "Say why: the reason is kept in the audit trail."
LONGEST_REASON = 500


@use_case
def invite(actor: Actor, username: str, full_name: str, role: str, reason: str) -> tuple[User, str]:
    """Create a person and a one-time enrolment link; its token is shown this once.

    Raises:
        Forbidden: the actor is no Admin.
        ValidationError: a name, the role or the reason is missing or wrong, or the user name is taken.
    """
    why = _reason(reason)
    user = actions.create_user(actor, username, full_name, role, why)
    return user, _link(actor, user, why)


@use_case
def invite_again(actor: Actor, user: User, reason: str) -> str:
    """The token of a new enrolment link for somebody who did not enter in time, or who lost a device.

    Raises:
        Forbidden: the actor is no Admin, or asks for themselves.
        ValidationError: the person is inactive, or the reason is missing.
    """
    actor, locked = _begin(actor, user, "issue an enrolment link for")
    return _link(actor, locked, _reason(reason))


@use_case
def change_role(actor: Actor, user: User, role: str, reason: str) -> User:
    """Give a person another role. It holds at once; their sessions end, so that they enter with it anew.

    Raises:
        Forbidden: the actor is no Admin (any more), or asks for themselves.
        LastAdmin: nobody else would be Admin.
        ValidationError: the role is unknown or is theirs already, or the reason is missing.
    """
    actor, locked = _begin(actor, user, "change the role of")
    why, before = _reason(reason), locked.role
    if role not in list(Role):
        raise ValidationError({"role": f"Choose one of: {', '.join(Role)}."})
    if role == before:
        raise ValidationError({"role": f"{locked.display_name} is {role} already."})
    if role != Role.ADMIN:
        _keep_an_admin(locked)
    locked.groups.set([Group.objects.get_or_create(name=Role(role).value)[0]])
    after = {"role": role, **_shut(actor, locked)}
    record(actor, "user.role_changed", locked, reason=why, before={"role": before}, after=after)
    return _fresh(locked)


@use_case
def deactivate(actor: Actor, user: User, reason: str) -> User:
    """Shut a person out: sessions and command line sign-ins end, API keys are refused, sockets close within 5 s.

    Deactivating somebody inactive changes nothing.

    Raises:
        Forbidden: the actor is no Admin (any more), or asks for themselves.
        LastAdmin: nobody else would be Admin.
        ValidationError: the reason is missing.
    """
    actor, locked = _begin(actor, user, "deactivate")
    why = _reason(reason)
    if not locked.is_active:
        return locked
    _keep_an_admin(locked)
    locked.is_active = False
    locked.save(update_fields=["is_active"])
    refused = queries.keys_of(locked).filter(revoked_at=None).count()
    after = {"is_active": False, **_shut(actor, locked), "api_key_count": refused}
    record(actor, "user.deactivated", locked, reason=why, before={"is_active": True}, after=after)
    return locked


@use_case
def reactivate(actor: Actor, user: User, reason: str) -> User:
    """Let a person in again, with the same role; API keys that have not ended work again.

    Reactivating somebody active changes nothing.

    Raises:
        Forbidden: the actor is no Admin (any more), or asks for themselves.
        ValidationError: the reason is missing.
    """
    actor, locked = _begin(actor, user, "reactivate")
    why = _reason(reason)
    if locked.is_active:
        return locked
    locked.is_active = True
    locked.save(update_fields=["is_active"])
    working = sum(key.is_usable for key in queries.keys_of(locked))
    after = {"is_active": True, "role": locked.role, "api_key_count": working}
    record(actor, "user.reactivated", locked, reason=why, before={"is_active": False}, after=after)
    return locked


@use_case
def remove_second_factor(actor: Actor, user: User, reason: str) -> User:
    """Forget everything that a lost device could hold: passkeys, authenticator app, recovery codes, SSH keys, sessions.

    The person enters again with a new enrolment link (``invite_again``).

    Raises:
        Forbidden: the actor is no Admin (any more), or asks for themselves.
        ValidationError: the reason is missing, or there is nothing to remove.
    """
    actor, locked = _begin(actor, user, "remove the second factor of")
    why = _reason(reason)
    kinds = {"passkeys": Passkey, "authenticator_apps": AuthenticatorApp, "recovery_code_count": RecoveryCode}
    removed = {name: _delete_all(kind, locked) for name, kind in {**kinds, "ssh_keys": SSHKey}.items()}
    if not any(removed.values()):
        raise ValidationError(f"{locked.display_name} has neither a second factor nor an SSH key. Nothing was changed.")
    after = {"removed": removed, **_shut(actor, locked)}
    record(actor, "user.second_factor_removed", locked, reason=why, before=removed, after=after)
    return locked


@use_case
def end_sessions(actor: Actor, user: User, reason: str) -> int:
    """End every session and command line sign-in of a person; how many there were. They may enter again.

    Raises:
        Forbidden: the actor is no Admin.
        ValidationError: the reason is missing.
    """
    require_admin(actor, "end the sessions of others")
    why = _reason(reason)
    ended = _shut(actor, user)
    record(actor, "user.sessions_ended", user, reason=why, after=ended)
    return sum(ended.values())


@use_case
def revoke_key(actor: Actor, key: APIKey, reason: str) -> APIKey:
    """End an API key of somebody at once, with a reason.

    Raises:
        Forbidden: the key is somebody else's and the actor is no Admin.
        ValidationError: the reason is missing.
    """
    return key_actions.revoke_api_key(actor, key, _reason(reason))


def _begin(actor: Actor, user: User, words: str) -> tuple[Actor, User]:
    """The right to change somebody, and the person under a lock.

    All changes of people take one lock, the row of the group of Admins. What was true of the actor when the request
    came may have changed while it waited, so it is read again: of two Admins who demote each other one loses.
    """
    require_admin(actor, f"{words} somebody")
    Group.objects.select_for_update(no_key=True).filter(name=Role.ADMIN.value).first()
    actor = _again(actor)
    require_admin(actor, f"{words} somebody")
    locked = User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    if actor.user is not None and actor.user.pk == locked.pk:
        raise Forbidden(actor, MANAGE_PEOPLE, f"{words} themselves", NO_ENVIRONMENT, "another Admin")
    return actor, locked


def _again(actor: Actor) -> Actor:
    if actor.user is None:
        return actor
    user = _fresh(actor.user)
    user.limits = actor.user.limits
    return replace(actor, user=user, role=user.role)


def _fresh(user: User) -> User:
    return User.objects.prefetch_related("groups").get(pk=user.pk)


def _keep_an_admin(user: User) -> None:
    others = User.objects.filter(groups__name=Role.ADMIN.value, is_active=True).exclude(pk=user.pk)
    if user.role == Role.ADMIN and user.is_active and not others.exists():
        raise LastAdmin(user.display_name)


def _shut(actor: Actor, user: User) -> dict[str, int]:
    """End what is open now; pages notice within five seconds, since their sockets look for the session."""
    return {"sessions_ended": sessions.end_all(user), "command_lines_ended": key_actions.end_logins(actor, user)}


def _link(actor: Actor, user: User, reason: str) -> str:
    token = actions.issue_sign_in_link(actor, user, enrol=True)
    record(actor, "user.invited", user, reason=reason, after={"role": user.role})
    return token


def _delete_all(kind: Any, user: User) -> int:
    deleted, _ = kind.objects.filter(user=user).delete()
    return int(deleted)


def _reason(text: str) -> str:
    """The reason without blanks around it.

    Raises:
        ValidationError: there is none, or it is too long.
    """
    why = text.strip()
    if not why:
        raise ValidationError({"reason": REASON_MISSING})
    if len(why) > LONGEST_REASON:
        raise ValidationError({"reason": f"At most {LONGEST_REASON} characters, not {len(why)}."})
    return why
