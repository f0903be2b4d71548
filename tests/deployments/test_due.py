"""What is due is found, rung for, and taken by the monitor itself when nobody comes."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
import redis
from django.conf import settings

from deployments import due, tasks
from deployments.clock import db_now
from deployments.due import DueWork, due_deployments
from deployments.lease import claim
from deployments.states import ACTIVE, Status
from tests.deployments.toys import fresh, set_state, statuses
from tests.deployments.world import until


@pytest.fixture
def queues():
    """The queues as they are in Valkey; empty at the beginning."""
    broker = redis.Redis.from_url(settings.CELERY_BROKER_URL)
    broker.delete("default", "critical")

    def read(name: str) -> list[tuple[str, list]]:
        messages = [json.loads(text) for text in broker.lrange(name, 0, -1)]
        bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
        return [(message["headers"]["task"], body[0]) for message, body in zip(messages, bodies, strict=True)]

    yield read
    broker.delete("default", "critical")


def test_due_is_what_is_at_work_free_and_whose_time_has_come(begin):
    deployment = begin()
    assert due_deployments() == [(deployment.pk, "default")]
    for field in ("due_at", "lease_expires_at"):
        kept = getattr(fresh(deployment), field)
        set_state(deployment, **{field: db_now() + timedelta(seconds=9)})
        assert due_deployments() == []
        set_state(deployment, **{field: kept})
    set_state(deployment, lease_expires_at=db_now() - timedelta(milliseconds=1))  # its holder died
    assert due_deployments() == [(deployment.pk, "default")]
    set_state(deployment, due_at=None)
    assert due_deployments() == []


def test_due_is_exactly_what_can_be_claimed(begin):
    deployment = begin()
    for status in Status:
        set_state(deployment, status=status, lease_expires_at=None)
        found, claimed = bool(due_deployments()), claim(deployment.pk) is not None
        assert found == claimed == (status in ACTIVE - {Status.HELD}), status
    set_state(deployment)


def test_the_queue_is_that_of_the_next_step(begin):
    deployment = begin()
    for step in deployment.steps.all():
        assert due_deployments() == [(deployment.pk, step.queue)]
        step.status = "succeeded"
        step.save()
    assert due_deployments() == [(deployment.pk, "default")]  # nothing is left but to complete it
    deployment.steps.filter(name="hand_over").update(status="running")
    assert due_deployments() == [(deployment.pk, "critical")]


@pytest.mark.django_db(transaction=True)
def test_a_start_rings_after_its_commit_and_the_monitor_again_when_nobody_came(begin, queues):
    deployment = begin()
    rung = ("deployments.tasks.advance", [deployment.pk, "default"])
    until(lambda: queues("default") == [rung], "the worker is rung")
    work = DueWork()
    assert work.look() == 1
    until(lambda: queues("default") == [rung] * 2, "the worker is rung again")
    work.look()
    tasks.ring_due()
    until(lambda: len(queues("default")) == 3, "beat rings too, the monitor rang once")


@pytest.mark.django_db(transaction=True)
def test_nothing_is_rung_for_what_was_rolled_back(serve, release, ada, production, queues):
    from django.db import transaction

    from deployments import actions

    serve()

    class Undo(Exception):
        pass

    with pytest.raises(Undo), transaction.atomic():
        actions.start(ada, production, release("v1.2.5"), "blue_green", "Because")
        raise Undo
    tasks.ring_due()
    assert queues("default") == []


@pytest.mark.django_db(transaction=True)
def test_the_monitor_takes_what_nobody_takes(begin, monkeypatch):
    monkeypatch.setattr(due, "PATIENCE_SECONDS", 0.05)
    deployment, work = begin(), DueWork()
    until(lambda: work.look() == 0 and fresh(deployment).is_finished, "the monitor carries it out")
    assert {status for _, status in statuses(deployment)} == {"succeeded"}


@pytest.mark.django_db(transaction=True)
def test_who_was_rung_has_time_to_come(begin):
    deployment, work = begin(), DueWork()
    work.look()
    work.look()
    assert fresh(deployment).lease_epoch == 0 and due.PATIENCE_SECONDS >= 0.5


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_rung_carries_out_its_queue(begin):
    deployment = begin()
    tasks.advance(deployment.pk, "critical")  # a message that came too early moves nothing
    assert {status for _, status in statuses(deployment)} == {"pending"}
    tasks.advance(deployment.pk, "default")
    assert dict(statuses(deployment))["await_promotion"] == "succeeded"
