"""What a run may be about beside an alert: a deployment, which is known to an app above this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class About:
    """A deployment, as far as a run has to know it."""

    environment_id: int
    release: str
    """Version that was put in."""


Find = Callable[[int, Any], About | None]
"""A deployment by its number; of those that a person may see when the person is given, else of all."""
_finders: list[Find] = []


def find_deployments_with(find: Find) -> None:
    """Say how a deployment is found; called once when the console starts."""
    _finders[:] = [find]


def deployment(number: int, user: Any = None) -> About | None:
    """A deployment by its number; None when there is none (that the person may see). One query."""
    return _finders[0](number, user) if _finders else None
