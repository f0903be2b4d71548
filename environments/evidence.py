"""What the product can read for a person who ticks a checklist or follows a runbook: named providers of evidence.

Each app registers its own in its ``evidence_providers.py``, which is imported when the console starts::

    @provider("alerts.open", "Open alerts")
    def open_alerts(subject: Subject) -> Reading: ...

A provider reads the world at that moment, changes nothing, and ends within a few seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.utils import timezone

from environments.models import Environment

logger = logging.getLogger(__name__)


class Verdict(StrEnum):
    """What a reading means; "no data" is a state of its own."""

    PASS = "pass"  # noqa: S105 - a word, no password
    WARN = "warn"
    FAIL = "fail"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: an environment and, for the deployment list, the version of a release."""

    environment: Environment
    release: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a provider found: a value in words, a verdict, a path to look at, and lines of detail."""

    value: str
    verdict: Verdict
    link: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reading with its name and its time, as it is kept."""

    name: str
    title: str
    reading: Reading
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """As it is kept with a tick or a step."""
        return {"name": self.name, "title": self.title, "at": self.at.isoformat(), **asdict(self.reading)}


Read = Callable[[Subject], Reading]


@dataclass(frozen=True, slots=True)
class Provider:
    """A registered provider."""

    name: str
    title: str
    read: Read


_providers: dict[str, Provider] = {}


def provider(name: str, title: str) -> Callable[[Read], Read]:
    """Register a function as the provider of a name.

    Args:
        name: ``app.what``, as definitions of checklists and runbooks write it.
        title: what people read above the value.

    Raises:
        ValueError: the name is taken.
    """

    def register(read: Read) -> Read:
        if name in _providers:
            raise ValueError(f"evidence {name!r} is registered twice")
        _providers[name] = Provider(name, title, read)
        return read

    return register


def providers() -> Mapping[str, Provider]:
    """Every provider by name, in alphabetical order."""
    return dict(sorted(_providers.items()))


def read(name: str, subject: Subject) -> Evidence:
    """Read one provider now. What cannot be read is "no data" with the reason, and never hinders the tick.

    Raises:
        KeyError: there is no such provider; definitions are checked against ``providers()`` when they are loaded.
    """
    found = _providers[name]
    try:
        reading = found.read(subject)
    except Exception as error:  # noqa: BLE001 - a broken source of evidence must not hinder the work
        logger.warning("evidence %s of %s could not be read", name, subject.environment, exc_info=True)
        reading = Reading(f"Could not be read: {error}"[:300], Verdict.NO_DATA)
    return Evidence(name, found.title, reading, timezone.now())
