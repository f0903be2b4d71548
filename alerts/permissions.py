"""Who may acknowledge an alert: whoever has work where it is, not only a look at it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from accounts.errors import Forbidden, InsufficientScope
from accounts.roles import CHECKLISTS, DEPLOY, STOP, VIEW, Role, roles_with
from alerts.models import Alert
from audit.actors import Actor
from environments.models import Environment
from environments.permissions import permissions_of

WORK = (CHECKLISTS, STOP, DEPLOY)
"""One of these makes an alert somebody's business."""
WORDS = "acknowledge alerts here"
NOWHERE = "no environment"


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a person may acknowledge alerts."""

    environments: frozenset[int]
    without_environment: bool
    """Also those that concern no environment."""

    def covers(self, alert: Alert) -> bool:
        """Whether the person may acknowledge it."""
        if alert.environment_id is None:
            return self.without_environment
        return alert.environment_id in self.environments


def reach(user: Any) -> Reach:
    """Where a person may acknowledge alerts, the bounds of their API key applied. Three queries."""
    environments = list(Environment.objects.only("pk", "name"))
    held = permissions_of(user, environments)
    places = frozenset(one.pk for one in environments if VIEW in held[one.name] and held[one.name] & {*WORK})
    limits = user.limits
    in_scope = limits is None or any(limits.permits(permission) for permission in WORK)
    return Reach(places, bool(user.is_authenticated and user.is_active and user.role and in_scope))


def require_acknowledge(actor: Actor, alerts: Sequence[Alert]) -> None:
    """Pass when the actor may acknowledge every one of them, or raise.

    Raises:
        Forbidden: not all; the message names the first place and who can.
        InsufficientScope: the person may, but the API key that was sent may not.
    """
    if actor.is_system:
        return
    found = reach(actor.user)
    refused = next((alert for alert in alerts if not found.covers(alert)), None)
    if refused is None:
        return
    place = refused.environment.name if refused.environment else NOWHERE
    if actor.user.limits is not None and _in_full(actor.user).covers(refused):
        raise InsufficientScope(actor, CHECKLISTS, WORDS, place)
    is_production = refused.environment.is_production if refused.environment else False
    roles = [role for role in Role if any(role in roles_with(one, production=is_production) for one in WORK)]
    raise Forbidden(actor, CHECKLISTS, WORDS, place, " or ".join(role.value for role in roles))


def _in_full(user: Any) -> Reach:
    """Where the person may, whatever the bounds of the API key."""
    whole = copy(user)
    whole.limits = None
    return reach(whole)
