"""Checklists: a definition with its versions, one run for each expected occurrence, and its ticks."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from environments.models import Environment, Service


class Checklist(models.Model):
    """A list that is done again and again; what it says is in its versions."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="checklists")
    slug = models.SlugField(max_length=60, help_text="daily, weekly, monthly, deployment …")
    current = models.ForeignKey("ChecklistVersion", null=True, on_delete=models.PROTECT, related_name="+")
    retired_at = models.DateTimeField(null=True, help_text="No occurrence is expected any more; its runs stay.")

    class Meta:
        ordering = ("slug",)
        constraints = [models.UniqueConstraint(fields=["service", "slug"], name="checklist_slug")]

    def __str__(self) -> str:
        return self.slug


class ChecklistVersion(models.Model):
    """One text of a list; it never changes. Its form: ``checklist_format.py``."""

    checklist = models.ForeignKey(Checklist, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the text.")
    text = models.TextField(help_text="YAML.")
    source = models.CharField(max_length=200, blank=True, help_text="File that it came from; empty: edited here.")
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("-number",)
        constraints = [models.UniqueConstraint(fields=["checklist", "number"], name="checklist_version_number")]

    def __str__(self) -> str:
        return f"{self.checklist} version {self.number}"


class ChecklistRunQuerySet(models.QuerySet["ChecklistRun"]):
    def visible_to(self, user) -> ChecklistRunQuerySet:  # type: ignore[no-untyped-def]
        """Those of the environments that a person may see."""
        return self.filter(environment__in=Environment.objects.visible_to(user).values("pk"))


class ChecklistRun(models.Model):
    """One expected occurrence. It exists from the moment when it can be done, and for ever, done or missed."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        COMPLETE = "complete", "Complete"
        MISSED = "missed", "Missed"

    checklist = models.ForeignKey(Checklist, on_delete=models.PROTECT, related_name="runs")
    version = models.ForeignKey(ChecklistVersion, on_delete=models.PROTECT, related_name="runs")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="checklist_runs")
    period = models.CharField(
        max_length=60, help_text="2026-11-23, 2026-W48, 2026-11; for the deployment list the version of the release."
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    opens_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, help_text="Overdue from then on; the deployment list has none.")
    closes_at = models.DateTimeField(null=True, help_text="Missed when it is not complete by then.")
    assigned_to = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(null=True)
    touched_at = models.DateTimeField(null=True, help_text="Last tick or note, for “you stopped at item 6”.")
    completed_at = models.DateTimeField(null=True)
    completed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    deviations = models.PositiveSmallIntegerField(default=0, help_text="Counted when it was completed.")
    reminded_at = models.DateTimeField(null=True)

    objects = ChecklistRunQuerySet.as_manager()

    class Meta:
        ordering = ("-opens_at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=["checklist", "environment", "period"], name="one_run_of_a_period")
        ]
        indexes = [
            models.Index(fields=["environment", "-opens_at"], name="checklist_run_latest"),
            models.Index(fields=["closes_at"], condition=Q(status="open"), name="checklist_run_open"),
        ]

    def __str__(self) -> str:
        return f"{self.checklist} {self.period}"


class Tick(models.Model):
    """An answer to one item with the evidence of that moment. Taking it back keeps the row and who ticked."""

    run = models.ForeignKey(ChecklistRun, on_delete=models.PROTECT, related_name="ticks")
    item = models.SlugField(max_length=60, help_text="Id of the item in the run's version.")
    response = models.CharField(max_length=200)
    is_deviation = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    evidence = models.JSONField(default=dict, help_text="The Evidence read at the tick; empty when the item has none.")
    ticked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    ticked_at = models.DateTimeField()
    checked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    checked_at = models.DateTimeField(null=True, help_text="Items for two: another person saw it too.")
    unticked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    unticked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("ticked_at", "pk")
        constraints = [
            models.UniqueConstraint(fields=["run", "item"], condition=Q(unticked_at=None), name="one_tick_of_an_item")
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.item}"
