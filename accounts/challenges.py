"""One-time challenges: something to be signed or answered once, within a short time."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Challenge, User

SHORT = timedelta(seconds=60)
"""For signing in and for confirming an act."""
LONG = timedelta(minutes=5)
"""For enrolling: the person may have to fetch the device first."""


def issue(
    kind: Any,
    user: User | None,
    lifetime: timedelta = SHORT,
    *,
    bound_to: str = "",
    act: Callable[[str], str] = lambda nonce: "",
) -> Challenge:
    """A new challenge with 256 random bits.

    Args:
        bound_to: the session that may answer it (``Challenge.session_key``); empty for anybody.
        act: makes of the nonce the digest of what the answer confirms.
    """
    now = timezone.now()
    Challenge.objects.filter(expires_at__lt=now - LONG).delete()
    nonce = secrets.token_urlsafe(32)
    return Challenge.objects.create(
        kind=kind,
        user=user,
        session_key=bound_to,
        nonce=nonce,
        act=act(nonce),
        expires_at=now + lifetime,
    )


def take(kind: Any, text: str, user: User | None = None, *, bound_to: str = "") -> Challenge | None:
    """Use up a challenge; None when it is unknown, used, too old, or somebody else's.

    Call it outside of the transaction of the act: it must stay used when the act is refused.
    """
    try:
        key = uuid.UUID(text)
    except ValueError:
        return None
    found = Challenge.objects.filter(pk=key, kind=kind, user=user, session_key=bound_to)
    now = timezone.now()
    if not found.filter(used_at=None, expires_at__gt=now).update(used_at=now):  # one of two answers gets it
        return None
    return found.get()
