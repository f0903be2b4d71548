"""One-time sign-in links: signed, valid for ten minutes, and ended by the first sign-in.

The idea is that of Django's PasswordResetTokenGenerator: the state that a use changes (``last_login``) is part of what
is signed, so nothing has to be stored.
"""

from __future__ import annotations

from datetime import timedelta

from django.core import signing
from django.db.models import QuerySet

from accounts.models import User

LIFETIME = timedelta(minutes=10)


class InvalidLink(Exception):
    """The link is unknown, expired or used; the message says what to do."""


def make(user: User) -> str:
    """The token of a link for a person."""
    return _signer(user).sign(str(user.pk))


def read(token: str, people: QuerySet[User]) -> User:
    """The person of a token.

    Raises:
        InvalidLink: it is not valid now.
    """
    key = token.partition(":")[0]
    user = people.filter(pk=int(key), is_active=True).first() if key.isdecimal() and len(key) < 19 else None
    try:
        if user is None:
            raise signing.BadSignature
        _signer(user).unsign(token, max_age=LIFETIME)
    except signing.BadSignature:  # SignatureExpired is one, too
        minutes = int(LIFETIME.total_seconds() // 60)
        raise InvalidLink(
            f"This sign-in link is not valid: it was used, is older than {minutes} minutes, or was not copied whole."
        ) from None
    return user


def _signer(user: User) -> signing.TimestampSigner:
    state = user.last_login.isoformat() if user.last_login else "never"
    return signing.TimestampSigner(salt=f"accounts.sign_in_link.{state}")
