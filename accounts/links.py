"""One-time sign-in links: signed, short-lived, and ended by the first sign-in.

The idea is that of Django's PasswordResetTokenGenerator: the state that a use changes (``last_login``) is part of what
is signed, so nothing has to be stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.core import signing
from django.db.models import QuerySet

from accounts.models import User


class Kind(StrEnum):
    """What a link is for."""

    SIGN_IN = "link"
    """Somebody asked for a way in."""
    ENROL = "enrol"
    """Somebody is new here, or lost their device: after signing in they enrol a second factor."""
    BROWSER = "ssh"
    """Somebody signed in at the command line with an SSH key and goes on in the browser."""


LIFETIME = timedelta(minutes=10)
LIFETIMES = {Kind.SIGN_IN: LIFETIME, Kind.ENROL: timedelta(hours=24), Kind.BROWSER: timedelta(seconds=60)}


class InvalidLink(Exception):
    """The link is unknown, expired or used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Link:
    """A valid link."""

    user: User
    kind: Kind

    @property
    def method(self) -> str:
        """How whoever uses it proves who they are, as the session keeps it."""
        return "ssh" if self.kind == Kind.BROWSER else "link"


def make(user: User, kind: Kind = Kind.SIGN_IN) -> str:
    """The token of a link for a person."""
    return _signer(user, kind).sign(f"{user.pk}.{kind}")


def read(token: str, people: QuerySet[User]) -> Link:
    """The person and the kind of a token.

    Raises:
        InvalidLink: it is not valid now.
    """
    key, _, name = token.partition(":")[0].partition(".")
    user = people.filter(pk=int(key), is_active=True).first() if _is_number(key) else None
    try:
        if user is None or name not in list(Kind):
            raise signing.BadSignature
        kind = Kind(name)
        _signer(user, kind).unsign(token, max_age=LIFETIMES[kind])
    except signing.BadSignature:  # SignatureExpired is one, too
        raise InvalidLink(
            "This sign-in link is not valid: it was used, is too old, or was not copied whole. "
            "A newer sign-in ends it, too."
        ) from None
    return Link(user, kind)


def lifetime_in_words(kind: Kind) -> str:
    """How long a link of a kind works: "10 minutes"."""
    seconds = int(LIFETIMES[kind].total_seconds())
    if seconds >= 3600:
        return f"{seconds // 3600} hours"
    return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _signer(user: User, kind: Kind) -> signing.TimestampSigner:
    state = user.last_login.isoformat() if user.last_login else "never"
    return signing.TimestampSigner(salt=f"accounts.sign_in_link.{kind}.{state}")
