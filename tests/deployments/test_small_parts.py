"""The database's clock, the doorbell and the crash points."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection, transaction

from accounts import doorbell
from deployments import actions, events, failpoints
from deployments.clock import db_now
from tests.deployments.toys import fresh
from tests.deployments.world import ROOT


def test_the_clock_is_that_of_the_database_and_moves_within_a_transaction(db, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("django.utils.timezone.now", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    first, second = db_now(), db_now()
    assert first < second and first.tzinfo is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        assert abs((cursor.fetchone()[0] - first).total_seconds()) < 5


def test_epochs_only_grow_even_when_a_transaction_is_taken_back(db):
    first = actions.next_epoch()
    with transaction.atomic():
        second = actions.next_epoch()
        transaction.set_rollback(True)
    assert first < second < actions.next_epoch()


def test_open_pages_are_told_after_the_commit_and_not_before(begin, monkeypatch, django_capture_on_commit_callbacks):
    rung: list[str] = []
    deployment = begin()
    monkeypatch.setattr(doorbell, "ring", rung.extend)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        events.publish(deployment)
        assert rung == []
    assert len(callbacks) == 1
    assert rung == [f"deployment.{deployment.pk}", f"environment.{deployment.environment_id}", "overview"]


@pytest.mark.django_db(transaction=True)
def test_a_dead_broker_holds_nobody_up_and_loses_nothing(begin, monkeypatch):
    from opsconsole.celery import app

    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app, "amqp", type(app.amqp)(app))
    deployment, began = begin(), time.monotonic()
    for _ in range(20):
        events.ring_worker(deployment.pk, "default")
    assert time.monotonic() - began < 5 and fresh(deployment).due_at is not None


@dataclass
class Config:
    """The setting of the crash points."""

    failpoints: Path | None


SCRIPT = """
import sys
from types import SimpleNamespace
from django.conf import settings
settings.configure(CONFIG=SimpleNamespace(failpoints=__import__("pathlib").Path(sys.argv[1])))
from deployments import failpoints
failpoints.reach("other")
print("passed", flush=True)
failpoints.reach("here")
print("survived", flush=True)
"""


@pytest.mark.parametrize(("text", "ended_by"), [("KILL", signal.SIGKILL), ("", signal.SIGKILL)])
def test_a_crash_point_kills_once(tmp_path, text, ended_by):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    for expected in (-ended_by, 0):
        if expected:
            (tmp_path / "here").write_text(text)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, env=dict(os.environ))
        assert done.returncode == expected and done.stdout.startswith("passed"), done.stderr
    assert not (tmp_path / "here").exists()


def test_without_the_setting_a_crash_point_is_nothing(settings, tmp_path):
    (tmp_path / "here").write_text("KILL")
    settings.CONFIG = Config(None)
    failpoints.reach("here")
    assert (tmp_path / "here").exists()
