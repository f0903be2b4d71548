"""Copies of a trading system's database: made, verified, restored."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from environments.models import Environment


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
    finished_at = models.DateTimeField(null=True)
    progress = models.PositiveSmallIntegerField(
        default=0, help_text="Percent, 0 to 100; read from what the tool reports."
    )
    detail = models.TextField(blank=True, help_text="What it does now, or how it ended.")
    path = models.CharField(max_length=400, blank=True)
    size = models.BigIntegerField(null=True, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict, help_text="Rows of each table and what else was seen.")

    class Meta:
        ordering = ("-requested_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["environment"], condition=models.Q(status__in=("waiting", "running")), name="one_database_run"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.environment_id} {self.status}"
