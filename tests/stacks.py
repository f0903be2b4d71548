"""A whole installation for tests: its own ports, its own temporary folder, nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from opsconsole.local.client import Console
from opsconsole.local.demo import bring_up
from opsconsole.local.stack import Ports, Stack

SHORT = {"OPSC_DEMO_WATCH": "3", "OPSC_DEMO_STABLE": "4", "OPSC_DEMO_BASELINE": "20"}


@contextmanager
def running_stack(
    folder: Path, variables: Mapping[str, str] | None = None, load: Mapping[str, int] | None = None
) -> Iterator[Stack]:
    """A stack on which the first release is live in production and staging, and requests flow."""
    stack = Stack(folder, Ports.free(), variables={**SHORT, **(variables or {})}, load=load or {"production": 120})
    stack.remove_data()  # what a killed run may have left under the same name
    try:
        stack.start(lambda text: None)
        bring_up(Console.as_role(stack.url, stack.keys), stack, lambda text: None)
        yield stack
    finally:
        stack.stop()
        stack.remove_data()


def rows(stack: Stack, sql: str, *parameters: object) -> list[tuple]:
    """Read from the stack's database, past the console."""
    with psycopg.connect(stack.postgres.url("opsconsole"), connect_timeout=5) as connection:
        return connection.execute(sql, parameters).fetchall()
