"""Requests that wait for approval, as somebody who asked left them."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from audit.actors import Actor
from deployments import approval_actions, starting
from deployments.models import Approval, Deployment, Release
from environments.models import Environment
from tests.pages.stories import live, sampled


def requested(environment: Environment, old: Release, new: Release, user: Any = None, **fields: Any) -> Deployment:
    """Somebody asked for it, and nobody has decided; ``fields`` replace what is kept of the request."""
    live(environment, "blue", old.version)
    sampled(environment.slots.get(name="blue"), "ACTIVE")
    actor = Actor(user.display_name if user else "Dora Developer", "session", user, "Developer")
    reason = fields.pop("reason", "Slippage fix, tested on staging")
    with transaction.atomic():
        made = approval_actions.request(actor, starting.lock(environment), new, "blue_green", reason)
    Approval.objects.filter(deployment=made).update(**fields)
    return made
