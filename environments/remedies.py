"""What the product can do, or where it is done, when a runbook says so: named remedies.

Each app registers its own in its ``remedies.py``, which is imported when the console starts. A remedy either runs
(after a confirmation that shows its effect) or leads to the page of the product where it is done, for acts that need a
fresh sign-in or a second person. Either is the same use case that pages and API call; a remedy adds no second way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from audit.actors import Actor
from environments.evidence import Subject

Effect = Callable[[Subject], str]
Run = Callable[[Actor, Subject, str], str]
"""Actor, subject and reason; returns what was asked for or read back, in words. Raises the errors of the use case."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One remedy; exactly one of ``run`` and ``page`` is given."""

    name: str
    title: str
    """A verb: "Roll back to the earlier release"."""
    permission: str
    """What it takes (``accounts/roles.py``); without it the step shows who can do it."""
    effect: Effect
    """What it would do now, with live counts; shown before the confirmation."""
    run: Run | None = None
    page: Effect | None = None
    """Path of the page where it is done."""


_remedies: dict[str, Remedy] = {}


def register(*remedies: Remedy) -> None:
    """Register remedies.

    Raises:
        ValueError: a name is taken, or a remedy neither runs nor leads to a page, or both.
    """
    for remedy in remedies:
        if remedy.name in _remedies:
            raise ValueError(f"remedy {remedy.name!r} is registered twice")
        if (remedy.run is None) == (remedy.page is None):
            raise ValueError(f"remedy {remedy.name!r} needs either run or page")
        _remedies[remedy.name] = remedy


def remedies() -> Mapping[str, Remedy]:
    """Every remedy by name, in alphabetical order."""
    return dict(sorted(_remedies.items()))


def remedy(name: str) -> Remedy:
    """A remedy by name; raises KeyError."""
    return _remedies[name]
