"""The OpenAPI schema, its reference page, the permission map, and the number of queries."""

from __future__ import annotations

import re
import time

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from accounts.permissions import ActionPermission
from audit.actions import record
from audit.actors import system as system_actor
from opsconsole.api import KINDS
from opsconsole.checks import api_views, permissions_are_mapped, unmapped


def test_the_schema_is_valid(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


WITHOUT_IDEMPOTENCY = {
    # Their answers hold a secret that is kept nowhere, or a question that is asked anew each time.
    "/api/v1/keys/",
    "/api/v1/keys/{prefix}/rotate/",
    "/api/v1/login/browser/",
    "/api/v1/login/ssh/",
    "/api/v1/login/ssh/challenge/",
    "/api/v1/step-up/",
    # Doing it twice is the same as doing it once.
    "/api/v1/keys/{prefix}/revoke/",
    "/api/v1/logout/",
    # A second press joins the first.
    "/admin/emergency-stop",
    "/api/v1/environments/{name}/emergency-stop/",
    "/api/v1/emergency-stops/{id}/reason/",
    # They bring about a state and read it back; a repeat finds nothing left to do.
    "/api/v1/environments/{name}/positions/{symbol}/close/",
    "/api/v1/environments/{name}/orders/cancel/",
    "/api/v1/environments/{name}/reconciliation/",
    "/api/v1/environments/{name}/circuit-breaker/trip/",
    "/api/v1/breakers/{id}/reset/",
    "/api/v1/clearances/{id}/approve/",
    # They act outside of transactions; the run's revision, or the notes that were read, stop a repeat.
    "/api/v1/runbook-runs/{id}/diagnose/",
    "/api/v1/runbook-runs/{id}/note/",
    "/api/v1/runbook-runs/{id}/remedy/",
}


def test_the_schema_describes_keys_errors_and_idempotency(client, db):
    schema = client.get("/api/schema/?format=json").json()
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    start = schema["paths"]["/api/v1/deployments/"]["post"]
    assert {"201", "400", "401", "403", "409", "422"} == set(start["responses"])
    assert "application/problem+json" in start["responses"]["409"]["content"]
    posts = {path: methods["post"] for path, methods in schema["paths"].items() if "post" in methods}
    takes_none = {path for path, post in posts.items() if "Idempotency-Key" not in str(post.get("parameters"))}
    assert takes_none == WITHOUT_IDEMPOTENCY and len(posts) > len(takes_none)


def test_the_reference_page_shows_every_operation(client, admin):
    schema = client.get("/api/schema/?format=json").json()
    page = client.get("/api/docs/").content.decode()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert f"<strong>{method.upper()}</strong> {path}" in page and escape(operation["summary"]) in page
    assert all(f'id="problem-{code}"' in page for code in KINDS)
    assert "http://testserver/api/v1/deployments/42/rollback/" in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert "<script>" not in page and " style=" not in page


def test_every_action_has_a_permission():
    assert permissions_are_mapped(None) == []
    assert len(list(api_views())) >= 11


def test_an_unmapped_action_is_an_error_and_denied(rf, admin):
    class View:
        permission_map = {"list": "view_environment"}
        action = "destroy"

    found = unmapped(iter([("things/", View, {"get": "list", "delete": "destroy"})]))
    assert [error.id for error in found] == ["opsconsole.E001"] and "View.destroy (DELETE things/)" in found[0].msg
    request = rf.delete("/things/")
    request.user, request.session = admin, {"methods": ["passkey"], "opened_at": time.time()}
    assert not ActionPermission().has_permission(request, View())
    View.action = "list"
    assert ActionPermission().has_permission(request, View())
    admin.is_active = False
    assert not ActionPermission().has_permission(request, View())


QUERIES = {
    # the key with its owner, the owner's groups; then the view's own
    "/api/v1/environments/": 7,
    "/api/v1/releases/": 4,
    "/api/v1/deployments/": 4,
    "/api/v1/audit/": 5,
}


@pytest.mark.parametrize("url", QUERIES)
def test_lists_take_the_same_number_of_queries_for_any_length(url, api, operator, deployment, staging):
    record(system_actor("guard"), "traffic.shift", deployment("aborted"), environment="staging")
    client = api(operator)
    client.get(url)
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert client.get(url).status_code == 200
    for _ in range(5):
        made = deployment("aborted")
        made.verdicts.create(
            rule="A", kind="latency", verdict="pass", action="rollback", since=timezone.now(), at=timezone.now()
        )
        record(system_actor("guard"), "traffic.shift", made, environment="staging")
    deployment("running", environment=staging)
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(few) == len(many) == QUERIES[url], [query["sql"][:150] for query in many]


def test_one_deployment_takes_few_queries(api, operator, deployment, django_assert_num_queries):
    made = deployment("watching")
    client = api(operator)
    client.get("/api/v1/audit/")
    with django_assert_num_queries(5):
        client.get(f"/api/v1/deployments/{made.pk}/")
