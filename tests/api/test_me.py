"""Who am I: the person, the key, and what each permits, in few queries."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.limits import Limits
from accounts.roles import Role, granted
from environments.models import Environment, EnvironmentGroupObjectPermission
from environments.permissions import permissions_of
from tests.accounts.factors import enter, give_second_factor

ME = "/api/v1/me/"


@pytest.fixture
def fifty(system):
    """Fifty environments more, each with the permissions of staging."""
    made = [
        Environment(service=system, name=f"place-{number}", kind="staging", position=10 + number, router={}, driver={})
        for number in range(50)
    ]
    Environment.objects.bulk_create(made)
    granted_there = list(EnvironmentGroupObjectPermission.objects.filter(content_object__name="staging"))
    EnvironmentGroupObjectPermission.objects.bulk_create(
        EnvironmentGroupObjectPermission(content_object=place, group_id=one.group_id, permission_id=one.permission_id)
        for place in made
        for one in granted_there
    )
    return list(Environment.objects.all())


def test_permissions_of_fifty_environments_in_one_query(fifty, developer, django_assert_num_queries):
    with django_assert_num_queries(1):
        found = permissions_of(developer, fifty)
    assert len(found) == 52
    assert found["production"] == granted(Role.DEVELOPER, production=True)
    assert found["place-7"] == found["staging"] == granted(Role.DEVELOPER, production=False)


def test_permissions_of_everybody_else(production, staging, admin, person, django_assert_num_queries):
    both = [production, staging]
    assert permissions_of(admin, both)["production"] == granted(Role.ADMIN, production=True)
    assert permissions_of(person("nemo", None), both) == {"production": frozenset(), "staging": frozenset()}
    admin.limits = Limits(frozenset({"emergency_stop"}), frozenset({"staging"}))
    assert permissions_of(admin, both) == {
        "production": frozenset(),
        "staging": frozenset({"view_environment", "emergency_stop"}),
    }
    admin.is_active = False
    with django_assert_num_queries(0):
        assert set(permissions_of(admin, both).values()) == set(permissions_of(None, both).values()) == {frozenset()}
        assert permissions_of(admin, []) == {}


def test_a_permission_of_a_person_counts_beside_those_of_the_role(production, operator):
    from guardian.shortcuts import assign_perm

    assign_perm("deploy_environment", operator, production)
    assert permissions_of(operator, [production])["production"] == granted(Role.OPERATOR, production=True) | {
        "deploy_environment"
    }


def test_by_key(key_of, operator, system):
    text = key_of(operator, scopes=["run_checklists"], environments=["staging"])
    told = Client(headers={"Authorization": f"Bearer {text}"}).get(ME).json()
    assert (told["username"], told["name"], told["role"], told["via"]) == ("otto", "Otto Operator", "Operator", "key")
    assert told["key"]["prefix"] == text.split("_")[1] and told["key"]["environments"] == ["staging"]
    assert told["key"]["scopes"] == ["view_environment", "run_checklists"]
    assert told["environments"] == [
        {"name": "staging", "kind": "staging", "permissions": ["run_checklists", "view_environment"]}
    ]
    assert told["second_factor"] is False


def test_by_session(developer, person, system):
    give_second_factor(developer)
    told = enter(developer).get(ME).json()
    assert (told["via"], told["key"], told["second_factor"]) == ("session", None, True)
    assert [place["name"] for place in told["environments"]] == ["production", "staging"]
    assert told["environments"][0]["permissions"] == ["report_tests", "request_deployment", "view_environment"]
    assert enter(person("nemo", None)).get(ME).json()["environments"] == []
    assert Client().get(ME).status_code == 401


@pytest.mark.parametrize("who", ["admin", "operator"])
def test_at_most_six_queries_whatever_the_number_of_environments(who, request, key_of, fifty):
    user = request.getfixturevalue(who)
    by_key = Client(headers={"Authorization": f"Bearer {key_of(user)}"})
    for client in (by_key, enter(user)):
        client.get(ME)
        with CaptureQueriesContext(connection) as found:
            assert len(client.get(ME).json()["environments"]) == 52
        assert len(found) <= 6, [query["sql"][:120] for query in found]
