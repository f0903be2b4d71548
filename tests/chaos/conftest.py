"""One installation with crash points for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole.local.stack import Stack
from tests.stacks import running_stack

WINDOWS = {"OPSC_DEMO_WATCH": "1.5", "OPSC_DEMO_STABLE": "2", "OPSC_DEMO_BASELINE": "10"}


@pytest.fixture(scope="package")
def failpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose files say where a process dies or stops."""
    return tmp_path_factory.mktemp("failpoints")


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, failpoints: Path) -> Iterator[Stack]:
    """A running installation whose deployments end soon."""
    variables = {**WINDOWS, "OPSC_FAILPOINTS": str(failpoints)}
    folder = tmp_path_factory.mktemp("chaos") / "stack"
    with running_stack(folder, variables, {"production": 60, "staging": 20}) as running:
        yield running
