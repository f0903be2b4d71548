"""The use cases of people and of signing in."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest

import accounts.audit  # noqa: F401  registers the action names
from accounts import links, sessions
from accounts.authority import require_admin
from accounts.models import User
from accounts.roles import Role
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor

RESERVED = frozenset({"invite", "roles", "api-keys", ".", ".."})
"""No user names: they mean something else in an address below ``/people/``."""


@use_case
def create_user(actor: Actor, username: str, full_name: str, role: str, reason: str = "") -> User:
    """Create a person with one role. There are no passwords: people sign in by a one-time link.

    Raises:
        Forbidden: the actor is no Admin.
        ValidationError: the user name is taken or malformed, the full name is empty, or the role is unknown.
    """
    require_admin(actor, "create users")
    if role not in list(Role):
        raise ValidationError({"role": f"Unknown role {role!r}. Choose one of: {', '.join(Role)}."})
    if username in RESERVED:
        raise ValidationError({"username": f"A page has the name {username}. Choose another."})
    first, _, last = full_name.strip().partition(" ")
    if not first:
        raise ValidationError({"full_name": "Give the full name; it stands in the audit trail."})
    user = User(username=username, first_name=first, last_name=last.strip())
    user.set_unusable_password()
    user.full_clean()
    user.save()
    # The groups exist once a system definition was applied; a person may come before it.
    user.groups.set([Group.objects.get_or_create(name=Role(role).value)[0]])
    after = {"username": username, "name": user.display_name, "role": role}
    record(actor, "user.created", user, reason=reason, after=after)
    return user


@use_case
def issue_sign_in_link(actor: Actor, user: User, enrol: bool = False) -> str:
    """The token of a one-time sign-in link (``accounts/links.py``).

    Args:
        enrol: for somebody new, or whose device is lost: it works for 24 hours instead of ten minutes, until the first
            sign-in, and leads through enrolling a second factor.

    Raises:
        Forbidden: the actor is no Admin.
        ValidationError: the person is inactive.
    """
    require_admin(actor, "issue sign-in links")
    if not user.is_active:
        raise ValidationError({"username": f"{user.display_name} is not active and cannot sign in."})
    kind = links.Kind.ENROL if enrol else links.Kind.SIGN_IN
    minutes = links.LIFETIMES[kind].total_seconds() / 60
    record(actor, "account.link_issued", user, after={"valid_minutes": minutes, "enrol": enrol})
    return links.make(user, kind)


@use_case
def sign_in_by_link(request: HttpRequest, token: str) -> links.Link:
    """Use up a one-time link and open a session.

    Raises:
        InvalidLink: unknown, expired, or already used.
    """
    # The row lock lets one of two presses at the same time through: signing in changes last_login, which ends the link.
    link = links.read(token, User.objects.select_for_update())
    sessions.open(request, link.user, link.method)
    return link
