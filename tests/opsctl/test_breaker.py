"""``opsctl breaker`` and ``opsctl trading``, against a console that listens and a real trading system."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from tests.trading import breaker_world
from trading.carrying_out import carry_out_all
from trading.models import BreakerTrip, Clearance

pytestmark = pytest.mark.django_db(transaction=True)
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
YES = [part for key in ("fixed", "legitimate", "healthy") for part in (f"--{key}", "yes: looked at it")]


@pytest.fixture
def alan(scene, person):
    return person("alan", "Admin")


def _carry_out() -> None:
    carry_out_all()
    connection.close()


def test_from_the_trip_to_trading_again(scene, shell_of, operator, admin, alan):
    otto, ada = shell_of(operator), shell_of(admin)
    assert otto.json("breaker", "production")["environments"][0]["breakers"][0]["state"] == "closed"
    done = otto.run("breaker", "trip", "production", "--reason", "Odd fills")
    assert done.returncode == 0 and "production-blue-1 is halted" in done.stdout and scene.role() == "HALTED"
    trip = BreakerTrip.objects.get()
    shown = otto.run("breaker")
    assert shown.returncode == 1 and "Open: trading stopped" in shown.stdout and "Is the issue fixed?" in shown.stdout

    assert otto.run("breaker", "answer", str(trip.pk), *YES).returncode == 4
    assert ada.run("breaker", "reset", str(trip.pk)).returncode == 5
    wrong = ada.run("breaker", "answer", str(trip.pk), "--fixed", "maybe", *YES[2:])
    assert wrong.returncode == 2 and "yes: what it rests on" in wrong.stderr
    answered = ada.run("breaker", "answer", str(trip.pk), *YES)
    assert answered.returncode == 0 and f"/breakers/{trip.pk}/" in answered.stdout
    reset = ada.run("breaker", "reset", str(trip.pk))
    assert reset.returncode == 4 and f"Open {ada.url}/breakers/{trip.pk}/" in reset.stderr

    scene.client().reset_breaker(actor="tests", reason="On the page")
    scene.sample()
    asked = ada.run("trading", "resume", "production", "--reason", "Feed mended")
    request = str(Clearance.objects.get().pk)
    assert asked.returncode == 7 and f"opsctl trading approve {request}" in asked.stdout
    assert "resume trading" in otto.run("trading").stdout
    assert ada.run("trading", "approve", request).returncode == 4, "an own request"
    monitor = threading.Timer(1.0, _carry_out)
    monitor.start()
    approved = shell_of(alan).run("trading", "approve", request, "--yes")
    monitor.join()
    assert "production-blue-1: HALTED, breaker closed" in approved.stderr
    assert approved.returncode == 0 and "read back as ACTIVE" in approved.stdout, approved.stderr
    assert scene.role() == "ACTIVE" and otto.json("trading")["clearances"] == []


def test_reject_withdraw_and_what_stands_against_it(scene, shell_of, admin, alan):
    ada = shell_of(admin)
    refused = ada.run("trading", "resume", "production", "--reason", "Now")
    assert refused.returncode == 5 and "blue trades already" in refused.stderr
    scene.client().trip_breaker(actor="tests", reason="Begins")
    scene.client().reset_breaker(actor="tests", reason="Begins")
    scene.sample()
    first = ada.json("trading", "resume", "production", "--reason", "Now", code=7)["id"]
    assert ada.run("trading", "withdraw", str(first)).returncode == 0
    second = ada.json("trading", "resume", "production", "--reason", "Now", code=7)["id"]
    done = shell_of(alan).run("trading", "reject", str(second), "--reason", "The feed is late")
    assert done.returncode == 0 and "Rejected" in done.stdout
    late = shell_of(alan).run("trading", "approve", str(second), "--yes")
    assert late.returncode == 5 and "is rejected" in late.stderr
    assert ada.run("trading", "release", "production").returncode == 5
