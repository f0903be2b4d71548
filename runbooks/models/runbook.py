"""Runbooks: the texts that were ever run, the runs, and what was done at each step."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from alerts.models import Alert
from environments.models import Environment


class RunbookText(models.Model):
    """One text of a runbook, kept when it is first seen, so that a run can always be read as it was."""

    slug = models.SlugField(max_length=60)
    title = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the file's bytes.")
    text = models.TextField(help_text="Markdown with front matter, see ``runbook_format.py``.")
    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-first_seen_at",)

    def __str__(self) -> str:
        return f"{self.slug} {self.digest[:12]}"


class RunbookRunQuerySet(models.QuerySet["RunbookRun"]):
    def visible_to(self, user) -> RunbookRunQuerySet:  # type: ignore[no-untyped-def]
        """Those of the environments that a person may see."""
        return self.filter(environment__in=Environment.objects.visible_to(user).values("pk"))


class RunbookRun(models.Model):
    """One carrying out of a runbook. Leaving the page keeps it; another person may take over."""

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        RESOLVED = "resolved", "Finished: resolved"
        UNRESOLVED = "unresolved", "Finished: not resolved"
        ABANDONED = "abandoned", "Abandoned"

    text = models.ForeignKey(RunbookText, on_delete=models.PROTECT, related_name="runs")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="runbook_runs")
    status = models.CharField(max_length=12, choices=Status, default=Status.RUNNING)
    step = models.PositiveSmallIntegerField(default=1, help_text="Number of the current step.")
    alert = models.ForeignKey(Alert, null=True, on_delete=models.SET_NULL, related_name="runbook_runs")
    deployment = models.PositiveBigIntegerField(null=True, help_text="Number of the deployment that it is about.")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(db_default=Now())
    operator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text="Who has control now."
    )
    touched_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    summary = models.TextField(blank=True, help_text="Written at the end, by whoever finished it.")
    notes = models.TextField(blank=True, help_text="Free notes, saved while they are written.")
    revision = models.PositiveIntegerField(default=0, help_text="Grows with each change; a form carries it.")

    objects = RunbookRunQuerySet.as_manager()

    class Meta:
        ordering = ("-started_at", "-pk")
        indexes = [models.Index(fields=["environment", "-started_at"], name="runbook_run_latest")]

    def __str__(self) -> str:
        return f"runbook run {self.pk}"

    @property
    def is_running(self) -> bool:
        """Whether it is not finished."""
        return self.status == self.Status.RUNNING


class StepVisit(models.Model):
    """One visit of a step: a branch may lead to the same step again."""

    class Outcome(models.TextChoices):
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        SKIPPED = "skipped", "Skipped"

    run = models.ForeignKey(RunbookRun, on_delete=models.CASCADE, related_name="steps")
    step = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True, help_text="Empty while it is current.")
    reason = models.TextField(blank=True, help_text="Why it failed or was skipped.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(fields=["run"], condition=Q(finished_at=None), name="one_current_step_of_a_run")
        ]

    def __str__(self) -> str:
        return f"{self.run_id}.{self.step}"


class StepOutput(models.Model):
    """What a diagnostic or a remedy of a step gave."""

    class Kind(models.TextChoices):
        DIAGNOSTIC = "diagnostic", "Diagnostic"
        REMEDY = "remedy", "Remedy"

    visit = models.ForeignKey(StepVisit, on_delete=models.CASCADE, related_name="outputs")
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=80)
    title = models.CharField(max_length=200)
    verdict = models.CharField(max_length=10, blank=True, help_text="pass, warn, fail or no_data.")
    value = models.TextField(blank=True)
    output = models.TextField(blank=True, help_text="At most 20,000 characters.")
    link = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.visit_id} {self.name}"
