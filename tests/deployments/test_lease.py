"""The lease: one holder, by the database's clock, and every write a compare-and-swap on the epoch."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from deployments import lease as leases
from deployments.clock import db_now
from deployments.lease import LeaseLost, claim
from deployments.models import Deployment
from deployments.states import ACTIVE, Status
from tests.deployments.toys import set_state
from tests.deployments.world import until


def set_row(deployment, **fields):
    Deployment.objects.filter(pk=deployment.pk).update(**fields)


def row(deployment):
    return Deployment.objects.values("lease_epoch", "lease_expires_at", "lease_holder", "status").get(pk=deployment.pk)


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_exactly_one_gets_the_lease(begin):
    deployment, barrier, found = begin(), threading.Barrier(8), []

    def try_it():
        barrier.wait()
        try:
            found.append(claim(deployment.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    held = [one for one in found if one is not None]
    assert len(found) == 8 and len(held) == 1
    assert row(deployment)["lease_epoch"] == held[0].epoch


def test_a_held_lease_is_not_given_again_until_it_ran_out(begin):
    deployment = begin()
    first = claim(deployment.pk)
    assert claim(deployment.pk) is None
    set_row(deployment, lease_expires_at=db_now() - timedelta(milliseconds=1))
    second = claim(deployment.pk)
    assert second.epoch > first.epoch


def test_expiry_is_by_the_clock_of_the_database_alone(begin, monkeypatch):
    deployment = begin()
    assert claim(deployment.pk)
    left = row(deployment)["lease_expires_at"] - db_now()
    assert timedelta(seconds=2) < left <= timedelta(seconds=leases.LEASE_SECONDS)
    ahead = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr("time.time", ahead.timestamp)
    monkeypatch.setattr("django.utils.timezone.now", lambda: ahead)
    assert claim(deployment.pk) is None


def test_only_what_is_at_work_can_be_taken(begin):
    deployment = begin()
    for status in Status:
        set_state(deployment, status=status, lease_expires_at=None)
        assert (claim(deployment.pk) is not None) == (status in ACTIVE - {Status.HELD}), status
    set_state(deployment)


def test_what_is_not_due_is_not_taken(begin):
    deployment = begin()
    for due in (None, db_now() + timedelta(seconds=60)):
        set_row(deployment, due_at=due)
        assert claim(deployment.pk) is None


def test_after_a_newer_epoch_nothing_can_be_written(begin):
    deployment = begin()
    old = claim(deployment.pk)
    set_row(deployment, lease_expires_at=db_now() - timedelta(seconds=1))
    new = claim(deployment.pk)
    with pytest.raises(LeaseLost, match=f"epoch {old.epoch} is no longer the newest"), transaction.atomic():
        old.lock()
    before = row(deployment)
    old.release()
    assert row(deployment) == before
    with transaction.atomic():
        assert new.lock().pk == deployment.pk
    new.release()
    assert (row(deployment)["lease_expires_at"], row(deployment)["lease_holder"]) == (None, "")


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_extends_only_its_own_lease(begin, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    deployment = begin()
    lease = claim(deployment.pk)
    with lease.kept_alive():
        soon = db_now() + timedelta(seconds=1)
        set_row(deployment, lease_expires_at=soon)
        until(lambda: row(deployment)["lease_expires_at"] > soon, "the lease is extended")
        set_row(deployment, lease_epoch=lease.epoch + 1, lease_expires_at=soon)
        beats = [thread for thread in threading.enumerate() if thread.name == f"lease-{deployment.pk}"]
        until(lambda: not any(thread.is_alive() for thread in beats), "the heartbeat ends")
        assert row(deployment)["lease_expires_at"] == soon


@pytest.mark.django_db(transaction=True)
def test_what_is_read_under_the_lock_is_not_older_than_the_lock(begin, monkeypatch):
    """A row joined to a locked one may be as old as the wait for the lock (PostgreSQL manual, 13.2.1)."""
    deployment = begin()
    lease, found = claim(deployment.pk), []

    def read():
        try:
            with transaction.atomic():
                found.append(lease.lock().to_slot.version)
        finally:
            connection.close()

    with transaction.atomic():
        locked = Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
        thread = threading.Thread(target=read)
        thread.start()
        until(lambda: waiting_for_a_lock() == 1, "the other one waits")
        locked.to_slot.version = "v9.9.9"
        locked.to_slot.save()
    thread.join(10)
    assert found == ["v9.9.9"]


def waiting_for_a_lock() -> int:
    """Sessions of this database that wait for a row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]
