"""Who acts, as found in a request or on the command line."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.exceptions import PermissionDenied

from accounts.models import APIKey
from audit.actors import Actor


def from_request(request: Any) -> Actor:
    """The actor of a request: the signed-in person, or the person whose API key was sent.

    Args:
        request: a Django ``HttpRequest`` or a REST framework ``Request``.

    Raises:
        PermissionDenied: nobody is signed in, or the person is inactive; there is no act by "nobody".
    """
    user = request.user
    if not user.is_authenticated or not user.is_active:
        raise PermissionDenied("Sign in first, or send an API key: an act needs somebody who does it.")
    key = getattr(request, "auth", None)
    return Actor(
        name=user.display_name,
        via=key.kind if isinstance(key, APIKey) else "session",
        user=user,
        role=user.role,
        request_id=getattr(request, "request_id", ""),
        address=request.META.get("REMOTE_ADDR", "") or "",
    )


def from_visitor(request: Any) -> Actor:
    """Somebody who is not signed in: for the records of attempts to sign in, and for nothing else."""
    return Actor(
        name="Nobody signed in",
        via="session",
        request_id=getattr(request, "request_id", ""),
        address=request.META.get("REMOTE_ADDR", "") or "",
    )


def from_command_line() -> Actor:
    """Somebody at the machine's own command line, under the name of the operating system's account."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a bare container
        name = "unknown"
    return Actor(name=f"{name} (command line)", via="cli", role="System")
