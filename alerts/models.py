"""Alerts: something that a person has to know, until somebody has acknowledged it and its cause is gone."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from environments.models import Environment


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, user) -> AlertQuerySet:  # type: ignore[no-untyped-def]
        """Alerts of the environments that a person may see, and those that concern no environment."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        return self.filter(Q(environment=None) | Q(environment__in=Environment.objects.visible_to(user).values("pk")))

    def open(self) -> AlertQuerySet:
        """Those whose cause is not gone, or that nobody has acknowledged."""
        return self.filter(Q(cleared_at=None) | Q(acknowledged_at=None))

    def waiting(self) -> AlertQuerySet:
        """Those that nobody has acknowledged."""
        return self.filter(acknowledged_at=None)


class Alert(models.Model):
    """One trouble, from its first sight to its end. The same trouble seen again while it lasts is counted here."""

    class Severity(models.TextChoices):
        CRITICAL = "critical", "Critical"
        WARNING = "warning", "Warning"

    environment = models.ForeignKey(Environment, null=True, on_delete=models.PROTECT, related_name="alerts")
    kind = models.SlugField(max_length=40, help_text="breach, mismatch, breaker, stop, checklist, key …")
    key = models.CharField(
        max_length=120, help_text="What it is about; with the kind it tells one trouble from another."
    )
    severity = models.CharField(max_length=10, choices=Severity)
    title = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    link = models.CharField(max_length=200, blank=True, help_text="Path of the page where something can be done.")
    raised_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="Last time that the cause was there.")
    times = models.PositiveIntegerField(default=1)
    cleared_at = models.DateTimeField(null=True, help_text="The cause is gone.")
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    note = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True, help_text="Last sent out.")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ("-raised_at",)
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], condition=Q(cleared_at=None), name="one_alert_of_a_trouble")
        ]
        indexes = [models.Index(fields=["environment", "-raised_at"], name="alert_latest")]

    def __str__(self) -> str:
        return self.title


class Delivery(models.Model):
    """One attempt to send an alert out."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=60, help_text="Name of the channel; never its address, which holds a secret.")
    at = models.DateTimeField()
    ok = models.BooleanField()
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.channel} {'ok' if self.ok else 'failed'}"
