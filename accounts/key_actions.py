"""The use cases of API keys: make, rotate, revoke, remind."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone

import accounts.audit  # noqa: F401  registers the action names
from accounts import keys, queries
from accounts.authority import NO_ENVIRONMENT, require_admin, require_self
from accounts.errors import InsufficientScope, KeyStateError
from accounts.limits import SCOPES, Limits, read_network
from accounts.models import APIKey, User
from accounts.roles import VIEW
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor

OVERLAP_HOURS = 24
LONGEST_OVERLAP_HOURS = 168
MOST_NETWORKS = 20
REMINDERS = (timedelta(days=14), timedelta(days=3), timedelta(0))
"""How long before its end the owner of a key is reminded; at its end for the last time."""


@use_case
def create_api_key(
    actor: Actor,
    owner: User,
    name: str,
    *,
    scopes: Iterable[str],
    environments: Iterable[str] | None,
    networks: Iterable[str],
    days: int = APIKey.LIFETIME.days,
) -> tuple[APIKey, str]:
    """A new API key and its plain text, which is shown this once and kept nowhere.

    Args:
        scopes: what it may do of what its owner may do (``accounts/limits.py``); looking is always among it.
        environments: names of those it reaches; None for all of its owner's.
        networks: CIDR networks it may come from; none for anywhere.
        days: how long it is valid, 1 to 90.

    Raises:
        Forbidden: the key is for somebody else. Whoever holds a key acts as its owner, so only the owner makes one, or
            somebody at the machine's own command line.
        InsufficientScope: the actor came with an API key of narrower bounds.
        ValidationError: something given is unknown or out of bounds, or the owner is inactive.
    """
    require_self(actor, owner, "make API keys of somebody else")
    if not 1 <= days <= APIKey.LIFETIME.days:
        raise ValidationError({"days": f"A key lives 1 to {APIKey.LIFETIME.days} days, not {days}."})
    if not owner.is_active:
        raise ValidationError({"owner": f"{owner.display_name} is not active; an inactive person gets no key."})
    key, text = _new(owner, name, timezone.now() + timedelta(days=days))
    key.scopes = _scopes(scopes)
    key.environments = _environments(owner, environments)
    key.networks = _networks(networks)
    _require_within_own(actor, key, "make a key that may do more than itself")
    _require_no_longer(actor, key)
    key.full_clean()
    key.save()
    record(actor, "api_key.created", key, after=described(key))
    return key, text


@use_case
def rotate_api_key(actor: Actor, key: APIKey, overlap_hours: int = OVERLAP_HOURS) -> tuple[APIKey, str]:
    """A new key with the same bounds and the same lifetime; the old one goes on for the overlap, then it ends.

    Args:
        overlap_hours: how long both work, 0 to 168, so that programs can change over one after the other.

    Raises:
        Forbidden: the key is somebody else's.
        KeyStateError: it is revoked, expired or rotated already, or it is a command line sign-in.
        InsufficientScope: the actor came with an API key of narrower bounds.
        ValidationError: the overlap is out of bounds.
    """
    require_self(actor, key.owner, "rotate API keys of somebody else")
    if not 0 <= overlap_hours <= LONGEST_OVERLAP_HOURS:
        raise ValidationError({"overlap_hours": f"Both keys work for 0 to {LONGEST_OVERLAP_HOURS} hours."})
    old = _locked(key)
    _require_rotatable(old)
    now = timezone.now()
    lifetime = min(old.expires_at - old.created_at, APIKey.LIFETIME)
    new, text = _new(old.owner, old.name, now + lifetime)
    new.scopes, new.environments, new.networks, new.replaces = old.scopes, old.environments, old.networks, old
    _require_within_own(actor, new, "rotate a key that may do more than itself")
    before = described(old)
    old.expires_at = min(old.expires_at, now + timedelta(hours=overlap_hours))
    old.save(update_fields=["expires_at"])
    new.full_clean()
    new.save()
    record(
        actor, "api_key.rotated", old, before=before, after={"old_ends_at": _iso(old.expires_at), "new": described(new)}
    )
    return new, text


@use_case
def revoke_api_key(actor: Actor, key: APIKey, reason: str = "") -> APIKey:
    """End a key at once. Revoking twice changes nothing.

    Raises:
        Forbidden: the key is somebody else's and the actor is no Admin.
        InsufficientScope: the actor came with an API key of narrower bounds.
    """
    if actor.user is None or actor.user.pk != key.owner_id:
        require_admin(actor, "revoke API keys of others")
    else:
        _require_within_own(actor, key, "revoke a key that may do more than itself")
    locked = _locked(key)
    if locked.revoked_at is None:
        locked.revoked_at = timezone.now()
        locked.save(update_fields=["revoked_at"])
        record(actor, "api_key.revoked", locked, reason=reason, after=described(locked))
    return locked


@use_case
def end_logins(actor: Actor, owner: User) -> int:
    """End every command line sign-in of a person; how many there were.

    Raises:
        Forbidden: they are somebody else's and the actor is no Admin.
    """
    if actor.user is None or actor.user.pk != owner.pk:
        require_admin(actor, "end the sign-ins of others")
    open_ones = list(queries.logins_of(owner).select_for_update(of=("self",)))
    for login in open_ones:
        login.revoked_at = timezone.now()
        login.save(update_fields=["revoked_at"])
        record(actor, "api_key.revoked", login, after=described(login))
    return len(open_ones)


@use_case
def remind_of_due_keys(actor: Actor, now: datetime | None = None) -> int:
    """Note in the audit trail which keys end soon, each at most once for each of ``REMINDERS``; how many there were."""
    now = now or timezone.now()
    found = [key for key in _waiting_for_a_reminder(now) if _is_to_be_reminded(key, now)]
    for key in found:
        key.reminded_at = now
        key.save(update_fields=["reminded_at"])
        days = max(0, (key.expires_at - now).days)
        record(actor, "api_key.due", key, after={**described(key), "days_left": days})
    return len(found)


def described(key: APIKey) -> dict[str, Any]:
    """A key as audit records show it: everything but its secret."""
    return {
        "name": key.name,
        "prefix": key.prefix,
        "kind": key.kind,
        "owner": key.owner.username,
        "scopes": key.scopes,
        "environments": key.environments,
        "networks": key.networks,
        "expires_at": _iso(key.expires_at),
    }


def new_login(
    owner: User, name: str, lifetime: timedelta, scopes: Iterable[str], environments: Any
) -> tuple[APIKey, str]:
    """A saved command line sign-in and its text, within the transaction of the use case that proved who it is.

    Raises:
        ValidationError: a scope or an environment is not known.
    """
    key, text = _new(owner, name, timezone.now() + lifetime, kind=str(APIKey.Kind.LOGIN))
    key.scopes, key.environments = _scopes(scopes), _environments(owner, environments)
    key.full_clean()
    key.save()
    return key, text


def _new(owner: User, name: str, expires_at: datetime, kind: str = str(APIKey.Kind.KEY)) -> tuple[APIKey, str]:
    text, prefix, digest = keys.generate()
    key = APIKey(owner=owner, name=name.strip(), prefix=prefix, digest=digest, expires_at=expires_at, kind=kind)
    return key, text


def _locked(key: APIKey) -> APIKey:
    return APIKey.objects.select_for_update(of=("self",)).select_related("owner").get(pk=key.pk)


def _require_rotatable(key: APIKey) -> None:
    newer = APIKey.objects.filter(replaces=key).first()
    if key.kind != APIKey.Kind.KEY:
        raise KeyStateError("A command line sign-in is not rotated: sign in again.")
    if newer is not None:
        raise KeyStateError(f"opsc_{key.prefix}_… was rotated already; opsc_{newer.prefix}_… takes its place.")
    if not key.is_usable:
        raise KeyStateError(
            f"opsc_{key.prefix}_… is revoked or has ended, so there is nothing to rotate. Make a new key."
        )


def _scopes(given: Iterable[str]) -> list[str]:
    """In the order of the role table; looking is always among them."""
    wanted = {VIEW, *given}
    if unknown := sorted(wanted - set(SCOPES)):
        raise ValidationError({"scopes": f"Unknown: {', '.join(unknown)}. Known: {', '.join(SCOPES)}."})
    return [scope for scope in SCOPES if scope in wanted]


def _environments(owner: User, given: Iterable[str] | None) -> list[str] | None:
    if given is None:
        return None
    wanted = sorted(set(given))
    if not wanted:
        raise ValidationError({"environments": "Name at least one, or leave it out for all of them."})
    known = [place.name for place in queries.places_of(owner)]
    if unknown := [name for name in wanted if name not in known]:
        shown = ", ".join(known) or "none"
        raise ValidationError({"environments": f"Unknown: {', '.join(unknown)}. {owner.display_name} sees: {shown}."})
    return wanted


def _networks(given: Iterable[str]) -> list[str]:
    found = []
    for text in given:
        try:
            found.append(str(read_network(text)))
        except ValueError as error:
            words = f"{error}. Write a network as 10.1.0.0/16 or 2001:db8::/32, a single address as it is."
            raise ValidationError({"networks": words}) from None
    if len(found) > MOST_NETWORKS:
        raise ValidationError({"networks": f"At most {MOST_NETWORKS} networks."})
    return list(dict.fromkeys(found))


def _require_within_own(actor: Actor, key: APIKey, words: str) -> None:
    """Somebody who came with an API key touches no key that could do more than that one.

    Raises:
        InsufficientScope: the other could.
    """
    limits: Limits | None = getattr(actor.user, "limits", None)
    if limits is None or limits.covers(key.limits):
        return
    beyond = [scope for scope in key.scopes if not limits.permits(scope)]
    if beyond:
        who = f"a key that has the scope {beyond[0]!r} itself"
        raise InsufficientScope(actor, beyond[0], words, NO_ENVIRONMENT, who)
    who = "a key that reaches all environments and networks of the other"
    raise InsufficientScope(actor, "environments", words, NO_ENVIRONMENT, who)


def _require_no_longer(actor: Actor, key: APIKey) -> None:
    limits: Limits | None = getattr(actor.user, "limits", None)
    if limits is not None and limits.ends_at is not None and key.expires_at > limits.ends_at:
        words = f"A key made with an API key ends no later than that one: {_iso(limits.ends_at)}. Give fewer days."
        raise ValidationError({"days": words})


def _waiting_for_a_reminder(now: datetime) -> QuerySet[APIKey]:
    last = now - timedelta(days=1)  # a key that ended while no task ran is still told of, for a day
    soon = APIKey.objects.filter(
        kind=APIKey.Kind.KEY,
        revoked_at=None,
        replaced_by=None,
        owner__is_active=True,
        expires_at__gt=last,
        expires_at__lte=now + max(REMINDERS),
    )
    return soon.select_related("owner").select_for_update(of=("self",), skip_locked=True)


def _is_to_be_reminded(key: APIKey, now: datetime) -> bool:
    since = key.reminded_at or key.created_at
    return any(since < key.expires_at - before <= now for before in REMINDERS)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
