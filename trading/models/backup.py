"""Copies of a trading system's database: made, verified, restored."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from environments.models import Environment


class DatabaseRunQuerySet(models.QuerySet["DatabaseRun"]):
    def visible_to(self, user) -> DatabaseRunQuerySet:  # type: ignore[no-untyped-def]
        """Runs in the environments that a person may see."""
        return self.filter(environment__in=Environment.objects.visible_to(user).values("pk"))

    def under_way(self) -> DatabaseRunQuerySet:
        """Those that are not finished; at most one in an environment."""
        return self.filter(status__in=(DatabaseRun.Status.WAITING, DatabaseRun.Status.RUNNING))

    def backups(self) -> DatabaseRunQuerySet:
        """Backups that were made, also those whose file was removed since."""
        return self.filter(kind=DatabaseRun.Kind.BACKUP, status=DatabaseRun.Status.SUCCEEDED)


class DatabaseRun(models.Model):
    """One backup, verification or restore, from the request to its end."""

    class Kind(models.TextChoices):
        BACKUP = "backup", "Backup"
        VERIFY = "verify", "Verification"
        RESTORE = "restore", "Restore"

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Done"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="database_runs")
    kind = models.CharField(max_length=10, choices=Kind)
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    backup = models.ForeignKey("self", null=True, on_delete=models.PROTECT, help_text="What is verified or restored.")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150)
    reason = models.TextField()
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True, help_text="Last sign of life of the worker that carries it out.")
    finished_at = models.DateTimeField(null=True)
    progress = models.PositiveSmallIntegerField(
        default=0, help_text="Percent, 0 to 100; read from what the tool reports."
    )
    detail = models.TextField(blank=True, help_text="What it does now, or how it ended.")
    path = models.CharField(max_length=400, blank=True)
    size = models.BigIntegerField(null=True, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict, help_text="Rows of each table and what else was seen.")

    objects = DatabaseRunQuerySet.as_manager()

    class Meta:
        ordering = ("-requested_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["environment"], condition=models.Q(status__in=("waiting", "running")), name="one_database_run"
            )
        ]
        indexes = [models.Index(fields=["environment", "-requested_at"], name="database_run_latest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.requested_at:%Y-%m-%d %H:%M:%S}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in (self.Status.SUCCEEDED, self.Status.FAILED)

    @property
    def has_file(self) -> bool:
        """Whether it is a backup whose file is kept."""
        return self.kind == self.Kind.BACKUP and self.status == self.Status.SUCCEEDED and bool(self.path)

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()
