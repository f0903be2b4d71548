"""No refusal without a record: what no use case recorded (a page, an API view, a missing proof) is recorded here."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from accounts.actors import from_request
from accounts.errors import Forbidden
from audit.actions import record
from audit.models import Outcome
from audit.registry import register

register(access__denied="Access denied")

_noted: ContextVar[list[Forbidden] | None] = ContextVar("denials_noted", default=None)
"""Denials that use cases recorded while this request is answered; None outside of one."""


def note(error: Forbidden, act: str) -> None:
    """Record a denial of a use case, in a transaction of its own."""
    with transaction.atomic():
        record(
            error.actor,
            "access.denied",
            environment=error.environment,
            outcome=Outcome.DENIED,
            reason=str(error),
            after={"permission": error.permission, "act": act},
        )
    noted = _noted.get()
    if noted is not None:
        noted.append(error)


class recorded:  # noqa: N801  named like the functions beside it in settings.MIDDLEWARE
    """Record every answer 403 to somebody who is signed in, unless a use case did it already.

    Somebody who is not signed in is asked to sign in (401 or a redirect); failed attempts at that are recorded there.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, then record a refusal."""
        token = _noted.set([])
        try:
            response = self.get_response(request)
            if response.status_code == 403 and not _noted.get() and _is_somebody(request):
                _record(request, response)
            return response
        finally:
            _noted.reset(token)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Keep why a page was refused: its answer is HTML."""
        request.denied_by = exception  # type: ignore[attr-defined]


def _is_somebody(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_active


@transaction.atomic
def _record(request: HttpRequest, response: HttpResponse) -> None:
    said = _problem(response)
    exception = getattr(request, "denied_by", None)
    cause = getattr(exception, "__cause__", None)
    permission, environment = said.get("permission", ""), said.get("environment", "")
    if isinstance(cause, Forbidden):
        permission, environment = cause.permission, cause.environment
    code = getattr(exception, "code", "") or said.get("code", "")
    record(
        from_request(request),
        "access.denied",
        environment=str(environment)[:60],
        outcome=Outcome.DENIED,
        reason=str(said.get("detail") or exception or "")[:1000],
        after={"permission": permission, "code": code, "act": f"{request.method} {request.path}"[:300]},
    )


def _problem(response: HttpResponse) -> dict[str, Any]:
    """The members of a problem answer; empty for a page."""
    if not response.get("Content-Type", "").startswith("application/problem+json"):
        return {}
    try:
        found = json.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
