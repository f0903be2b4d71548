"""Alerts: something that a person has to know, until somebody has acknowledged it and its cause is gone."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Exists, Q
from django.utils import timezone

from environments.models import Environment


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, user) -> AlertQuerySet:  # type: ignore[no-untyped-def]
        """Alerts of the environments that a person sees; with these also those that concern no environment."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        seen = Environment.objects.visible_to(user).order_by()
        return self.filter(Q(environment__in=seen.values("pk")) | Q(Exists(seen), environment=None))

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
    severity_since = models.DateTimeField(default=timezone.now, help_text="Since when it is that severe.")
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
    changed_at = models.DateTimeField(
        default=timezone.now, db_index=True, help_text="Last change that a page shows, a mere repeat aside."
    )

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ("-raised_at",)
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], condition=Q(cleared_at=None), name="one_alert_of_a_trouble")
        ]
        indexes = [
            models.Index(fields=["environment", "-raised_at"], name="alert_latest"),
            # The header of every page counts these.
            models.Index(fields=["environment", "severity"], condition=Q(acknowledged_at=None), name="alert_waiting"),
            models.Index(fields=["-severity_since"], condition=Q(severity="critical"), name="alert_critical"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_critical(self) -> bool:
        """Whether it cannot wait."""
        return self.severity == self.Severity.CRITICAL

    @property
    def state(self) -> str:
        """``open``, ``acknowledged``, ``over`` (its cause is gone and nobody has acknowledged it) or ``cleared``."""
        if self.cleared_at:
            return "cleared" if self.acknowledged_at else "over"
        return "acknowledged" if self.acknowledged_at else "open"


class Delivery(models.Model):
    """One attempt to send an alert out on one channel."""

    class Event(models.TextChoices):
        RAISED = "raised", "Raised"
        WORSE = "worse", "Became critical"
        REPEATED = "repeated", "Reminder"
        CLEARED = "cleared", "Cleared"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=60, help_text="Name of the channel; never its address, which holds a secret.")
    at = models.DateTimeField(help_text="When it was begun.")
    finished_at = models.DateTimeField(null=True)
    ok = models.BooleanField(null=True, help_text="Whether it arrived; null while it is under way.")
    detail = models.TextField(blank=True)
    event = models.CharField(max_length=10, choices=Event, default=Event.RAISED)
    severity = models.CharField(
        max_length=10, choices=Alert.Severity, default=Alert.Severity.WARNING, help_text="As it was told."
    )
    tries = models.PositiveSmallIntegerField(default=1, help_text="Which attempt for this message it is.")
    message = models.UUIDField(default=uuid.uuid4, help_text="The same for all alerts that went out in one message.")

    class Meta:
        ordering = ("-at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel"], condition=Q(ok=None), name="one_delivery_under_way")
        ]
        indexes = [
            models.Index(fields=["alert", "channel", "-id"], name="delivery_latest"),
            models.Index(fields=["channel", "-at"], name="delivery_of_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.state}"

    @property
    def state(self) -> str:
        """``sending``, ``sent`` or ``failed``."""
        return "sending" if self.ok is None else "sent" if self.ok else "failed"
