"""How often signing in may fail. Counted in the database, so that the limit does not vanish with a cache.

A subject is what is limited: ``address:192.0.2.7`` (the network of 64 bits for IPv6, since one person has as many
addresses there as they like), ``user:5`` for codes of one person. Passkeys are never limited by person, and codes can
only be tried by somebody who has passed the first factor: nobody can lock somebody else out.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.errors import TooManyAttempts
from accounts.models import SignInFailure

WINDOW = timedelta(minutes=5)
LIMITS = {"user": 5, "key_from": 60}
OTHERS = 20
"""Failures within the window after which a kind of subject has to wait; any other kind, the address among them."""
_KEPT_FOR = timedelta(days=1)


def address_of(request: Any) -> str:
    """The subject of the address from which a request comes."""
    text = request.META.get("REMOTE_ADDR") or ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "address:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"address:{ipaddress.IPv6Network((int(address), 64), strict=False)}"
        address = address.ipv4_mapped
    return f"address:{address}"


def check(*subjects: str) -> None:
    """Let an attempt begin, one query.

    Raises:
        TooManyAttempts: a subject failed too often within the last five minutes.
    """
    now = timezone.now()
    failed: dict[str, list[Any]] = {}
    for subject, at in SignInFailure.objects.filter(subject__in=subjects, at__gt=now - WINDOW).values_list(
        "subject", "at"
    ):
        failed.setdefault(subject, []).append(at)
    waits = []
    for subject, times in failed.items():
        limit = LIMITS.get(subject.partition(":")[0], OTHERS)
        if len(times) >= limit:
            waits.append((sorted(times)[-limit] + WINDOW - now).total_seconds())
    if waits:
        raise TooManyAttempts(max(1, round(max(waits))))


def fail(*subjects: str) -> None:
    """Count one failure of each subject."""
    SignInFailure.objects.filter(at__lt=timezone.now() - _KEPT_FOR).delete()
    SignInFailure.objects.bulk_create(SignInFailure(subject=subject[:120]) for subject in subjects)


def clear(subject: str) -> None:
    """Forget the failures of a person who then succeeded. An address keeps its failures."""
    SignInFailure.objects.filter(subject=subject).delete()
