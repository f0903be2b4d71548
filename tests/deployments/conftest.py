"""What the tests of the engine share: a real outside, scripted steps, and a watch over every change of status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.deployments.toys import Feed, Script, set_state
from tests.deployments.world import ROOT, World, running_world

WATCH = """
CREATE TABLE IF NOT EXISTS test_status_changes (
    id bigserial, deployment bigint, before text, after text, epoch_before bigint, epoch_after bigint
);
CREATE OR REPLACE FUNCTION test_note_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO test_status_changes (deployment, before, after, epoch_before, epoch_after)
    VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status,
            CASE WHEN TG_OP = 'UPDATE' THEN OLD.lease_epoch ELSE 0 END, NEW.lease_epoch);
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER test_note_status AFTER INSERT OR UPDATE ON deployments_deployment
    FOR EACH ROW EXECUTE FUNCTION test_note_status();
"""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The database notes every status that a deployment ever has, whoever writes it."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(WATCH)


@pytest.fixture
def changes(db) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Every (before, after) of this test; at its end each must be allowed, and no epoch may have gone back."""
    from deployments.states import may_follow

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM test_status_changes")

    def read() -> list[tuple[str, str]]:
        return [(before, after) for before, after, *_ in _rows() if before and before != after]

    yield read
    for before, after, epoch_before, epoch_after in _rows():
        assert before is None or before == after or may_follow(before, after), f"{before} to {after}"
        assert epoch_after >= epoch_before, f"the epoch went back from {epoch_before} to {epoch_after}"


def _rows() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT before, after, epoch_before, epoch_after FROM test_status_changes ORDER BY id")
        return cursor.fetchall()


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One outside for all these tests; epochs only grow, so what one test left does not hinder the next."""
    with running_world() as world:
        yield world


@pytest.fixture
def system(db, world, changes):
    """The inventory of demo/system.yaml, led to the running outside."""
    from audit.actors import system as system_actor
    from environments.actions import apply_definition
    from environments.definition import load

    definition = load(ROOT / "demo/system.yaml", {"127.0.0.1"}, world.variables)
    return apply_definition(system_actor("tests"), definition)


@pytest.fixture
def script(monkeypatch) -> Script:
    """Every step ends at once, but the checks and the traffic shift, which are real; a test changes what it needs."""
    return Script(monkeypatch)


@pytest.fixture
def ada(admin, actor_of):
    """The Actor who may do everything."""
    return actor_of(admin)


@pytest.fixture
def serve(production, release) -> Callable:
    """Make a release live on a slot, in the tables and in the load balancer: ``serve("v1.2.4")``."""
    from deployments.actions import next_epoch
    from environments import adapters
    from environments.models import Slot

    def make(version: str = "v1.2.4", slot: str = "blue", environment=production):
        made, epoch = release(version), next_epoch()
        live = environment.slots.get(name=slot)
        Slot.objects.filter(pk=live.pk).update(role="live", version=made.version, digest=made.digest)
        environment.live_slot = environment.writer_slot = environment.slots.get(pk=live.pk)
        environment.desired_weights = {
            other.name: 100 if other.pk == live.pk else 0 for other in environment.slots.all()
        }
        environment.traffic_epoch = environment.writer_epoch = epoch
        environment.save()
        adapters.router(environment).shift(adapters.server_weights(environment, environment.desired_weights), epoch)
        return made

    return make


@pytest.fixture
def begin(production, release, serve, script, ada) -> Callable:
    """Start a deployment of v1.2.5 over a live v1.2.4: ``begin()``; ``begin(first=True)`` with nothing live."""
    from deployments import actions

    def make(version: str = "v1.2.5", first: bool = False):
        if not first and production.live_slot_id is None:
            serve()
        return actions.start(ada, production, release(version), "blue_green", "Fix of the slippage")

    return make


@pytest.fixture
def watched(begin):
    """A deployment whose new slot is live since ten seconds."""
    deployment, moment = begin(), timezone.now() - timedelta(seconds=10)
    environment = deployment.environment
    environment.live_slot = environment.writer_slot = deployment.to_slot
    environment.save()
    new = deployment.to_slot
    new.version, new.role = "v1.2.5", "live"
    new.save()
    return set_state(deployment, status="watching", started_at=moment, handover_at=moment, promoted_at=moment)


@pytest.fixture
def feed(watched) -> Feed:
    return Feed(watched)
