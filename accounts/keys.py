"""The text of an API key: ``opsc_<prefix>_<43 characters>``. Only the SHA-256 of the secret part is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_KEY = re.compile(r"opsc_([a-z0-9]{8,12})_([A-Za-z0-9_-]{43})", re.ASCII)
_PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_UNKNOWN = hashlib.sha256(b"no such key").hexdigest()


def generate() -> tuple[str, str, str]:
    """A new key as (plain text, prefix, digest of its secret); the secret has 256 random bits."""
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    return f"opsc_{prefix}_{secret}", prefix, digest(secret)


def digest(secret: str) -> str:
    """SHA-256 of the secret part, in hexadecimal. The secret is random, so it needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split(text: str) -> tuple[str, str] | None:
    """(prefix, secret) of a well-formed key, else None."""
    found = _KEY.fullmatch(text)
    return (found.group(1), found.group(2)) if found else None


def matches(secret: str, kept: str | None) -> bool:
    """Whether a secret belongs to a kept digest. As long for an unknown key (None) as for a wrong secret."""
    return hmac.compare_digest(digest(secret), kept or _UNKNOWN) and kept is not None
