"""What every address of the API shares: pages of lists, and errors as problem+json (RFC 9457).

``accounts/idempotency.py`` holds ``Idempotency-Key``; the apps import it from there, since no app imports this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.settings import api_settings

from accounts.domain import DomainError
from accounts.errors import (
    Forbidden,
    IdempotencyConflict,
    KeyStateError,
    LastAdmin,
    ProofError,
    SignInRefused,
    TooManyAttempts,
)

PROBLEM_JSON = "application/problem+json"

KINDS = {
    "invalid_request": "The request is not valid",
    "unauthenticated": "Not signed in",
    "forbidden": "Not permitted",
    "insufficient_scope": "The API key is not made for this",
    "challenge_invalid": "The challenge is unknown, used, or too old",
    "signature_invalid": "The signature is not right",
    "key_unknown": "The SSH key is not enrolled",
    "account_inactive": "The account is not active",
    "second_factor_required": "Show a second factor first",
    "step_up_required": "This act takes a fresh proof",
    "step_up_failed": "The fresh proof was not right",
    "too_many_attempts": "Signing in failed too often",
    "not_found": "Not found",
    "method_not_allowed": "Method not allowed",
    "not_acceptable": "Only JSON is spoken here",
    "unsupported_media_type": "Send JSON",
    "deployment_in_progress": "Another deployment is not finished",
    "wrong_state": "The state does not permit this",
    "own_request": "Another person must decide",
    "not_waiting": "Somebody decided before",
    "approval_expired": "The request has expired",
    "subject_changed": "What was asked for has changed",
    "latched": "The kill switch is engaged",
    "not_configured": "The system definition lacks what this needs",
    "unreachable": "The trading system or the exchange did not answer",
    "report_changed": "Somebody changed the report",
    "release_exists": "The release exists already",
    "freeze_over": "The freeze has ended",
    "preflight_failed": "Checks block the deployment",
    "idempotency_conflict": "The Idempotency-Key was used for another request",
    "run_closed": "The run is over",
    "run_changed": "Somebody changed it meanwhile",
    "not_in_control": "Somebody else has it",
    "definition_invalid": "The text cannot be used",
    "checklist_incomplete": "Items are open",
    "database_unavailable": "The database does not answer",
    "internal_error": "An error on our side",
}
"""Every kind of problem by its code, with its title; each is described on the reference page."""

_STATUS_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    503: "database_unavailable",
}
DATABASE_AWAY = "The database does not answer just now. Nothing was done that you were not told of; try again."

WITHOUT_CONSOLE = "To stop trading without this console, on its machine: opsctl emergency-stop"
_KILL_SWITCH = re.compile(r"/kill-switch/|/emergency-stop")


class Pagination(PageNumberPagination):
    """``{"count", "next", "previous", "results"}``; ``?page=`` from 1, ``?page_size=`` up to 200."""

    page_size_query_param = "page_size"
    max_page_size = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, before it is an answer."""

    status: int
    code: str
    detail: str
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request: Any) -> dict[str, Any]:
        """The members of the answer."""
        is_stop = self.status == 503 and _KILL_SWITCH.search(request.path)
        return {
            "type": f"/api/docs/#problem-{self.code}",
            "title": KINDS.get(self.code) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": f"{self.detail} {WITHOUT_CONSOLE}" if is_stop else self.detail,
            "instance": request.path,
            "code": self.code,
            "request_id": getattr(request, "request_id", ""),
            **self.extra,
        }


def problem(exc: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's exception handler; None lets an unexpected error become a 500 with its traceback in the log."""
    found = describe(exc)
    if found is None:
        return None
    return Response(
        found.body(context["request"]), status=found.status, headers=found.headers, content_type=PROBLEM_JSON
    )


def problem_response(request: HttpRequest, found: Problem) -> JsonResponse:
    """The same answer outside of REST framework's views."""
    return JsonResponse(found.body(request), status=found.status, headers=found.headers, content_type=PROBLEM_JSON)


def describe(exc: Exception) -> Problem | None:
    """The one mapping from errors to HTTP answers; None for an error that nobody expected."""
    if isinstance(exc, DomainError):
        return Problem(exc.status, exc.code, str(exc), exc.extra())
    if isinstance(exc, Forbidden):
        return Problem(403, exc.code, str(exc), {"permission": exc.permission, "environment": exc.environment})
    if isinstance(exc, SignInRefused):
        return Problem(401, exc.code, str(exc))
    if isinstance(exc, TooManyAttempts):
        return Problem(429, "too_many_attempts", str(exc), headers={"Retry-After": str(exc.wait)})
    if isinstance(exc, (KeyStateError, LastAdmin)):
        return Problem(409, "wrong_state", str(exc))
    if isinstance(exc, IdempotencyConflict):
        return Problem(422, "idempotency_conflict", str(exc))
    if isinstance(exc, (OperationalError, InterfaceError)):
        return Problem(503, "database_unavailable", DATABASE_AWAY, headers={"Retry-After": "2"})
    if isinstance(exc, Http404):
        return Problem(404, "not_found", _words(exc) or "There is nothing here that you may see.")
    if isinstance(exc, ProofError):
        return Problem(403, exc.code, str(exc))
    if isinstance(exc, PermissionDenied):
        return Problem(403, "forbidden", _words(exc) or "You may not do this.")
    if isinstance(exc, ValidationError):
        errors = exc.message_dict if hasattr(exc, "error_dict") else {"request": exc.messages}
        return _invalid(errors)
    return _describe_framework(exc) if isinstance(exc, exceptions.APIException) else None


def _describe_framework(exc: exceptions.APIException) -> Problem:
    headers = {}
    if header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    if isinstance(exc, exceptions.ValidationError):
        return _invalid(_flat(exc.detail))
    code = _STATUS_CODES.get(exc.status_code, str(exc.default_code))
    return Problem(exc.status_code, code, " ".join(_texts(exc.detail)), headers=headers)


def _invalid(errors: dict[str, list[str]]) -> Problem:
    detail = " ".join(f"{name}: {' '.join(texts)}" for name, texts in errors.items())
    return Problem(400, "invalid_request", detail, {"errors": errors})


def _flat(detail: Any, name: str = "") -> dict[str, list[str]]:
    """Errors by field; a field within a field is named ``outer.inner``."""
    if not isinstance(detail, dict):
        return {name or "request": _texts(detail)}
    found: dict[str, list[str]] = {}
    for key, inner in detail.items():
        key = "request" if key == api_settings.NON_FIELD_ERRORS_KEY else str(key)
        found.update(_flat(inner, f"{name}.{key}" if name else key))
    return found


def _texts(detail: Any) -> list[str]:
    if isinstance(detail, dict):
        return [text for inner in detail.values() for text in _texts(inner)]
    if isinstance(detail, list):
        return [text for inner in detail for text in _texts(inner)]
    return [str(detail)]


def _words(exc: Exception) -> str:
    """The text somebody gave the error; a dict is what the URL resolver puts there."""
    return str(exc.args[0]) if exc.args and isinstance(exc.args[0], str) else ""
