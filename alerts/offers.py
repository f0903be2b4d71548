"""What other parts of the console offer at an alert, such as the runbook that fits; each registers itself here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alerts.models import Alert

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A page where something is done about an alert."""

    title: str
    link: str
    """Path of the page, with its query."""
    detail: str = ""
    """How it stands, when it is under way."""


Find = Callable[[Any, Alert], Sequence[Offer]]
"""A person and an alert that they see; what is offered to them, best first, in a fixed number of queries."""
_finders: list[Find] = []


def register(find: Find) -> None:
    """Offer something at alerts; called once when the console starts."""
    if find not in _finders:
        _finders.append(find)


def at(user: Any, alert: Alert) -> list[Offer]:
    """What is offered to a person at an alert. One part that fails hides neither the others nor the alert."""
    found: list[Offer] = []
    for find in _finders:
        try:
            found += find(user, alert)
        except Exception:  # noqa: BLE001 - the alert must be seen whatever is wrong with an offer
            logger.warning("offers at alert %s not read", alert.pk, exc_info=True)
    return found
