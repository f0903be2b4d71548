"""What happens to the databases by itself: a backup each day, and somebody is told when there is none."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Max, Min, Q
from django.utils import timezone

from accounts.domain import DomainError
from alerts.actions import raise_alert
from alerts.models import Alert
from audit.actors import system
from environments.models import Environment
from trading import database_events, database_runs, databases
from trading.models import DatabaseRun

EVERY = timedelta(hours=24)
"""A backup is due so long after the last one that was made, whoever asked for it."""
AGAIN = timedelta(hours=1)
"""After an attempt that failed, the next one is made so much later."""
TOO_OLD = timedelta(hours=25)
RING_AFTER = timedelta(seconds=2)
SCHEDULE = system("schedule")
REASON = "Daily backup"


def look() -> None:
    """One look at every environment; three queries when there is nothing to do."""
    now = timezone.now()
    database_runs.end_lost()
    waiting = DatabaseRun.objects.filter(status=DatabaseRun.Status.WAITING, requested_at__lt=now - RING_AFTER)
    for run_id in waiting.values_list("pk", flat=True):
        database_events.ring(run_id)
    backups = Q(database_runs__kind=DatabaseRun.Kind.BACKUP)
    made = backups & Q(database_runs__status=DatabaseRun.Status.SUCCEEDED)
    # Before the first deployment there is nothing to back up.
    live = Environment.objects.exclude(database={}).filter(live_slot__isnull=False)
    for environment in live.annotate(
        made_at=Max("database_runs__finished_at", filter=made),
        tried_at=Max("database_runs__requested_at", filter=backups),
        first_at=Min("database_runs__requested_at", filter=backups),
    ):
        _look_at(environment, now)


def _look_at(environment: Environment, now: datetime) -> None:
    made, tried, first = environment.made_at, environment.tried_at, environment.first_at  # type: ignore[attr-defined]
    if (made is None or now - made > EVERY) and (tried is None or now - tried > AGAIN):
        try:
            databases.back_up(SCHEDULE, environment, REASON)
        except DomainError:  # something else is under way with it: at the next look
            return
    since = made or first
    if since is not None and now - since > TOO_OLD:
        raise_alert(
            database_runs.ALERT,
            database_runs.age_key(environment),
            severity=Alert.Severity.CRITICAL,
            title=f"No backup of {environment.name} for {(now - since).total_seconds() / 3600:.0f} hours",
            environment=environment,
            detail="The daily backup fails, or no worker carries it out. What is written since the last one would be "
            "lost with the database.",
            link=database_runs.page_of(environment),
        )
