"""The report after a rollback: what failed, why the rollback was needed, how to prevent it (specification, part 4)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from deployments.models.deployment import Deployment
from environments.models import Environment


class RollbackReportQuerySet(models.QuerySet["RollbackReport"]):
    def visible_to(self, user) -> RollbackReportQuerySet:  # type: ignore[no-untyped-def]
        """Reports of environments that a person may see."""
        return self.filter(rollback__environment__in=Environment.objects.visible_to(user))

    def owed(self) -> RollbackReportQuerySet:
        """Those that nobody has finished."""
        return self.filter(completed_at=None)


class RollbackReport(models.Model):
    """One report for each rollback; it exists from the moment when the rollback is asked for."""

    rollback = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="rollback_report")
    facts = models.JSONField(default=dict, help_text="Timeline and measurements as they were when it was finished.")
    what_failed = models.TextField(blank=True)
    why_rollback = models.TextField(blank=True)
    prevention = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=0, help_text="Grows with each change; a form carries it.")
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(null=True)
    touched_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    completed_at = models.DateTimeField(null=True)
    completed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    objects = RollbackReportQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        indexes = [models.Index(fields=["id"], condition=Q(completed_at=None), name="rollback_report_owed")]

    def __str__(self) -> str:
        return f"report of rollback {self.rollback_id}"
