"""The checks before a start: each blocks for its reason, names what it saw, and says what to do."""

from __future__ import annotations

import pytest

from deployments import gate
from deployments.models import Release
from deployments.preflight import CHECKS, check, live_release
from environments import adapters
from environments.models import Instance, Service


@pytest.fixture
def new(serve, release) -> Release:
    """v1.2.5, while v1.2.4 is live on blue."""
    serve()
    return release("v1.2.5")


def blocked(environment, release) -> dict[str, tuple[str, str]]:
    """Detail and remedy of each check that blocks, by name."""
    return {r.name: (r.detail, r.todo) for r in check(environment, release, "blue_green") if not r.ok}


def test_when_all_is_well_every_check_says_what_it_saw(production, new):
    results = check(production, new, "blue_green")
    safety = ["kill_switch", "trading", "positions"]
    assert [result.name for result in results] == [
        *safety,
        *("service", "not_live", "artifact", "rollback", "router", "driver"),
        *("freeze", "rollback_time", "previous_ready", "migrations_reversible", "tests", "review", "benchmarks"),
        *("staging", "rollback_plan", "change_size", "checklist", "rollback_report"),
    ]
    assert len(results) == len(CHECKS) + len(gate.CHECKS) and all(
        result.ok and result.detail and not result.todo for result in results
    )


def test_the_first_deployment_has_no_rollback_to_be_ready(production, release):
    assert blocked(production, release("v1.2.4")) == {} and live_release(production) is None


def test_a_release_of_another_service(production, new):
    other = Release.objects.create(
        service=Service.objects.create(name="other"), version="v1.2.5", artifact=new.artifact, digest=new.digest
    )
    detail, todo = blocked(production, other)["service"]
    assert "other" in detail and "paper-trader" in todo


def test_the_release_that_serves_already(production, new):
    (detail, todo) = blocked(production, live_release(production))["not_live"]
    assert detail == "v1.2.4 is live on blue." and todo


@pytest.mark.parametrize(("which", "name"), [("v1.2.5", "artifact"), ("v1.2.4", "rollback")])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_an_archive_that_is_not_what_was_registered(production, new, tmp_path, which, name, how):
    """Of the new release, and of the live one, which a rollback needs."""
    archive = tmp_path / f"paper-trader-{which}.tar.gz"
    archive.unlink() if how == "gone" else archive.write_bytes(b"else")
    found = blocked(production, new)
    assert set(found) == {name} and which in found[name][0] and found[name][1]


def test_a_dead_load_balancer(production, new):
    production.router = {"address": "unix:/nowhere.sock", "backend": "production"}
    assert "/nowhere.sock" in blocked(production, new)["router"][0]


def test_a_load_balancer_that_serves_something_else(production, new):
    adapters.router(production).shift({"production-blue-1": 1}, production.traffic_epoch)
    detail, todo = blocked(production, new)["router"]
    assert "It serves production-blue-1 1," in detail and todo.startswith("Wait for the repair")


def test_a_dead_supervisor_and_an_environment_without_instances(production, new):
    production.driver = production.driver | {"socket": "/nowhere.sock"}
    production.save()
    assert "/nowhere.sock" in blocked(production, new)["driver"][0]
    Instance.objects.filter(slot__environment=production).delete()
    assert "no instance" in blocked(production, new)["driver"][0]
