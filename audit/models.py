"""The audit trail: one row an act, written in the transaction of the act."""

from __future__ import annotations

import uuid
from enum import StrEnum

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Outcome(StrEnum):
    """How an act ended; ``intent`` is written before an outside effect, the others after."""

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"


OUTCOME_CHOICES = [("intent", "Intended"), ("done", "Done"), ("failed", "Failed"), ("denied", "Denied")]


class Record(models.Model):
    """One audited act."""

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(db_default=Now(), db_index=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150)
    via = models.CharField(max_length=10)
    role = models.CharField(max_length=20, blank=True)
    action = models.CharField(max_length=60, db_index=True)
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=40, blank=True)
    object_name = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=60, blank=True, db_index=True)
    outcome = models.CharField(max_length=10, choices=OUTCOME_CHOICES, default=Outcome.DONE)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["object_type", "object_id", "-id"], name="audit_object")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name} {self.action} {self.object_name}"

    @property
    def label(self) -> str:
        """The action in words."""
        from audit import registry

        return registry.actions().get(self.action, self.action)
