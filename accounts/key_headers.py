"""What every answer to an API key carries."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from accounts.models import APIKey

EXPIRES_AT = "X-Key-Expires-At"


def key_expires_at(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Tell the end of the key with each answer, so that a program can ask for a rotation in time."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        key = getattr(request, "auth", None)  # the REST framework notes it on the plain request, too
        if isinstance(key, APIKey):
            response[EXPIRES_AT] = key.expires_at.isoformat(timespec="seconds")
        return response

    return middleware
