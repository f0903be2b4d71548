"""Emergency stops, as the journal file of each tells them. The file is the truth, this is its copy."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from environments.models import Environment


class EmergencyStop(models.Model):
    """One press of the kill switch in one environment."""

    class Outcome(models.TextChoices):
        FLAT = "FLAT", "Flat: nothing is left at the exchange, and the writer is halted"
        NOT_FLAT = "NOT_FLAT", "Not flat: something is left"
        UNCONFIRMED = "UNCONFIRMED", "Not confirmed: the exchange could not be read"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="emergency_stops")
    drill = models.BooleanField(default=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150)
    via = models.CharField(max_length=20, help_text="page, api, opsctl or monitor.")
    reason = models.TextField(blank=True, help_text="Empty: not stated yet.")
    pressed_at = models.DateTimeField()
    halted_at = models.DateTimeField(null=True, help_text="The writer's halt was read back.")
    clean_at = models.DateTimeField(null=True, help_text="First read of the exchange with nothing left.")
    flat_at = models.DateTimeField(null=True, help_text="Second such read, with the writer halted.")
    finished_at = models.DateTimeField(null=True, help_text="The outcome was reached.")
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True)
    remaining = models.JSONField(default=dict, help_text="What was left at the last read: orders and positions.")
    journal = models.JSONField(default=list, help_text="Every entry of the journal file so far.")
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=310, blank=True, help_text="Who asked for the release, and who approved.")

    class Meta:
        ordering = ("-pressed_at",)
        indexes = [models.Index(fields=["environment", "-pressed_at"], name="stop_latest")]

    def __str__(self) -> str:
        return f"{'drill' if self.drill else 'emergency stop'} {self.environment.name} {self.pressed_at:%H:%M:%S}"
