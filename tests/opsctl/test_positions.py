"""Positions, orders, closing, cancelling and reconciling from a shell; a real exchange and trading system behind it."""

from __future__ import annotations

import pytest

from tests.trading import position_world

pytestmark = pytest.mark.django_db(transaction=True)
running, world = position_world.running, position_world.world


@pytest.fixture
def place(world, production):
    world.lead(production)
    return production


def test_looking(world, place, shell_of, operator):
    shell = shell_of(operator)
    assert "No open position in production." in shell.run("positions").stdout
    world.inject("BTC", "0.02")
    oid = world.rest("ETH", "0.5")
    seen = shell.run("positions", "production")
    assert seen.returncode == 0 and "unknown to the system" in seen.stdout, seen.stderr
    assert shell.json("positions")["positions"][0]["exchange"]["size"] == "0.02"
    assert oid in shell.run("orders").stdout and shell.json("orders")["orders"][0]["id"] == oid
    world.faults(dead=["clearinghouseState"])
    dark = shell.run("positions")
    assert dark.returncode == 1 and "Nothing is known of what is open" in dark.stdout


def test_close_through_the_system_and_directly(world, place, shell_of, operator):
    shell = shell_of(operator)
    world.inject("ETH", "-0.4")
    refused = shell.run("close", "ETH", "--env", "production")
    assert refused.returncode == 5 and "with --direct" in refused.stderr, refused.stderr
    done = shell.run("close", "ETH", "--env", "production", "--direct", "--reason", "Risk")
    assert done.returncode == 0 and "nothing is left at the exchange" in done.stdout, done.stderr
    assert world.positions() == {}
    world.inject("BTC", "0.5")
    world.faults(depth={"BTC": 0.2})
    left = shell.json("close", "BTC", "--env", "production", "--direct", code=1)
    assert not left["done"] and left["remaining"] == world.positions()["BTC"]
    named = shell.run("close", "BTC")
    assert named.returncode == 2 and "production and staging" in named.stderr and "--env" in named.stderr


def test_a_system_that_does_not_answer_is_asked_once(world, place, shell_of, operator):
    from audit.models import Record

    world.inject("ETH", "-0.4")
    world.lead(place, with_system=False)
    done = shell_of(operator).run("close", "ETH", "--env", "production")
    assert done.returncode == 6 and "still -0.4" in done.stderr and "--direct" in done.stderr
    assert Record.objects.filter(action="position.closed", outcome="intent").count() == 1


def test_cancel(world, place, shell_of, operator, developer):
    shell = shell_of(operator)
    one, two, three = world.rest("BTC"), world.rest("BTC"), world.rest("ETH", "0.5")
    assert shell_of(developer).run("cancel", "--env", "production", "--order", one).returncode == 4
    assert shell.run("cancel", "--env", "production", "--order", one).returncode == 0
    assert sorted(world.orders()) == sorted([two, three])
    assert shell.run("cancel", "--env", "production", "--symbol", "BTC", "--direct").returncode == 0
    assert world.orders() == [three]
    unasked = shell.run("cancel", "--env", "production")
    assert unasked.returncode == 2 and "--yes" in unasked.stderr and world.orders() == [three]
    both = shell.run("cancel", "--env", "production", "--order", three, "--symbol", "ETH")
    assert both.returncode == 2 and world.orders() == [three]
    assert shell.run("cancel", "--env", "production", "--yes").returncode == 0 and world.orders() == []


def test_reconcile(world, place, shell_of, admin, operator):
    shell = shell_of(admin)
    assert "System and exchange agree in production" in shell.run("reconcile").stdout
    world.inject("BTC", "0.02")
    world.inject("ETH", "-0.4")
    found = shell.run("reconcile", "production")
    assert found.returncode == 1 and "2 differ in production" in found.stdout and "--adopt" in found.stdout
    adopt = ("reconcile", "production", "--adopt", "BTC")
    assert shell.run(*adopt).returncode == 2, "a reason is needed"
    assert shell_of(operator).run(*adopt, "--reason", "Fill").returncode == 4
    one = shell.run(*adopt, "--reason", "Missed fill")
    assert one.returncode == 0 and "Taken over and read back: BTC." in one.stdout and "ETH" in one.stdout, one.stderr
    done = shell.json("reconcile", "production", "--adopt-all", "--reason", "Missed fill")
    assert done["latest"]["verdict"] == "pass" and world.kept() == world.positions()
    world.lead(place, with_system=False)
    assert "Not compared" in shell.run("reconcile").stdout
