"""A person at a shell: opsctl as a process of its own, against a console that really listens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import deployment, key_of, outside, ready  # noqa: F401  the same cast

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60
"""Seconds after which what was waited for does not happen any more; never a pause."""


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A test run in the background ignores SIGINT, and so would every process that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Shell:
    """Where somebody types: a home of its own, the console's address, and perhaps an API key."""

    def __init__(self, home: Path, url: str, token: str = "", **variables: str) -> None:
        self.home, self.url = home, url
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environ = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        self.environ |= {"OPSCTL_URL": url} if url else {}
        self.environ |= {"OPSCTL_TOKEN": token} if token else {}
        self.environ |= {"OPSCTL_DEBUG": "1", **variables}

    def command(self, *arguments: str) -> list[str]:
        """What is executed."""
        return [sys.executable, "-P", "-m", "opsctl", *arguments]

    def run(self, *arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """One command to its end, without a terminal."""
        return subprocess.run(
            self.command(*arguments),
            input=given,
            capture_output=True,
            text=True,
            cwd=self.home,
            env={**self.environ, **variables},
            timeout=PATIENCE,
            check=False,
        )

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The document that a command prints; it must end with ``code``."""
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on; its lines are read as they come."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environ,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell that knows no console."""
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home, "")


@pytest.fixture
def shell_of(live_server: Any, key_of: Callable[..., str], tmp_path: Path) -> Callable[..., Shell]:  # noqa: F811
    """The shell of a person with an API key: ``shell_of(admin)``."""

    def make(user: Any, **variables: str) -> Shell:
        home = tmp_path / f"home-{user.username}"
        home.mkdir(exist_ok=True)
        return Shell(home, live_server.url, key_of(user), **variables)

    return make
