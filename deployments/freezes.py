"""Freezes: times in which nothing is deployed to an environment. A rollback is never frozen."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet

from accounts.domain import InvalidRequest
from accounts.roles import CONFIGURE
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from deployments.clock import db_now
from deployments.errors import FreezeOver
from deployments.models import Freeze
from deployments.starting import clean_reason
from environments.models import Environment
from environments.permissions import require

LONGEST = timedelta(days=366)


@use_case
def freeze(
    actor: Actor, environment: Environment, ends_at: datetime | None, reason: str, starts_at: datetime | None = None
) -> Freeze:
    """Let nothing be deployed to an environment for a time. Several may overlap; each is lifted on its own.

    Args:
        starts_at: from when; None for now. Both times with a zone.

    Raises:
        Forbidden: the actor may not change the configuration there.
        InvalidRequest: no reason, or times that make no sense.
    """
    require(actor, CONFIGURE, environment)
    if actor.user is None:
        raise InvalidRequest("environment", "A freeze is set by a person.")
    if ends_at is None:
        raise InvalidRequest("ends_at", "Say until when.")
    reason, now = clean_reason(reason), db_now()
    begins = starts_at or now
    if ends_at <= begins:
        raise InvalidRequest("ends_at", "The end must come after the beginning.")
    if ends_at <= now:
        raise InvalidRequest("ends_at", "The end is over already.")
    if ends_at - begins > LONGEST or begins - now > LONGEST:
        raise InvalidRequest("ends_at", f"A freeze begins within {LONGEST.days} days, and lasts at most as long.")
    made = Freeze.objects.create(
        environment=environment, starts_at=begins, ends_at=ends_at, reason=reason, set_by=actor.user
    )
    after = {"freeze": made.pk, "starts_at": begins.isoformat(), "ends_at": ends_at.isoformat()}
    record(actor, "environment.frozen", environment, environment=environment.name, reason=reason, after=after)
    return made


@use_case
def lift(actor: Actor, given: Freeze, reason: str) -> Freeze:
    """End a freeze before its time; it stays in the list.

    Raises:
        Forbidden, InvalidRequest: as the names say; nothing was done.
        FreezeOver: it was lifted before, or its time is over; nothing was done.
    """
    environment = given.environment
    require(actor, CONFIGURE, environment)
    reason = clean_reason(reason)
    found = Freeze.objects.select_for_update(of=("self",)).get(pk=given.pk)
    now = db_now()
    if found.lifted_at is not None or found.ends_at <= now:
        over = found.lifted_at or found.ends_at
        raise FreezeOver(f"This freeze ended at {over:%Y-%m-%d %H:%M} UTC already. Nothing was done.")
    found.lifted_at, found.lifted_by = now, actor.user
    found.save()
    after = {"freeze": found.pk, "ends_at": found.ends_at.isoformat()}
    record(actor, "environment.freeze_lifted", environment, environment=environment.name, reason=reason, after=after)
    return found


def of(environment: Environment) -> QuerySet[Freeze]:
    """Every freeze of an environment, the latest beginning first."""
    return Freeze.objects.filter(environment=environment).select_related("set_by", "lifted_by")
