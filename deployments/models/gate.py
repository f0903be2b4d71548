"""What the deployment gate looks at beside the releases: reports about a build, and freezes."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from environments.models import Environment, Service


class TestReport(models.Model):
    """What the build system, or a person, reports about one artifact. The newest of a kind counts."""

    class Kind(models.TextChoices):
        TESTS = "tests", "Tests"
        REVIEW = "review", "Code review"
        BENCHMARKS = "benchmarks", "Benchmarks"

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="test_reports")
    digest = models.CharField(max_length=80, help_text="sha256:… of the artifact; the release may come later.")
    kind = models.CharField(max_length=12, choices=Kind)
    passed = models.BooleanField()
    summary = models.CharField(max_length=300, help_text="412 passed, 0 failed; reviewed by Mary.")
    data = models.JSONField(default=dict, blank=True, help_text="Counts, reviewers or figures, by kind.")
    url = models.CharField(max_length=300, blank=True, help_text="Where the whole report is.")
    reported_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    reported_by_name = models.CharField(max_length=150, help_text="With the key's name, when a key reported it.")
    reported_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-pk",)
        indexes = [models.Index(fields=["service", "digest", "kind", "-id"], name="test_report_latest")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.digest[:19]}"


class Freeze(models.Model):
    """A time in which nothing is deployed to an environment. Rollback is never frozen."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="freezes")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField()
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField(db_default=Now())
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-starts_at",)
        indexes = [models.Index(fields=["environment", "ends_at"], condition=Q(lifted_at=None), name="freeze_in_force")]

    def __str__(self) -> str:
        return f"{self.environment_id} frozen until {self.ends_at:%Y-%m-%d %H:%M}"
