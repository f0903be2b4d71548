"""Recovery codes: ten for the day the device is lost. Each works once; only digests are kept."""

from __future__ import annotations

import hashlib
import re
import secrets

from django.utils import timezone

from accounts.models import RecoveryCode, User

COUNT = 10
GROUPS, GROUP = 6, 4
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without characters that look alike. 24 of them are 118 bits, so a plain hash is enough (ASVS 5.0, 6.5.2)."""


def new_code() -> str:
    """A random code, in groups of four."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))


def digest(user: User, code: str) -> str:
    """What is kept of a code; the same code of somebody else looks different."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(f"opsconsole recovery {user.pk}:{plain}".encode()).hexdigest()


def renew(user: User) -> list[str]:
    """Replace every code of a person; the new ones, to be shown this once. Call it in a transaction."""
    codes = [new_code() for _ in range(COUNT)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=digest(user, code)) for code in codes)
    return codes


def use(user: User, code: str) -> bool:
    """Use a code up; False when it is wrong or was used before."""
    found = RecoveryCode.objects.filter(user=user, digest=digest(user, code[:200]), used_at=None)
    return found.update(used_at=timezone.now()) == 1


def left(user: User) -> int:
    """How many codes of a person still work."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()
