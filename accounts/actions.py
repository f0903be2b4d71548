"""The use cases of people and their API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import login
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

import accounts.audit  # noqa: F401  registers the action names
from accounts import keys, links
from accounts.actors import from_request
from accounts.errors import Forbidden
from accounts.limits import MANAGE_PEOPLE, SCOPES
from accounts.models import APIKey, User
from accounts.roles import Role
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor

SESSION_BACKEND = "django.contrib.auth.backends.ModelBackend"


@use_case
def create_user(actor: Actor, username: str, full_name: str, role: str) -> User:
    """Create a person with one role. There are no passwords: people sign in by a one-time link.

    Raises:
        Forbidden: the actor is no Admin.
        ValidationError: the user name is taken or malformed, the full name is empty, or the role is unknown.
    """
    _require_admin(actor, "create users")
    if role not in list(Role):
        raise ValidationError({"role": f"Unknown role {role!r}. Choose one of: {', '.join(Role)}."})
    first, _, last = full_name.strip().partition(" ")
    if not first:
        raise ValidationError({"full_name": "Give the full name; it stands in the audit trail."})
    user = User(username=username, first_name=first, last_name=last.strip())
    user.set_unusable_password()
    user.full_clean()
    user.save()
    # The groups exist once a system definition was applied; a person may come before it.
    user.groups.set([Group.objects.get_or_create(name=Role(role).value)[0]])
    record(actor, "user.created", user, after={"username": username, "name": user.display_name, "role": role})
    return user


@use_case
def create_api_key(actor: Actor, owner: User, name: str, *, days: int = APIKey.LIFETIME.days) -> tuple[APIKey, str]:
    """A new API key and its plain text, which is shown this once and kept nowhere.

    Args:
        days: how long it is valid, 1 to 90.

    Raises:
        Forbidden: the key is for somebody else and the actor is no Admin.
        ValidationError: the name is empty or too long, the lifetime is out of bounds, or the owner is inactive.
    """
    if actor.user is None or actor.user.pk != owner.pk:
        _require_admin(actor, "create API keys of others")
    if not 1 <= days <= APIKey.LIFETIME.days:
        raise ValidationError({"days": f"A key lives 1 to {APIKey.LIFETIME.days} days, not {days}."})
    if not owner.is_active:
        raise ValidationError({"owner": f"{owner.display_name} is not active; an inactive person gets no key."})
    text, prefix, digest = keys.generate()
    key = APIKey(
        owner=owner,
        name=name.strip(),
        prefix=prefix,
        digest=digest,
        scopes=list(SCOPES),
        expires_at=timezone.now() + timedelta(days=days),
    )
    key.full_clean()
    key.save()
    record(actor, "api_key.created", key, after=_described(key))
    return key, text


@use_case
def revoke_api_key(actor: Actor, key: APIKey) -> APIKey:
    """End a key at once. Revoking twice changes nothing.

    Raises:
        Forbidden: the key is somebody else's and the actor is no Admin.
    """
    if actor.user is None or actor.user.pk != key.owner_id:
        _require_admin(actor, "revoke API keys of others")
    locked = APIKey.objects.select_for_update(of=("self",)).select_related("owner").get(pk=key.pk)
    if locked.revoked_at is None:
        locked.revoked_at = timezone.now()
        locked.save(update_fields=["revoked_at"])
        record(actor, "api_key.revoked", locked, after=_described(locked))
    return locked


@use_case
def issue_sign_in_link(actor: Actor, user: User) -> str:
    """The token of a one-time sign-in link (``accounts/links.py``).

    Raises:
        Forbidden: the actor is no Admin.
        ValidationError: the person is inactive.
    """
    _require_admin(actor, "issue sign-in links")
    if not user.is_active:
        raise ValidationError({"username": f"{user.display_name} is not active and cannot sign in."})
    record(actor, "account.link_issued", user, after={"valid_minutes": links.LIFETIME.total_seconds() / 60})
    return links.make(user)


@use_case
def sign_in_by_link(request: HttpRequest, token: str) -> User:
    """Use up a one-time link and open a session.

    Raises:
        InvalidLink: unknown, expired, or already used.
    """
    # The row lock lets one of two presses at the same time through: signing in changes last_login, which ends the link.
    user = links.read(token, User.objects.select_for_update())
    return open_session(request, user, how="link")


@use_case
def open_session(request: HttpRequest, user: User, how: str) -> User:
    """Sign a person in to the browser session; ``how`` is kept in the audit trail (``link`` or ``demo``)."""
    login(request, user, backend=SESSION_BACKEND)
    record(from_request(request), "account.signed_in", user, after={"how": how})
    return user


def _require_admin(actor: Actor, words: str) -> None:
    """The role table's "users, roles, keys of others": Admin, or somebody at the machine itself."""
    if actor.is_system or actor.via == "cli":
        return
    user = actor.user
    permitted = user is not None and (user.limits is None or user.limits.permits(MANAGE_PEOPLE))
    if user is None or not user.is_active or actor.role != Role.ADMIN or not permitted:
        raise Forbidden(actor, MANAGE_PEOPLE, words, "every environment", Role.ADMIN.value)


def _described(key: APIKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "owner": key.owner.username,
        "expires_at": key.expires_at.isoformat(timespec="seconds"),
    }
