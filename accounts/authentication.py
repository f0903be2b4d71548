"""API keys in ``Authorization: Bearer opsc_<prefix>_<secret>`` (RFC 6750)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

import accounts.audit  # noqa: F401  registers the action names
from accounts import keys, limits, rate_limit
from accounts.models import APIKey, SignInFailure, User
from audit.actions import record
from audit.actors import Actor
from audit.models import Outcome

USE_NOTED_EVERY = timedelta(minutes=1)
"""``last_used_at`` is written at most this often, so that a busy key costs no write a request."""
REFUSAL_NOTED_EVERY = timedelta(minutes=1)
"""A refused key is audited at most this often from one address, so that a broken script is no flood."""
_MAKE_NEW = "Make a new one on the page API keys, or with: manage.py api_key create."


class KeyRefused(AuthenticationFailed):
    """The bearer text opens nothing. ``key`` is the key it names, when whoever sent it had its secret."""

    def __init__(self, detail: str, key: APIKey | None = None) -> None:
        super().__init__(detail)
        self.key = key


def check_bearer(text: str, *, address: str | None = None) -> APIKey:
    """The usable key of a bearer text, its owner and the owner's groups loaded.

    Args:
        address: where the text came from; None when it came over no network.

    Raises:
        KeyRefused: malformed, unknown, revoked, expired, from a network that is not the key's, or its owner is
            inactive; the text says which of them only to somebody who has the secret.
    """
    parts = keys.split(text)
    if parts is None:
        raise KeyRefused("The API key is malformed: it reads opsc_<prefix>_<43 characters>.")
    prefix, secret = parts
    key = APIKey.objects.select_related("owner").prefetch_related("owner__groups").filter(prefix=prefix).first()
    if not keys.matches(secret, key.digest if key else None) or key is None:
        raise KeyRefused("This API key is not known here. Check that it was copied whole.")
    now = timezone.now()
    if why := _why_not(key, now, address):
        raise KeyRefused(why, key)
    if key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY:
        APIKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def admit(request: HttpRequest | Request, text: str) -> APIKey:
    """The key of a request's bearer text; a refusal is audited and counted.

    Only refusals are limited: a broken script must not shut out the working keys behind the same address.

    Raises:
        KeyRefused: as ``check_bearer``.
        TooManyAttempts: the address sent too many refused keys within five minutes.
    """
    try:
        return check_bearer(text, address=request.META.get("REMOTE_ADDR") or "")
    except KeyRefused as error:
        _note_refusal(request, text, error)
        raise


class BearerAuthentication(BaseAuthentication):
    """Signs in the owner of an API key for one request; ``request.auth`` is the key."""

    def authenticate(self, request: Request) -> tuple[User, APIKey] | None:
        """(owner, key); None without a bearer text, so that the session is asked next."""
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = admit(request, text.strip())
        key.owner.limits = key.limits
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        """What a 401 answer asks for."""
        return 'Bearer realm="OpsConsole"'


def _why_not(key: APIKey, now: Any, address: str | None) -> str:
    if key.kind == APIKey.Kind.LOGIN and (key.revoked_at or key.expires_at <= now):
        return "This command line sign-in has ended. Sign in again, for example with: opsctl login."
    if key.revoked_at is not None:
        return f"This API key was revoked on {key.revoked_at:%Y-%m-%d}. {_MAKE_NEW}"
    if key.expires_at <= now:
        return f"This API key expired on {key.expires_at:%Y-%m-%d}. {_MAKE_NEW}"
    if not key.owner.is_active:
        return "The owner of this API key is no longer active. An Admin can change that."
    if address is not None and not limits.is_from(address, key.networks):
        return f"This API key may not be used from {address or 'here'}. It is made for: {', '.join(key.networks)}."
    return ""


@transaction.atomic
def _note_refusal(request: HttpRequest | Request, text: str, error: KeyRefused) -> None:
    """Count a refusal for its address, and audit it unless the same was audited a moment ago."""
    place = rate_limit.address_of(request).removeprefix("address:")
    counted = f"key_from:{place}"
    rate_limit.check(counted)
    parts = keys.split(text)
    prefix = parts[0] if parts else ""
    noted = f"key_noted:{prefix}:{place}"
    since = timezone.now() - REFUSAL_NOTED_EVERY
    is_new = not SignInFailure.objects.filter(subject=noted, at__gt=since).exists()
    rate_limit.fail(counted, *([noted] if is_new else []))
    if is_new:
        owner = error.key.owner if error.key else None
        record(
            Actor(
                name=owner.display_name if owner else "Unknown API key",
                via="key",
                user=owner,
                role=owner.role if owner else "",
                request_id=getattr(request, "request_id", ""),
                address=request.META.get("REMOTE_ADDR", "") or "",
            ),
            "api_key.refused",
            error.key,
            outcome=Outcome.DENIED,
            reason=str(error.detail),
            after={"prefix": prefix},
        )


class BearerScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI schema describes the keys."""

    target_class = "accounts.authentication.BearerAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """An HTTP bearer scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "opsc_<prefix>_<secret>",
            "description": "An API key of a person, valid for at most 90 days, or a command line sign-in of 15 "
            "minutes. It may do what its owner may do, as far as its scopes, environments and networks go.",
        }
