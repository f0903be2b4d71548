"""/livez, /readyz and /metrics of the console itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from environments.models import Instance, SampleRow
from opsconsole import health


def broken(*args, **kwargs):
    raise OperationalError("connection refused")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)


def numbers(client, **headers) -> dict[str, float]:
    answer = client.get("/metrics", **headers)
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain")
    lines = [line for line in answer.content.decode().splitlines() if line.startswith("opsconsole_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_live_and_ready(client, db):
    assert client.get("/livez").json() == {"status": "pass"}
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert {name: check["status"] for name, check in answer.json()["checks"].items()} == {
        "database": "pass",
        "migrations": "pass",
        "valkey": "pass",
    }


def test_without_the_database_it_lives_but_is_not_ready(client, db):
    with connection.execute_wrapper(broken):
        assert client.get("/livez").status_code == 200
        answer = client.get("/readyz")
        assert numbers(client) == {"opsconsole_database_up": 0}
    assert answer.status_code == 503 and answer.json()["checks"]["database"]["status"] == "fail"


def test_without_its_migrations_it_is_not_ready(client, db):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'audit'")
    answer = client.get("/readyz")
    assert answer.status_code == 503 and "manage.py migrate" in answer.json()["checks"]["migrations"]["detail"]


def test_valkey_is_told_but_not_needed(client, db, settings):
    settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    answer = client.get("/readyz")
    assert answer.status_code == 200 and answer.json()["checks"]["valkey"]["status"] == "warn"


def test_own_gauges(client, deployment, staging):
    now = timezone.now()
    deployment("running", due_at=now - timedelta(seconds=30), lease_expires_at=now - timedelta(seconds=1))
    deployment(
        "running", environment=staging, due_at=now - timedelta(hours=1), lease_expires_at=now + timedelta(hours=1)
    )
    instances = Instance.objects.order_by("name")
    SampleRow.objects.create(instance=instances[0], at=now - timedelta(seconds=90), ok=True, data={})
    SampleRow.objects.create(instance=instances[1], at=now - timedelta(seconds=7), ok=True, data={})
    found = numbers(client)
    assert found['opsconsole_deployments_active{environment="production"}'] == 1
    assert found['opsconsole_deployments_active{environment="staging"}'] == 1
    assert found["opsconsole_due_work_lag_seconds"] == pytest.approx(30, abs=5)  # the other one is being worked on
    assert found["opsconsole_newest_sample_age_seconds"] == pytest.approx(7, abs=5)


def test_metrics_from_elsewhere_need_a_key(client, operator, key_of):
    for elsewhere in ({"REMOTE_ADDR": "10.0.0.9"}, {"HTTP_X_FORWARDED_FOR": "10.0.0.9"}):
        answer = client.get("/metrics", **elsewhere)
        assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")
        wrong = client.get("/metrics", HTTP_AUTHORIZATION="Bearer nonsense", **elsewhere)
        assert wrong.status_code == 401
        assert (
            numbers(client, HTTP_AUTHORIZATION=f"Bearer {key_of(operator)}", **elsewhere)["opsconsole_database_up"] == 1
        )
