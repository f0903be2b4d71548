"""Whether an artifact was tested in staging: it was live there, and stable as long as that environment asks."""

from __future__ import annotations

from datetime import datetime

from deployments.checks import CheckResult, not_asked
from deployments.clock import db_now
from deployments.models import Deployment, Release
from deployments.states import Status
from environments.models import Environment
from environments.pages import seconds_in_words
from environments.policy import GatePolicy

NAME, TITLE = "staging", "Tested on staging"
_BAD = (Status.ROLLED_BACK, Status.FAILED, Status.FAILING)


def judge(environment: Environment, release: Release, policy: GatePolicy) -> CheckResult:
    """The check; at most three queries."""
    if policy.staging == "":
        return not_asked(NAME, TITLE)
    place = _place(environment, policy.staging)
    if place is None:
        return _without(environment, policy.staging)
    if place.pk == environment.pk:
        return _passed(f"{place} is the staging environment itself.")
    last = (
        Deployment.objects.filter(
            environment=place, to_release__digest=release.digest, promoted_at__isnull=False, reverts=None
        )
        .order_by("-promoted_at", "-pk")
        .first()
    )
    if last is None or last.promoted_at is None:
        todo = f"Deploy {release} to {place} first, and let it be stable there."
        return CheckResult(NAME, TITLE, False, f"{release} was never live in {place}.", todo, True)
    link = f"/deployments/{last.pk}/"
    if last.status in _BAD:
        detail = f"Deployment {last.pk} of {release} to {place}: {last.get_status_display().lower()}."
        todo = f"Mend it, or show in {place} that this artifact is stable."
        return CheckResult(NAME, TITLE, False, detail, todo, True, link=link)
    return _stable(place, release, last, last.promoted_at, link)


def _stable(place: Environment, release: Release, last: Deployment, since: datetime, link: str) -> CheckResult:
    """It was promoted and not taken back: it must have served long enough."""
    until = _replaced_at(last, since) or db_now()
    served, wanted = (until - since).total_seconds(), place.policy.stable_seconds
    words = f"Deployment {last.pk} brought {release} live in {place}"
    if served >= wanted:
        detail = f"{words}; it served longer than {seconds_in_words(wanted)} and stayed stable."
        return CheckResult(NAME, TITLE, True, detail, overridable=True, link=link)
    todo = f"Let it serve in {place} for {seconds_in_words(wanted)}."
    detail = f"{words}; it served for {served:.0f} s of the {seconds_in_words(wanted)} that are asked."
    return CheckResult(NAME, TITLE, False, detail, todo, True, link=link)


def _replaced_at(last: Deployment, since: datetime) -> datetime | None:
    later = Deployment.objects.filter(environment=last.environment_id, promoted_at__gt=since).order_by("promoted_at")
    return later.values_list("promoted_at", flat=True).first()


def _place(environment: Environment, name: str | None) -> Environment | None:
    found = Environment.objects.filter(service=environment.service_id)
    if name is not None:
        return found.filter(name=name).first()
    return found.filter(kind=Environment.Kind.STAGING).order_by("position", "name").first()


def _without(environment: Environment, name: str | None) -> CheckResult:
    service = environment.service
    if name is None:
        return _passed(f"{service} has no staging environment, so it is not asked.")
    return _passed(f"{service} has no environment {name}, which policy.gate.staging names, so it is not asked.")


def _passed(detail: str) -> CheckResult:
    return CheckResult(NAME, TITLE, True, detail, overridable=True)
