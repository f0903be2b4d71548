"""Reading rollback reports: lists, one report with its facts, and what is still owed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, F, Prefetch, Q, QuerySet
from django.utils import timezone

from alerts.models import Alert
from audit.models import Record
from deployments import metrics
from deployments.models import Deployment, Measurement, RollbackReport, Step, Trade, VerdictRow
from deployments.rollback_report_facts import DECISIONS, Facts, Source, back_at, facts
from environments.models import Environment
from runbooks.models import RunbookRun

MOST_ALERTS = 50
AROUND = timedelta(minutes=1)
"""So long after the end of a rollback an alert still belongs to it."""
STATES = {"owed": "Owed", "complete": "Complete"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is filtered by; empty means everything."""

    environment: str = ""
    state: str = ""
    version: str = ""
    deployment: int | None = None
    """Number of the deployment that was taken back, or of its rollback."""


def related(reports: QuerySet[RollbackReport]) -> QuerySet[RollbackReport]:
    """With both deployments, their releases and environment, and who finished it."""
    return reports.select_related(
        "rollback__environment__service",
        "rollback__to_release",
        "rollback__reverts__environment__service",
        "rollback__reverts__from_release",
        "rollback__reverts__to_release",
        "touched_by",
        "completed_by",
    )


def listed(user: Any, wanted: Wanted) -> QuerySet[RollbackReport]:
    """Reports that a person may see: owed ones first, then the newest. One query."""
    found = related(RollbackReport.objects.visible_to(user))
    if wanted.environment:
        found = found.filter(rollback__environment__name=wanted.environment)
    if wanted.state:
        found = found.filter(completed_at__isnull=wanted.state == "owed")
    if wanted.version:
        found = found.filter(rollback__reverts__to_release__version__icontains=wanted.version)
    if wanted.deployment is not None:
        found = found.filter(Q(rollback=wanted.deployment) | Q(rollback__reverts=wanted.deployment))
    return found.order_by(F("completed_at").desc(nulls_first=True), "-pk")


def owed_in(environments: QuerySet[Environment] | Collection[Environment]) -> QuerySet[RollbackReport]:
    """Reports that nobody has finished, the oldest first. One query."""
    return related(RollbackReport.objects.owed().filter(rollback__environment__in=environments)).order_by("pk")


def load(user: Any, pk: int) -> RollbackReport:
    """A report with what its page needs.

    Raises:
        RollbackReport.DoesNotExist: there is none that the person may see.
    """
    return with_evidence(related(RollbackReport.objects.visible_to(user))).get(pk=pk)


def with_evidence(reports: QuerySet[RollbackReport]) -> QuerySet[RollbackReport]:
    """With the steps of both deployments and the verdicts; three more queries."""
    steps = Step.objects.order_by("index")
    return reports.prefetch_related(
        Prefetch("rollback__steps", steps),
        Prefetch("rollback__reverts__verdicts", VerdictRow.objects.order_by("id")),
    )


def facts_of(report: RollbackReport) -> Facts:
    """The facts of a report that ``with_evidence`` loaded: as they were frozen, else as they are now (four queries)."""
    if report.completed_at is not None and report.facts:
        return Facts.from_json(report.facts)
    rollback = report.rollback
    failed = rollback.reverts
    assert failed is not None  # a rollback takes something back
    counted = Trade.objects.filter(deployment=failed).aggregate(
        total=Count("pk"), failed=Count("pk", filter=Q(outcome="failed"))
    )
    both = [str(failed.pk), str(rollback.pk)]
    return facts(
        Source(
            failed=failed,
            rollback=rollback,
            measured=_measured(failed, rollback),
            records=Record.objects.filter(object_type="deployment", object_id__in=both, action__in=DECISIONS),
            alerts=_alerts(failed, rollback),
            trades=counted["total"],
            trades_failed=counted["failed"],
        )
    )


def _measured(failed: Deployment, rollback: Deployment) -> list[Measurement]:
    """The bad release's numbers until the requests went back; the newest so many, oldest first."""
    rows = Measurement.objects.filter(deployment=failed, version=failed.to_release.version)
    if failed.promoted_at is not None:
        rows = rows.filter(at__gte=failed.promoted_at)
    if back := back_at(failed, rollback):
        rows = rows.filter(at__lte=back)
    return list(rows.order_by("-at")[: metrics.SERIES_LIMIT])[::-1]


def _alerts(failed: Deployment, rollback: Deployment) -> list[Alert]:
    """Alerts of the environment from the hand-over to shortly after the end of the rollback."""
    since = failed.handover_at or failed.created_at
    until = (rollback.finished_at or timezone.now()) + AROUND
    # A deployment may have run well for weeks; what was raised long before the rollback is not about it.
    since = max(since, rollback.created_at - timedelta(hours=1))
    found = Alert.objects.filter(environment=failed.environment_id, raised_at__gte=since, raised_at__lte=until)
    return list(found.order_by("raised_at")[:MOST_ALERTS])


def runbook_runs(report: RollbackReport) -> list[RunbookRun]:
    """Runs of runbooks about either deployment. One query."""
    about = [report.rollback_id, report.rollback.reverts_id]
    return list(RunbookRun.objects.filter(deployment__in=about).select_related("text").order_by("pk"))
