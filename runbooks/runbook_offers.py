"""Which runbooks are offered at an alert and at a deployment, and which runs about it there were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from alerts.models import Alert
from alerts.offers import Offer
from environments.models import Environment
from runbooks import library, runbook_queries
from runbooks.runbook_queries import Brief

MOST = 3


def at_alert(user: Any, alert: Alert) -> list[Offer]:
    """The runs about an alert that are under way, then the runbooks that fit it. One query."""
    running = [one for one in runbook_queries.of_alert(user, alert) if one.run.is_running]
    begun = {one.runbook.slug for one in running}
    place = alert.environment.name if alert.environment else ""
    offered = [
        Offer(f"Runbook: {one.title}", _address(one.slug, alert=alert.pk, environment=place), one.summary)
        for one in library.for_alert(alert)
        if one.slug not in begun
    ]
    return [*map(_run, running), *offered[:MOST]]


def at_deployment(user: Any, number: int, environment: Environment, slugs: Sequence[str]) -> list[Offer]:
    """The runs about a deployment, then the runbooks of these slugs. One query."""
    runs = runbook_queries.of_deployment(user, number)
    begun = {one.runbook.slug for one in runs if one.run.is_running}
    found = [runbook for slug in slugs if slug not in begun and (runbook := library.find(slug)) is not None]
    offered = [
        Offer(f"Runbook: {one.title}", _address(one.slug, deployment=number, environment=environment.name), one.summary)
        for one in found
    ]
    return [*map(_run, runs), *offered[:MOST]]


def _run(one: Brief) -> Offer:
    return Offer(f"Runbook: {one.runbook.title}", f"/runbook-runs/{one.run.pk}/", f"{one.progress}, {_who(one)}")


def _who(one: Brief) -> str:
    return str(one.run.operator.display_name)


def _address(slug: str, **about: object) -> str:
    query = urlencode({name: value for name, value in about.items() if value})
    return f"/runbooks/{slug}/{'?' if query else ''}{query}"
