"""Reading what is kept of trading. Lists take one query each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from environments.models import Environment
from trading.models import Comparison

FRESH = timedelta(minutes=5)
"""A mismatch that was seen within stops a promotion; older, it says nothing about now."""


def promotion_block(environment: Environment) -> str | None:
    """Why positions forbid a promotion now, in words; None when they do not. One query.

    A comparison without data between does not make a mismatch undone, only an equal one does.
    """
    told = Comparison.objects.filter(environment=environment, at__gt=timezone.now() - FRESH)
    last = told.exclude(verdict=Comparison.Verdict.NO_DATA).first()
    if last is None or last.verdict != Comparison.Verdict.FAIL:
        return None
    names = ", ".join(one["symbol"] for one in last.differences)
    return (
        f"Positions of {environment.name} differ from the exchange: {names} (compared {last.at:%H:%M:%S} UTC). "
        "Take over the exchange's positions, or close them, then compare again."
    )


def comparisons(environment: Environment) -> QuerySet[Comparison]:
    """The comparisons of an environment, newest first."""
    return Comparison.objects.filter(environment=environment)


def last_comparison(environment: Environment) -> Comparison | None:
    """The newest one, whatever it found."""
    return comparisons(environment).first()


def trading_environments(user: Any) -> list[Environment]:
    """The environments that a person may see, production first. One query."""
    found = list(Environment.objects.visible_to(user).select_related("service"))
    return sorted(found, key=lambda one: not one.is_production)
