"""Read queries of the overview, the lists and the release pages: plain dataclasses, a fixed number of queries each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, Prefetch, Q, QuerySet
from django.utils import timezone

from alerts.models import Alert
from alerts.queries import open_in
from audit.models import Record
from deployments import queries, words
from deployments.advice import Advice, advice
from deployments.models import Deployment, Release, RollbackReport, Step
from deployments.rollback_report_queries import owed_in
from deployments.states import TERMINAL, UNFINISHED, Status, StepStatus
from environments import pages as environment_pages
from environments.models import Environment, Service
from environments.pages import EnvironmentView

PAGE_SIZE = 50
SHOWN_ALERTS = 8

STATE_FILTERS: Mapping[str, tuple[str, frozenset[Status]]] = {
    "unfinished": ("Under way", frozenset(UNFINISHED)),
    "waiting": ("Waiting for approval", frozenset({Status.AWAITING_APPROVAL})),
    "succeeded": ("Succeeded", frozenset({Status.SUCCEEDED})),
    "rolled_back": ("Rolled back", frozenset({Status.ROLLED_BACK})),
    "failed": ("Failed", frozenset({Status.FAILED})),
    "aborted": ("Aborted", frozenset({Status.ABORTED})),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One deployment in a list."""

    deployment: Deployment
    duration_seconds: float | None
    """From start to end, or until now while it runs."""
    is_running: bool
    checks: str
    """``7 of 8`` rules pass; empty when nothing was judged."""


@dataclass(frozen=True, slots=True)
class Strip:
    """The deployment under way on the overview."""

    deployment: Deployment
    title: str
    result: words.Result
    position: str
    """``Step 4 of 11: Smoke tests``."""
    recommendation: Advice
    next_event: tuple[str, datetime] | None
    progress: list[tuple[float, float, str]]
    """Place, width (both in per cent) and state of each step's mark."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything of the overview."""

    strips: list[Strip]
    last: Row | None
    alerts: list[Alert]
    """Open ones, the critical first."""
    environments: list[EnvironmentView]
    audit: list[Record]
    instances_healthy: int
    instances_total: int
    recent: Mapping[str, int]
    """Deployments that ended in the last day: ``total``, ``bad``."""
    open_alerts: int
    owed: list[RollbackReport]
    """Rollback reports that nobody has finished, the oldest first."""

    @property
    def instances_bad(self) -> int:
        """Nodes that should be healthy and are not."""
        return self.instances_total - self.instances_healthy

    @property
    def instances_note(self) -> str:
        """``2 of 4 healthy``."""
        return f"{self.instances_healthy} of {self.instances_total} healthy" if self.instances_total else "none runs"

    @property
    def recent_note(self) -> str:
        """How many of them went wrong."""
        return f"{self.recent['bad']} taken back or failed" if self.recent["bad"] else ""


def listed(user: Any) -> QuerySet[Deployment]:
    """Deployments that a person may see, with what a row shows."""
    return with_row(Deployment.objects.visible_to(user))


