"""What pages can subscribe to: the registry of live topics.

An app registers its topics in its ``live.py``, which is imported when the server starts::

    topic("deployment.<id>", may_see, view, production=names)

``may_see(user, key)`` says whether a person may follow it, ``view(key)`` draws it; ``key`` is the part after the dot
("42"), empty for a topic without one. ``production(key)`` names the production environments that it shows: following
those is recorded in the audit trail, and so is following a topic that does not say. All run in a thread and may use the
database. A view is drawn once for everybody
who follows the topic, so it must not depend on who looks and must not contain forms: a part that does is a ``Reload``,
which each page fetches for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reload:
    """A region that each page fetches by GET from ``url`` whenever ``stamp`` differs from its ``data-stamp``."""

    url: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Series:
    """A chart: its newest points, oldest first (only those later than the last one sent go out), and its lines."""

    points: Sequence[tuple[float, float | None]]
    """Unix seconds and value; None is a gap."""
    baseline: float | None = None
    limit: float | None = None
    marks: Sequence[tuple[float, str]] = ()
    """Unix seconds and label of a vertical line."""


@dataclass(frozen=True, slots=True)
class View:
    """How a topic looks now."""

    regions: Mapping[str, str | Reload]
    """The content (inner HTML) of each region, by the id of its element."""
    charts: Mapping[str, Series] = field(default_factory=dict)
    say: str = ""
    """Read out to screen readers when it differs from the time before; never metrics or trades."""
    urgent: bool = False
    """``say`` interrupts: critical alerts only."""


MaySee = Callable[[Any, str], bool]
Draw = Callable[[str], "View | Mapping[str, str | Reload]"]
Production = Callable[[str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Topic:
    """A registered kind of topic."""

    prefix: str
    has_key: bool
    may_see: MaySee
    draw: Draw
    production: Production | None = None
    """Names of the production environments that it shows; None when it does not say."""


class UnknownTopic(Exception):
    """No registered topic has this name."""


_topics: dict[str, Topic] = {}


def topic(pattern: str, permission_check: MaySee, regions: Draw, *, production: Production | None = None) -> None:
    """Register ``prefix`` or ``prefix.<key>``.

    Raises:
        ValueError: the pattern is malformed or registered already.
    """
    prefix, dot, key = pattern.partition(".")
    if not prefix.isidentifier() or (dot and not (key.startswith("<") and key.endswith(">"))):
        raise ValueError(f"topic pattern {pattern!r}: write it as 'name' or 'name.<key>'")
    if prefix in _topics:
        raise ValueError(f"topic {prefix!r} is registered twice")
    _topics[prefix] = Topic(prefix, bool(dot), permission_check, regions, production)


def find(name: str) -> tuple[Topic, str]:
    """The topic and the key of a name such as ``deployment.42``.

    Raises:
        UnknownTopic: nothing is registered for it.
    """
    prefix, dot, key = name.partition(".")
    found = _topics.get(prefix)
    if (
        found is None
        or found.has_key != bool(dot and key)
        or not key.replace("-", "").replace("_", "").isalnum()
        and key
    ):
        raise UnknownTopic(f"There is no live topic {name!r}.")
    return found, key


def draw(name: str) -> View:
    """The present view of a topic; raises UnknownTopic, and whatever its function raises."""
    found, key = find(name)
    view = found.draw(key)
    return view if isinstance(view, View) else View(regions=view)
