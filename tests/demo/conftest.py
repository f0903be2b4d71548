"""Fixtures of the tests of the demo programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.releases import BuiltRelease, build_releases
from tests.demo.processes import Exchange, Stack


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
    yield stack
    stack.stop()


@pytest.fixture
def exchange(stack: Stack) -> Exchange:
    """A running exchange."""
    return stack.exchange()
