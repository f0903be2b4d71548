"""One exchange and one trading system for the scenarios; each has an account of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.releases import BuiltRelease, build_releases
from tests.demo.processes import Instance, Stack
from tests.exchange.processes import PaperExchange
from tests.trading.stop.stop_world import World, instance_settings, make_world


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    """The exchange process."""
    exchange = PaperExchange(tmp_path_factory.mktemp("paper")).start()
    yield exchange
    exchange.stop()


@pytest.fixture(scope="session")
def demo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Starts trading systems, and ends them."""
    releases: dict[str, BuiltRelease] = {
        release.version: release for release in build_releases(tmp_path_factory.mktemp("releases"))
    }
    stack = Stack(tmp_path_factory.mktemp("stack"), releases, tmp_path_factory.mktemp("unpacked"))
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def halted(paper: PaperExchange, demo_stack: Stack) -> Instance:
    """A real trading system. Its first stop latches it, and it takes every later one; it acts on another account."""
    return demo_stack.instance(paper, name="stop-instance-1").ready()


@pytest.fixture
def world(paper: PaperExchange, halted: Instance, tmp_path: Path) -> Iterator[World]:
    """A fresh account with the trading system beside it, and every fault taken back afterwards."""
    yield make_world(paper, tmp_path, instance_settings(halted, tmp_path))
    paper.heal()


@pytest.fixture
def world_of(paper: PaperExchange, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """A fresh account with other instances."""
    yield lambda *instances, **more: make_world(paper, tmp_path, *instances, **more)
    paper.heal()
