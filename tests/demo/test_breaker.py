"""Every reason for which the circuit breaker opens by itself, and that a reset lets each count begin anew."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from demo.trading_system import breaker as module
from demo.trading_system.breaker import Breaker
from demo.trading_system.config import Config, load_config
from demo.trading_system.metrics import Metrics
from demo.trading_system.roles import Grant, Role
from demo.trading_system.settings import ROOT, Release
from demo.trading_system.store import AuthorityFile

RELEASE = Release("v1.2.4", "c" * 40, "2026-02-03T09:20:00Z")


def config() -> Config:
    """The default, with limits that are easy to reach."""
    default = load_config(ROOT / "trading_system" / "config.yaml")
    return replace(default, daily_loss_limit=0.03, rapid_loss_limit=0.01, rapid_loss_seconds=60.0)


def run(directory: Path, work: Callable[[Grant, Breaker], Awaitable[None]]) -> None:
    """Does the work with an instance that is ACTIVE."""

    async def begin() -> None:
        grant = Grant(AuthorityFile(directory))
        grant.become(Role.ACTIVE)
        await work(grant, Breaker(grant, Metrics(RELEASE, "production-blue-1", 0.0)))

    asyncio.run(begin())


def why(breaker: Breaker) -> tuple[str, str, str]:
    state = breaker.state()
    return state["reason_code"], state["observed"], state["threshold"]


def test_losses_in_a_row(tmp_path: Path) -> None:
    async def work(grant: Grant, breaker: Breaker) -> None:
        for profit in ("-1", "-1", "2", "-1", "0"):
            await breaker.trade_closed(Decimal(profit), 3)
        assert grant.role is Role.ACTIVE
        await breaker.trade_closed(Decimal("-0.5"), 3)
        assert grant.role is Role.HALTED and why(breaker) == ("consecutive_losses", "3", "3")
        await breaker.reset()
        assert grant.role is Role.HALTED and breaker.state()["state"] == "closed"
        grant.become(Role.ACTIVE)
        await breaker.trade_closed(Decimal("-1"), 3)
        assert grant.role is Role.ACTIVE

    run(tmp_path, work)


def test_the_loss_of_the_day(tmp_path: Path) -> None:
    async def work(grant: Grant, breaker: Breaker) -> None:
        await breaker.check_losses(Decimal("0.03"), Decimal(100), config())
        assert grant.role is Role.ACTIVE
        await breaker.check_losses(Decimal("0.0312"), Decimal(100), config())
        assert why(breaker) == ("daily_loss", "0.0312", "0.0300")

    run(tmp_path, work)


def test_a_rapid_loss_counts_only_within_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)

    async def work(grant: Grant, breaker: Breaker) -> None:
        nonlocal now
        none = Decimal(0)
        for seconds, equity in ((0, "1000"), (59, "991"), (61, "985")):
            now = 1_000.0 + seconds
            await breaker.check_losses(none, Decimal(equity), config())
        # 985 is 1.5 % below 1000, which is 61 s ago, and 0.6 % below 991.
        assert grant.role is Role.ACTIVE
        now += 1
        await breaker.check_losses(none, Decimal("980"), config())
        assert why(breaker) == ("rapid_loss", "0.0111", "0.0100")
        await breaker.reset()
        grant.become(Role.ACTIVE)
        await breaker.check_losses(none, Decimal("979"), config())
        assert grant.role is Role.ACTIVE

    run(tmp_path, work)


def test_one_in_standby_is_not_tripped_by_figures(tmp_path: Path) -> None:
    async def work(grant: Grant, breaker: Breaker) -> None:
        grant.become(Role.STANDBY)
        await breaker.trade_closed(Decimal("-1"), 1)
        await breaker.order_rejected("too small", 1)
        assert grant.role is Role.STANDBY and breaker.state()["state"] == "closed"
        await breaker.trip_by_hand("ada", "looks wrong")
        assert Grant(AuthorityFile(tmp_path)).breaker == grant.breaker and grant.role is Role.HALTED

    run(tmp_path, work)


def test_a_press_during_a_release_stays_latched(tmp_path: Path) -> None:
    async def work() -> None:
        grant = Grant(AuthorityFile(tmp_path))
        await grant.latch_now({"at": "1", "actor": "ada", "reason": "first"})
        second = {"at": "2", "actor": "alan", "reason": "second"}
        await asyncio.gather(grant.release(), grant.latch_now(second))
        assert grant.latch == second and AuthorityFile(tmp_path).latch() == second
        await grant.release()
        assert grant.latch is None and AuthorityFile(tmp_path).latch() is None and grant.restart_required

    asyncio.run(work())
