"""Fixtures of the tests of the demo programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.releases import BuiltRelease, build_releases
from tests.demo.processes import Exchange, Instance, Stack


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BuiltRelease]:
    """Every release, built once."""
    return {release.version: release for release in build_releases(tmp_path_factory.mktemp("releases"))}


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where releases are unpacked, once for all tests."""
    return tmp_path_factory.mktemp("unpacked")


@pytest.fixture
def stack(tmp_path: Path, releases: dict[str, BuiltRelease], unpacked: Path) -> Iterator[Stack]:
    """Processes of one test."""
    stack = Stack(tmp_path, releases, unpacked)
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def exchange(
    tmp_path_factory: pytest.TempPathFactory, releases: dict[str, BuiltRelease], unpacked: Path
) -> Iterator[Exchange]:
    """One exchange for all tests; each test has an account of its own there, and none may stop it."""
    stack = Stack(tmp_path_factory.mktemp("exchange"), releases, unpacked)
    try:
        yield stack.exchange()
    finally:
        stack.stop()


@pytest.fixture
def instance(stack: Stack, exchange: Exchange) -> Instance:
    """A healthy instance of v1.2.4 in STANDBY."""
    return stack.instance(exchange).ready()
