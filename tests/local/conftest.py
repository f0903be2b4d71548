"""A supervisord of each test's own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole.local.supervisor import Supervisor


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        made = Supervisor(Path(folder) / "a folder")
        yield made
        made.shutdown()
