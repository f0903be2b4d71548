"""Every kind of error as problem+json (RFC 9457), on the API and outside of it."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelInvalid
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions

from accounts import domain
from accounts.errors import Forbidden, IdempotencyConflict
from audit.actors import system as system_actor
from deployments import errors
from opsconsole import errors_views
from opsconsole.api import KINDS, PROBLEM_JSON, describe, problem

REQUEST = RequestFactory().get("/api/v1/thing/")
REQUEST.request_id = "abcdefgh"
CASES = [
    (domain.NotFound("gone"), 404, "not_found", {}),
    (domain.InvalidRequest("reason", "Say why."), 400, "invalid_request", {"errors": {"reason": ["Say why."]}}),
    (errors.Blocked("busy", 7), 409, "deployment_in_progress", {"blocking_deployment": 7}),
    (errors.WrongState("no", "held"), 409, "wrong_state", {"current_status": "held"}),
    (errors.PreflightFailed([{"check": "a", "reason": "b", "todo": "c"}]), 422, "preflight_failed", {}),
    (errors.ReleaseExists("there"), 409, "release_exists", {}),
    (Forbidden(system_actor("x"), "deploy_environment", "act", "production", "Admin"), 403, "forbidden", {}),
    (IdempotencyConflict("again"), 422, "idempotency_conflict", {}),
    (Http404("no such"), 404, "not_found", {}),
    (Http404({"tried": []}), 404, "not_found", {}),
    (PermissionDenied("no"), 403, "forbidden", {}),
    (ModelInvalid({"name": ["bad"]}), 400, "invalid_request", {"errors": {"name": ["bad"]}}),
    (ModelInvalid("bad"), 400, "invalid_request", {"errors": {"request": ["bad"]}}),
    (
        exceptions.ValidationError({"a": {"b": ["c"]}, "non_field_errors": ["d"]}),
        400,
        "invalid_request",
        {"errors": {"a.b": ["c"], "request": ["d"]}},
    ),
    (exceptions.ParseError(), 400, "invalid_request", {}),
    (exceptions.NotAuthenticated(), 401, "unauthenticated", {}),
    (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed", {}),
    (exceptions.NotAcceptable(), 406, "not_acceptable", {}),
    (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type", {}),
    (OperationalError("gone"), 503, "database_unavailable", {}),
    (InterfaceError("gone"), 503, "database_unavailable", {}),
]


@pytest.mark.parametrize(("error", "status", "code", "extra"), CASES, ids=lambda value: type(value).__name__)
def test_mapping(error, status, code, extra):
    answer = problem(error, {"request": REQUEST})
    assert answer.status_code == status and answer.content_type == PROBLEM_JSON
    body = answer.data
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(body)
    assert (body["status"], body["code"], body["title"]) == (status, code, KINDS[code])
    assert body["type"] == f"/api/docs/#problem-{code}" and body["detail"]
    assert (body["instance"], body["request_id"]) == ("/api/v1/thing/", "abcdefgh")
    assert extra.items() <= body.items()


def test_every_domain_error_has_a_title():
    def tree(kind):
        return [kind, *(found for sub in kind.__subclasses__() for found in tree(sub))]

    codes = {kind.code for kind in tree(domain.DomainError)}
    assert codes <= set(KINDS)


def test_an_unexpected_error_stays_one():
    assert describe(ZeroDivisionError()) is None


def test_a_database_outage_is_a_503(api, operator, monkeypatch):
    client = api(operator)

    def broken(*args, **kwargs):
        raise OperationalError("connection refused")

    with connection.execute_wrapper(broken):
        answer = client.get("/api/v1/environments/")
    assert answer.status_code == 503 and answer["Retry-After"] and answer.json()["code"] == "database_unavailable"


def test_unknown_addresses(client, admin):
    answer = client.get("/api/v1/nonsense/")
    assert answer.status_code == 404 and answer["Content-Type"] == PROBLEM_JSON
    assert answer.json()["instance"] == "/api/v1/nonsense/"
    client.force_login(admin)
    page = client.get("/nonsense/")
    assert page.status_code == 404 and b"<h1>Not found</h1>" in page.content


def test_a_500_shows_the_request_id_and_nothing_else(admin, monkeypatch):
    def broken(request):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("environments.pages.environments", lambda user: 1 / 0)
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    answer = client.get("/api/v1/environments/", headers={"X-Request-ID": "my-request-1"})
    assert answer.status_code == 500 and answer.json()["request_id"] == "my-request-1"
    assert "division" not in answer.content.decode()
    page = client.get("/environments/", headers={"X-Request-ID": "my-request-1"})
    assert page.status_code == 500 and b"my-request-1" in page.content


def test_a_500_is_drawn_without_the_database(rf, admin):
    request = rf.get("/deployments/")
    request.request_id, request.user, request.session = "abcdefgh", admin, {}

    def broken(*args, **kwargs):
        raise OperationalError("connection refused")

    with connection.execute_wrapper(broken):
        try:
            raise OperationalError("connection refused")
        except OperationalError:
            answer = errors_views.server_error(request)
    assert answer.status_code == 503 and b"abcdefgh" in answer.content and answer["Retry-After"]
