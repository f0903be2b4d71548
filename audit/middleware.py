"""Each request gets an id, which answers, logs and audit records carry."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
"""The request that is being answered, for log lines; empty outside of one."""

_GIVEN = re.compile(r"^[A-Za-z0-9._-]{8,40}$")


def request_id(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Take ``X-Request-ID`` when it is well formed, else make one; answer with it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if _GIVEN.match(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        current_request_id.set(request.request_id)  # type: ignore[attr-defined]
        response = get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response

    return middleware
