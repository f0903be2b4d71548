"""Environments over the API: the truth about slots, health and numbers, with its age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from environments.models import Instance, SampleRow, Slot

URL = "/api/v1/environments/"


def sample(instance_name, *, age=0.2, ok=True, status="pass", **data):
    component = {"name": "database:responseTime", "status": status, "detail": "2 ms"}
    kept = {
        "ok": ok,
        "version": "v1.2.4",
        "components": [component] if ok else [],
        "role": "ACTIVE",
        "epoch": 7,
        **data,
    }
    at = timezone.now() - timedelta(seconds=age)
    return SampleRow.objects.create(instance=Instance.objects.get(name=instance_name), at=at, ok=ok, data=kept)


@pytest.fixture
def serving(production):
    """Blue serves v1.2.4."""
    blue = production.slots.get(name="blue")
    Slot.objects.filter(pk=blue.pk).update(role="live", version="v1.2.4", digest="sha256:1")
    production.live_slot = production.writer_slot = blue
    production.desired_weights, production.traffic_epoch = {"blue": 100, "green": 0}, 7
    production.save()
    return production


def test_slots_health_and_weight(api, operator, serving):
    sample("production-blue-1")
    body = api(operator).get(f"{URL}production/").json()
    assert (body["live_slot"], body["writer_slot"], body["traffic_epoch"]) == ("blue", "blue", 7)
    blue, green = body["slots"]
    assert (blue["role"], blue["release"], blue["version"], blue["digest"]) == ("live", "v1.2.4", "v1.2.4", "sha256:1")
    assert (blue["weight"], green["weight"], blue["health"], green["health"]) == (100, 0, "pass", "stopped")
    health = blue["instances"][0]["health"]
    assert (health["status"], health["ok"], health["no_data"], health["role"]) == ("pass", True, False, "ACTIVE")
    assert 0 <= health["age_seconds"] < 5 and health["version"] == "v1.2.4"
    assert health["components"][0]["name"] == "database:responseTime"


@pytest.mark.parametrize(
    ("made", "status", "no_data"),
    [
        ({"age": 6}, "no_data", True),
        ({"ok": False, "error": "timeout"}, "fail", False),
        ({"status": "warn"}, "warn", False),
    ],
)
def test_bad_and_old_readings(api, operator, serving, made, status, no_data):
    sample("production-blue-1", **made)
    health = api(operator).get(f"{URL}production/").json()["slots"][0]["instances"][0]["health"]
    assert (health["status"], health["no_data"]) == (status, no_data)
    assert health["ok"] == (status == "warn")


def test_metrics_of_the_live_slot(api, operator, serving):
    counters = {"started_at": 1.0, "trades_win": 0, "trades_loss": 0}
    sample(
        "production-blue-1",
        age=10,
        requests_ok=1000,
        requests_error=0,
        latency_buckets=[[0.01, 0], ["+Inf", 0]],
        **counters,
    )
    counters |= {"trades_win": 3, "trades_loss": 1, "mismatches": 0, "open_positions": 2}
    sample(
        "production-blue-1",
        age=0,
        requests_ok=2980,
        requests_error=20,
        latency_buckets=[[0.01, 2000], ["+Inf", 2000]],
        **counters,
    )
    metrics = api(operator).get(f"{URL}production/").json()["metrics"]
    assert metrics["error_rate"] == pytest.approx(0.01) and metrics["request_rate"] == pytest.approx(200, rel=0.05)
    assert metrics["latency_p99_ms"] == pytest.approx(9.9) and metrics["win_rate"] == 0.75
    assert (metrics["trades"], metrics["mismatches"], metrics["open_positions"]) == (4, 0, 2)


def test_the_deployment_under_way(api, operator, deployment, production):
    assert api(operator).get(f"{URL}production/").json()["active_deployment"] is None
    made = deployment("held")
    active = api(operator).get(f"{URL}production/").json()["active_deployment"]
    assert active == {"id": made.pk, "status": "held", "from_release": "v1.2.4", "to_release": "v1.2.5"}


def test_list_in_order_and_by_person(api, operator, developer, person, system):
    answer = api(operator).get(URL).json()
    assert [row["name"] for row in answer["results"]] == ["production", "staging"] and answer["count"] == 2
    assert [row["may_deploy"] for row in api(developer).get(URL).json()["results"]] == [False, True]
    assert api(person("nemo", None)).get(URL).json()["results"] == []


def test_an_unknown_environment_is_a_404(api, operator, person, system):
    for name in ("moon", "%00"):
        assert api(operator).get(f"{URL}{name}/").status_code == 404
    assert api(person("nemo", None)).get(f"{URL}production/").status_code == 404
