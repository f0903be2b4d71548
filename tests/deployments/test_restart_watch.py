"""A watch begun anew forgets the processes before, and only that."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actors import system
from audit.models import Record
from deployments import actions
from deployments.errors import WrongState
from deployments.models import Deployment
from deployments.states import Status
from environments.models import SampleRow


@pytest.fixture
def watching(production, release) -> Deployment:
    """A deployment in its watch, a minute old, with one sample of the process before."""
    blue, green = production.slots.order_by("name")
    production.live_slot = green
    production.save()
    SampleRow.objects.create(instance=green.instances.get(), at=timezone.now(), ok=True, data={})
    return Deployment.objects.create(
        environment=production,
        from_release=release("v1.2.4"),
        to_release=release("v1.2.5"),
        from_slot=blue,
        to_slot=green,
        strategy="blue_green",
        status=Status.WATCHING,
        reason="test",
        requested_by_name="test",
        policy_data=production.policy_data,
        promoted_at=timezone.now() - timedelta(minutes=1),
    )


def test_the_window_begins_now_and_old_samples_are_forgotten(watching):
    before = watching.promoted_at
    after = actions.restart_watch(system("tests"), watching, "hosts restarted")
    assert after.promoted_at > before + timedelta(seconds=59)
    assert not SampleRow.objects.exists()
    assert Record.objects.filter(action="deployment.watch_restarted", reason="hosts restarted").count() == 1


def test_what_is_finished_is_not_watched_anew(watching):
    watching.status = Status.SUCCEEDED
    watching.save()
    with pytest.raises(WrongState):
        actions.restart_watch(system("tests"), watching, "hosts restarted")
    assert SampleRow.objects.count() == 1
