"""API keys in ``Authorization: Bearer opsc_<prefix>_<secret>`` (RFC 6750)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import keys
from accounts.models import APIKey, User

USE_NOTED_EVERY = timedelta(minutes=1)
"""``last_used_at`` is written at most this often, so that a busy key costs no write a request."""
_MAKE_NEW = "Ask an Admin for a new one, or make it with: manage.py api_key create."


def check_bearer(text: str) -> APIKey:
    """The usable key of a bearer text, its owner and the owner's groups loaded.

    Raises:
        AuthenticationFailed: malformed, unknown, revoked, expired, or its owner is inactive; the text says which of
            them only to somebody who has the secret.
    """
    parts = keys.split(text)
    if parts is None:
        raise AuthenticationFailed("The API key is malformed: it reads opsc_<prefix>_<43 characters>.")
    prefix, secret = parts
    key = APIKey.objects.select_related("owner").prefetch_related("owner__groups").filter(prefix=prefix).first()
    if not keys.matches(secret, key.digest if key else None) or key is None:
        raise AuthenticationFailed("This API key is not known here. Check that it was copied whole.")
    now = timezone.now()
    if key.revoked_at is not None:
        raise AuthenticationFailed(f"This API key was revoked on {key.revoked_at:%Y-%m-%d}. {_MAKE_NEW}")
    if key.expires_at <= now:
        raise AuthenticationFailed(f"This API key expired on {key.expires_at:%Y-%m-%d}. {_MAKE_NEW}")
    if not key.owner.is_active:
        raise AuthenticationFailed("The owner of this API key is no longer active. An Admin can change that.")
    if key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY:
        APIKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


class BearerAuthentication(BaseAuthentication):
    """Signs in the owner of an API key for one request; ``request.auth`` is the key."""

    def authenticate(self, request: Request) -> tuple[User, APIKey] | None:
        """(owner, key); None without a bearer text, so that the session is asked next."""
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = check_bearer(text.strip())
        key.owner.limits = key.limits
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        """What a 401 answer asks for."""
        return 'Bearer realm="OpsConsole"'


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
            "description": "An API key of a person, valid for at most 90 days. It may do what its owner may do.",
        }
