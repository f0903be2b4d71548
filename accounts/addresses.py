"""Where a request comes from."""

from __future__ import annotations

import ipaddress

from django.http import HttpRequest

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


def is_from_this_machine(request: HttpRequest) -> bool:
    """Whether the caller is on loopback and no proxy stands between.

    A proxy on this machine would make everybody look like loopback, so a forwarding header is enough to say no.
    """
    try:
        near = ipaddress.ip_address(request.META.get("REMOTE_ADDR") or "").is_loopback
    except ValueError:
        return False
    return near and not any(name in request.headers for name in _FORWARDED)
