"""A press is recorded at once by the process that took it, and only once with the monitor at it too."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from django.db import connections

from audit.models import Record
from environments.models import Environment
from tests.exchange.processes import until
from tests.trading.stop_world import ended, exchange_world, stop_world
from trading import stop_files, stop_records, stops
from trading.models import EmergencyStop

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["exchange_world", "stop_world"]
RECORD_SOON = stops._record_soon


def test_with_the_request_it_came_by(stop_world, production, operator, actor_of, monkeypatch):
    monkeypatch.setattr(stops, "_record_soon", RECORD_SOON)
    actor = replace(actor_of(operator), request_id="abcdefgh", address="192.0.2.7")
    pressed = stops.press(actor, production, "Prices", via="page")
    record = until(lambda: Record.objects.filter(action="stop.engaged").first(), "the record", 3)
    assert (record.actor, record.request_id, record.address) == (operator, "abcdefgh", "192.0.2.7")
    until(lambda: Environment.objects.get(pk=production.pk).latched_at, "the latch in the database", 3)
    assert EmergencyStop.objects.get(pk=pressed.id).reason == "Prices"
    ended(production, pressed.id)


def test_two_processes_at_once_record_once(stop_world, production, operator, actor_of):
    pressed = stops.press(actor_of(operator), production, "", via="page")
    ended(production, pressed.id)
    file, barrier = stop_files.journal_of("production", pressed.id), threading.Barrier(4)

    def keep() -> None:
        try:
            barrier.wait(5)
            stop_records.keep(production, file)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    actions = [*Record.objects.order_by("id").values_list("action", flat=True)]
    assert [action for action in actions if action.startswith("stop.")] == ["stop.engaged", "stop.finished"]
