"""Reading people's keys; each list is one query, and nothing asks again for each row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone
from guardian.shortcuts import get_objects_for_user

from accounts.models import APIKey, User
from accounts.roles import VIEW


def all_keys() -> QuerySet[APIKey]:
    """Every API key of everybody, newest first, with its owner and the key that takes its place."""
    return APIKey.objects.filter(kind=APIKey.Kind.KEY).select_related("owner", "replaces", "replaced_by")


def keys_of(user: User) -> QuerySet[APIKey]:
    """The API keys of a person, newest first. Command line sign-ins are none: see ``logins_of``."""
    return all_keys().filter(owner=user)


def keys_due(within: timedelta = APIKey.DUE) -> QuerySet[APIKey]:
    """Keys of everybody that end within a time and have no newer key yet, the next one first.

    A key that was made for less than 14 days is due in its last three days only: it would be due from its start.
    """
    now = timezone.now()
    made_for_longer = Q(created_at__lt=F("expires_at") - APIKey.DUE)
    at_its_end = Q(expires_at__lte=now + min(within, APIKey.SHORT_NOTICE))
    found = all_keys().filter(
        made_for_longer | at_its_end,
        revoked_at=None,
        replaced_by=None,
        owner__is_active=True,
        expires_at__gt=now,
        expires_at__lte=now + within,
    )
    return found.order_by("expires_at")


def count_keys_due(owner: int | None) -> int:
    """How many keys of a person are due. One query, a second one only if any ends soon."""
    now = timezone.now()
    soon = APIKey.objects.filter(owner=owner, revoked_at=None, expires_at__gt=now, expires_at__lte=now + APIKey.DUE)
    return keys_due().filter(owner=owner).count() if soon.exists() else 0


def logins_of(user: User) -> QuerySet[APIKey]:
    """The command line sign-ins of a person that are open now, newest first."""
    found = APIKey.objects.filter(kind=APIKey.Kind.LOGIN, owner=user, revoked_at=None, expires_at__gt=timezone.now())
    return found.select_related("owner")


def places_of(user: User) -> list[Any]:
    """The environments that a person sees, in their order: objects with ``name`` and ``kind``. One query.

    Found by the permission, since the app of environments stands above this one.
    """
    found = get_objects_for_user(user, f"environments.{VIEW}", accept_global_perms=False, with_superuser=False)
    return list(found.only("name", "kind"))
