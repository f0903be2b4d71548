"""Since when a health check of the running process has its status, found in the kept samples."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from environments.models import SampleRow
from environments.readings import since

KEY = "node:blockLag"


@pytest.fixture
def now():
    """This moment, in whole seconds; only the last ten minutes are looked at."""
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def sampled(production, now):
    """Write readings of one instance: (seconds ago, status, start of the process)."""
    instance = production.slots.first().instances.get()

    def write(*readings: tuple[int, str, float]):
        for ago, status, process in readings:
            data = {"components": [{"name": KEY, "status": status, "detail": ""}], "started_at": process}
            SampleRow.objects.create(instance=instance, at=now - timedelta(seconds=ago), ok=True, data=data)
        return {key[2]: moment for key, moment in since([instance.pk]).items()}

    return write


def test_it_dates_from_the_last_reading_with_another_status(sampled, now):
    assert sampled((30, "pass", 1), (20, "fail", 1), (10, "pass", 1))["pass"] == now - timedelta(seconds=20)


def test_it_dates_from_the_first_reading_of_the_process(sampled, now):
    assert sampled((90, "pass", 1), (40, "pass", 2), (10, "pass", 2)) == {"pass": now - timedelta(seconds=40)}


def test_longer_than_ten_minutes_is_left_open(sampled):
    assert sampled(*((ago, "pass", 1) for ago in range(700, 0, -2))) == {}


def test_no_instance_is_no_question():
    assert since([]) == {}