def with_row(queryset: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """With releases, environment and the count of judged rules."""
    current = Q(verdicts__is_current=True)
    counted = queryset.annotate(
        rules_judged=Count("verdicts", filter=current),
        rules_passed=Count("verdicts", filter=current & Q(verdicts__verdict="pass")),
    )
    return counted.select_related("environment", "from_release", "to_release").order_by("-id")


def row(deployment: Deployment, now: datetime | None = None) -> Row:
    """The row of a deployment that ``with_row`` loaded."""
    is_running = deployment.status not in TERMINAL
    end = deployment.finished_at or ((now or timezone.now()) if is_running else None)
    judged, passed = deployment.rules_judged, deployment.rules_passed  # type: ignore[attr-defined]
    duration = words.seconds(deployment.started_at, end)
    return Row(deployment, duration, is_running, f"{passed} of {judged}" if judged else "")


def filtered(queryset: QuerySet[Deployment], given: Mapping[str, Any]) -> QuerySet[Deployment]:
    """The deployments that match the cleaned values of ``ListFilter``."""
    if given.get("environment"):
        queryset = queryset.filter(environment__name=given["environment"])
    if given.get("state"):
        queryset = queryset.filter(status__in=STATE_FILTERS[given["state"]][1])
    if given.get("version"):
        version = given["version"]
        queryset = queryset.filter(
            Q(to_release__version__icontains=version) | Q(from_release__version__icontains=version)
        )
    if given.get("who"):
        queryset = queryset.filter(requested_by_name__icontains=given["who"])
    if given.get("since"):
        queryset = queryset.filter(created_at__gte=_midnight(given["since"]))
    if given.get("until"):
        queryset = queryset.filter(created_at__lt=_midnight(given["until"]) + timedelta(days=1))
    return queryset


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def page_of(queryset: QuerySet[Any], number: str | None, size: int = PAGE_SIZE) -> Page:
    """One page; a wrong number gives the nearest page."""
    return Paginator(queryset, size).get_page(number)


def overview(user: Any) -> Overview:
    """What the overview shows to a person."""
    views = environment_pages.environments(user)
    return _overview(views, Environment.objects.visible_to(user))


def overview_everywhere() -> Overview:
    """The overview of every environment, for the live hub."""
    return _overview(environment_pages.everywhere(), Environment.objects.all())


def _overview(views: list[EnvironmentView], scope: QuerySet[Environment]) -> Overview:
    deployments: Any = Deployment.objects.filter(environment__in=scope)
    strips = [strip(item) for item in _under_way(deployments)]
    last = with_row(deployments.begun().filter(status__in=TERMINAL)).order_by("-finished_at", "-id").first()
    day = timezone.now() - timedelta(days=1)
    recent = (
        deployments.begun()
        .filter(finished_at__gte=day)
        .aggregate(total=Count("pk"), bad=Count("pk", filter=Q(status__in=(Status.ROLLED_BACK, Status.FAILED))))
    )
    readings = [item for view in views for slot in view.slots if slot.status != "stopped" for item in slot.readings]
    open_alerts = open_in(scope)
    return Overview(
        strips=strips,
        last=row(last) if last else None,
        alerts=list(open_alerts[:SHOWN_ALERTS]),
        environments=views,
        audit=list(Record.objects.filter(environment__in=scope.values("name")).order_by("-id")[:8]),
        instances_healthy=sum(1 for item in readings if item.status == "pass"),
        instances_total=len(readings),
        recent=recent,
        open_alerts=open_alerts.count(),
        owed=list(owed_in(scope)),
    )


def _under_way(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    return (
        deployments.filter(status__in=UNFINISHED)
        .select_related(
            "environment", "from_release", "to_release", "from_slot", "to_slot", "reverts__to_release", "reverted_by"
        )
        .prefetch_related(Prefetch("steps", Step.objects.order_by("index")), "verdicts")
        .order_by("environment__position", "-id")
    )


def strip(deployment: Deployment) -> Strip:
    """The strip of a deployment whose steps and verdicts are loaded."""
    steps = list(deployment.steps.all())
    return Strip(
        deployment=deployment,
        title=words.title(deployment),
        result=words.result(deployment, steps),
        position=position(deployment, steps),
        recommendation=advice(deployment, steps),
        next_event=queries.next_event(deployment),
        progress=progress(steps),
    )


def progress(steps: Sequence[Step]) -> list[tuple[float, float, str]]:
    """One mark a step, side by side with a gap of 0.6 %."""
    width = 100 / len(steps) if steps else 0
    return [(round(width * place, 2), round(width - 0.6, 2), step.status) for place, step in enumerate(steps)]


def position(deployment: Deployment, steps: list[Step]) -> str:
    """``Step 4 of 11: Smoke tests``: the step that is at work, or the next one; empty after the end."""
    waiting = (StepStatus.RUNNING, StepStatus.PENDING)
    current = next((step for step in steps if step.status in waiting), None)
    if current is None or deployment.is_finished:
        return ""
    return f"Step {steps.index(current) + 1} of {len(steps)}: {current.title}"


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release in the list."""

    release: Release
    where: list[str]
    """Environments and slots that run it, for example ``production, live on green``."""
    deployed: int
    bad: int


def releases_visible_to(user: Any) -> QuerySet[Release]:
    """Releases of services of which a person may see an environment."""
    services = Service.objects.filter(environments__in=Environment.objects.visible_to(user))
    return Release.objects.filter(service__in=services).select_related("service", "created_by")


def counted(queryset: QuerySet[Release]) -> QuerySet[Release]:
    """With the number of deployments and of those that were rolled back or failed."""
    bad = Q(deployments__status__in=(Status.ROLLED_BACK, Status.FAILED))
    return queryset.annotate(deployed=Count("deployments"), bad=Count("deployments", filter=bad)).order_by("-sort_key")


def running_versions(user: Any) -> dict[tuple[int, str], list[str]]:
    """Where each version runs, by service and version."""
    found: dict[tuple[int, str], list[str]] = {}
    for environment in Environment.objects.visible_to(user).prefetch_related("slots"):
        for slot in environment.slots.all():
            if slot.version and slot.role != slot.Role.STOPPED:
                place = f"{environment.name}, {slot.get_role_display().lower()} on {slot.name}"
                found.setdefault((environment.service_id, slot.version), []).append(place)
    return found


def release_row(release: Release, running: Mapping[tuple[int, str], list[str]]) -> ReleaseRow:
    """The row of a release that ``counted`` loaded."""
    where = running.get((release.service_id, release.version), [])
    return ReleaseRow(release, where, release.deployed, release.bad)  # type: ignore[attr-defined]
