"""What runbooks have to know of deployments, and which runbooks and runs the page of a deployment leads to."""

from __future__ import annotations

from typing import Any

from alerts.models import Alert
from alerts.offers import Offer
from deployments.models import Deployment
from deployments.states import Status
from runbooks import library, runbook_offers
from runbooks.runbook_about import About

DID_NOT_START = ("system-will-not-start",)
"""Slugs of what to do when a deployment failed before its release had traffic."""
_WENT_WRONG = (Status.FAILING, Status.FAILED, Status.ABORTED)


def about(number: int, user: Any = None) -> About | None:
    """A deployment as runs know it; of those that the person may see when one is given. One query."""
    found = Deployment.objects.visible_to(user) if user is not None else Deployment.objects.all()
    row = found.filter(pk=number).values_list("environment_id", "to_release__version").first()
    return About(*row) if row else None


def offers(user: Any, deployment: Deployment) -> list[Offer]:
    """Runs about a deployment, and the runbooks that fit what is wrong with it, if anything. Two queries."""
    slugs: list[str] = []
    if deployment.status in _WENT_WRONG and deployment.promoted_at is None:
        slugs += DID_NOT_START
    key = f"{deployment.environment.name}:{deployment.pk}"
    breach = Alert.objects.filter(kind="breach", key=key, cleared_at=None).first()
    if breach is not None:
        slugs += [one.slug for one in library.for_alert(breach) if one.slug not in slugs]
    return runbook_offers.at_deployment(user, deployment.pk, deployment.environment, slugs)
