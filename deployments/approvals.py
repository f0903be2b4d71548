"""Requests as they are kept, and the facts of now beside them. Reads only; ``approval_actions.py`` changes."""

from __future__ import annotations

from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Now

from accounts.roles import APPROVE, DEPLOY, REQUEST
from deployments import gate
from deployments.approval_subject import Change, LiveSide, NewRelease, Subject, changes, subject, subject_hash
from deployments.checks import NOTHING, Exceptions
from deployments.models import Approval, Deployment, Release
from deployments.planning import foreseen
from deployments.preflight import artifact_spec
from deployments.strategies import STRATEGIES, StepSpec
from environments.drivers.artifacts import verify_artifact
from environments.drivers.base import DigestMismatch, DriverError
from environments.models import Environment, Slot
from environments.permissions import environments_with
from trading import clearances
from trading.models import Clearance


def loaded(queryset: QuerySet[Approval]) -> QuerySet[Approval]:
    """With all that the present subject is made of; two queries for any number."""
    deployment = "deployment__"
    return (
        queryset.select_related(
            deployment + "environment__service",
            deployment + "environment__live_slot",
            deployment + "to_release__service",
            deployment + "from_release",
            deployment + "to_slot",
            deployment + "from_slot",
        )
        .prefetch_related(Prefetch(deployment + "environment__slots", Slot.objects.order_by("name")))
        .annotate(
            made_live_by=Subquery(_promoted(OuterRef("deployment__environment")).values("pk")[:1]),
            # By the database's clock, as every window.
            is_over=ExpressionWrapper(Q(expires_at__lte=Now()), output_field=BooleanField()),
        )
    )


def _promoted(environment: Any) -> QuerySet[Deployment]:
    return Deployment.objects.filter(environment=environment, promoted_at__isnull=False).order_by("-promoted_at", "-pk")


def made_live_by(environment: Environment) -> int | None:
    """The deployment that made live what is live; None before the first one."""
    return _promoted(environment).values_list("pk", flat=True).first()


def plan_of(environment: Environment, release: Release, strategy: str, slot: Slot) -> list[StepSpec]:
    """The steps that a deployment would take now."""
    return STRATEGIES[strategy].plan(foreseen(environment, release, slot))


def subject_of(
    environment: Environment,
    release: Release,
    strategy: str,
    slot: Slot,
    live_by: int | None,
    exceptions: Exceptions = NOTHING,
) -> Subject:
    """What a deployment of a release would be now. Asks no database when the relations are loaded."""
    live = environment.live_slot
    return subject(
        environment=environment.name,
        release=NewRelease(release.service.name, release.version, release.digest, release.config_revision),
        strategy=strategy,
        slot=slot.name,
        plan=plan_of(environment, release, strategy, slot),
        live=LiveSide(live.version, live.digest, live.name, live_by) if live else LiveSide(),
        policy=environment.policy.model_dump(mode="json"),
        exceptions=_told(exceptions),
    )


def _told(exceptions: Exceptions) -> dict[str, Any]:
    """Exceptions as a member of the subject; nothing for a request without any."""
    given = {
        "large_change_reason": exceptions.large_change_reason,
        "override_reason": exceptions.override_reason,
        "overrides": list(exceptions.overrides),
    }
    return {name: value for name, value in given.items() if value}


def changes_since(approval: Approval) -> list[Change]:
    """What differs now from what was asked for; of an approval that ``loaded`` gave. Does not read the archive."""
    deployment = approval.deployment
    environment = deployment.environment
    target = next(slot for slot in environment.slots.all() if slot.pk != environment.live_slot_id)
    by = approval.made_live_by  # type: ignore[attr-defined]
    allowed = gate.exceptions_of(deployment)
    now = subject_of(environment, deployment.to_release, deployment.strategy, target, by, allowed)
    found = changes(approval.subject, now)
    kept = subject_hash(approval.subject)
    if kept != approval.subject_hash and not found:  # the row was changed by hand
        return [Change("subject_hash", approval.subject_hash, kept)]
    return found


def archive_change(release: Release) -> Change | None:
    """The archive on disk when it is not the one of the release. One that cannot be read is no change: it may return.

    Reads the whole archive.
    """
    try:
        verify_artifact(artifact_spec(release))
    except DigestMismatch as error:
        return Change("archive", release.digest, f"sha256:{error.actual}")
    except DriverError:
        return None
    return None


def waiting_for(user: Any) -> QuerySet[Approval]:
    """Requests on which a person may decide: those of others, where the person may approve."""
    approvable = environments_with(Environment.objects.all(), user, APPROVE)
    return Approval.objects.waiting().filter(deployment__environment__in=approvable).exclude(requested_by=user)


def count_waiting_for(user: Any) -> int:
    """How many requests wait for a person, those for leave to trade included.

    One query, two more only if anything waits for anybody.
    """
    anything = Approval.objects.waiting().values("pk").union(Clearance.objects.waiting().values("pk"), all=True)
    return waiting_for(user).count() + clearances.waiting_for(user).count() if anything.exists() else 0


def startable_ids(user: Any) -> frozenset[int]:
    """Environments to which a person may deploy, or ask for it, by key; one query."""
    deploy, ask = (environments_with(Environment.objects.all(), user, name) for name in (DEPLOY, REQUEST))
    found = Environment.objects.filter(Q(pk__in=deploy.values("pk")) | Q(pk__in=ask.values("pk")))
    return frozenset(found.values_list("pk", flat=True))


def starts_directly(user: Any, environment: Environment) -> bool:
    """Whether a person's deployment starts at once, without another person's approval; one query."""
    if environment.needs_second_person:
        return False
    return environments_with(Environment.objects.filter(pk=environment.pk), user, DEPLOY).exists()
