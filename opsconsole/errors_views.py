"""What people and programs see when a request cannot be served."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from accounts.errors import Forbidden
from accounts.limits import SCOPE_WORDS
from accounts.people_queries import active_admins
from accounts.roles import PERMISSION_WORDS
from opsconsole.api import DATABASE_AWAY, Problem, describe, problem_response

logger = logging.getLogger(__name__)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: there is no such page, or nothing that this person may see."""
    words = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    detail = words or "There is nothing at this address that you may see."
    return _answer(request, Problem(404, "not_found", detail), "errors/404.html")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: which permission is missing, and the Admins who can grant it."""
    found = describe(exception) or Problem(403, "forbidden", "You may not do this.")
    return _answer(request, found, "errors/403.html", **_help(request, exception))


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: a form without its token, usually because the session ended while the page was open."""
    detail = "This form is no longer valid, usually because the session ended. Nothing was done. Load the page again."
    request.denied_by = PermissionDenied(detail)  # type: ignore[attr-defined]  # for the audit record
    return _answer(request, Problem(403, "forbidden", detail), "errors/403.html")


def server_error(request: HttpRequest) -> HttpResponse:
    """500 with the request id; 503 when it was the database."""
    error = sys.exc_info()[1]
    found = Problem(500, "internal_error", "Something failed on our side. What you asked for may not have been done.")
    if isinstance(error, (OperationalError, InterfaceError)):
        found = Problem(503, "database_unavailable", DATABASE_AWAY, headers={"Retry-After": "2"})
    return _answer(request, found, "errors/500.html")


def _help(request: HttpRequest, exception: Exception) -> dict[str, Any]:
    """For somebody who is signed in: the missing permission in words, and names of Admins; nothing for others."""
    if request.path.startswith("/api/") or not request.user.is_authenticated:
        return {}
    cause = exception.__cause__ if isinstance(exception.__cause__, Forbidden) else None
    missing = SCOPE_WORDS.get(cause.permission, "") if cause else ""
    where = cause.environment if cause and cause.permission in PERMISSION_WORDS else ""
    return {"missing": missing, "where": where, "admins": active_admins()}


def _answer(request: HttpRequest, found: Problem, template: str, **more: Any) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem_response(request, found)
    context = {"problem": found.body(request), **more}
    try:
        response = render(request, template, context, status=found.status)
    except Exception:  # the frame needs the session and the database, which may be what failed
        logger.exception("the error page for %s could not be drawn with its frame", request.path)
        response = HttpResponse(render_to_string("errors/plain.html", context), status=found.status)
    for name, value in found.headers.items():
        response[name] = value
    return response
