"""The API as its schema describes it, with made-up input, as every caller: no 5xx, and no act beyond the role.

Input comes from schemathesis (https://schemathesis.io), which makes it from the schema: what fits it and what does not.
Half of the requests are led to things that exist, so that more than the look-up is tried.
"""

from __future__ import annotations

import pytest
import requests
import schemathesis
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit.models import Outcome, Record

EXAMPLES = {"anonymous": 2, "nobody": 2, "operator": 4, "developer": 4, "admin": 6}
"""Requests of each operation, by caller: most for those who are let in."""

OWN = ("account.", "api_key.", "access.", "audit.exported", "checklist.exported", "live.")
"""Acts on what is one's own: keys, sessions, what one may read."""
PERMITTED = {
    "nobody": {},
    "operator": {"staging": ("checklist.",), "production": ("checklist.",)},
    "developer": {
        "staging": ("deployment.", "release.registered", "checklist."),
        "production": ("deployment.requested", "deployment.request_withdrawn"),
        "": ("release.registered",),
    },
}
"""Acts that a role may have done, by environment; everything is permitted to Admins."""


@pytest.fixture
def schema(client, db):
    return schemathesis.openapi.from_dict(client.get("/api/schema/?format=json").json())


@pytest.fixture
def existing(ready, release, deployment, staging, production):
    """Values of path parameters that lead somewhere."""
    release("v1.2.5"), release("v1.2.6")
    held = deployment("held", environment=staging)
    watching = deployment("watching", environment=production)
    return {
        "id": [str(held.pk), str(watching.pk)],
        "deployment_id": [str(held.pk), str(watching.pk)],
        "name": ["staging", "production"],
        "version": ["v1.2.5", "v1.2.6"],
    }


@pytest.fixture
def headers_of(person, operator, developer, admin, key_of):
    """The Authorization header of a caller."""
    people = {"nobody": person("nemo", None), "operator": operator, "developer": developer, "admin": admin}
    return lambda name: {"Authorization": f"Bearer {key_of(people[name])}"} if name in people else {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("caller", EXAMPLES)
def test_no_made_up_request_breaks_anything_or_goes_beyond_the_role(caller, schema, existing, headers_of):
    headers = headers_of(caller)
    newest = Record.objects.order_by("-id").values_list("id", flat=True).first() or 0
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        asked += 1
        _ask(operation, existing, headers, EXAMPLES[caller])
    assert asked > 10
    done = Record.objects.filter(id__gt=newest, outcome=Outcome.DONE).exclude(via="system")
    beyond = {(record.action, record.environment) for record in done if not _permitted(caller, record)}
    assert beyond == set()


def _ask(operation, existing, headers, examples) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.booleans(), pick=st.integers(0, 9))
    def once(case, real, pick) -> None:
        for name in case.path_parameters or {}:
            if real and (values := existing.get(name)):
                case.path_parameters[name] = values[pick % len(values)]
        sent = requests.Request(**case.as_transport_kwargs("http://testserver", headers)).prepare()
        kind = sent.headers.get("Content-Type", "")
        with transaction.atomic():
            answer = client.generic(sent.method, sent.path_url, sent.body or b"", kind, headers=dict(sent.headers))
        # 502 unreachable is an answer about the outside, which does not run here, and no breakage of the console's own.
        is_outside = answer.status_code == 502 and answer.json()["code"] == "unreachable"
        assert answer.status_code < 500 or is_outside, (
            f"{sent.method} {sent.url} {sent.body!r}: {answer.content[:500]!r}"
        )

    client = Client()
    once()


def _permitted(caller: str, record: Record) -> bool:
    if caller == "admin" or record.action.startswith(OWN):
        return True
    return record.action.startswith(tuple(PERMITTED.get(caller, {}).get(record.environment, ())) or ("\0",))
