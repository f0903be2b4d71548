"""Leave to trade again: asked for by one person after the checks, given by another."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from environments.models import Environment
from trading.models.stop import EmergencyStop


class ClearanceQuerySet(models.QuerySet["Clearance"]):
    def visible_to(self, user) -> ClearanceQuerySet:  # type: ignore[no-untyped-def]
        """Those of the environments that a person may see."""
        return self.filter(environment__in=Environment.objects.visible_to(user).values("pk"))

    def waiting(self) -> ClearanceQuerySet:
        """Those on which nobody has decided."""
        return self.filter(status=Clearance.Status.WAITING)

    def due(self) -> ClearanceQuerySet:
        """Approved, and neither done nor given up."""
        return self.filter(status=Clearance.Status.APPROVED, done_at=None, failed_at=None)


class Clearance(models.Model):
    """One request. It falls when what it was asked for has changed meanwhile (``subject``)."""

    class Kind(models.TextChoices):
        RELEASE = "release", "Release the kill switch"
        RESUME = "resume", "Resume trading"

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting for another person"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"
        FELL = "fell", "Fell: something changed"
        EXPIRED = "expired", "Expired"

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="clearances")
    kind = models.CharField(max_length=10, choices=Kind)
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    stop = models.ForeignKey(EmergencyStop, null=True, on_delete=models.PROTECT, related_name="clearances")
    subject = models.CharField(max_length=64, help_text="SHA-256 of what the approver sees.")
    facts = models.JSONField(default=dict, help_text="What the approver sees; the hash is of its canonical JSON.")
    changes = models.JSONField(default=list, help_text="Fell: each member that changed, from and to.")
    answers = models.JSONField(default=list, help_text="Each question of the checks with its answer and what was seen.")
    reason = models.TextField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.TextField(blank=True)
    done_at = models.DateTimeField(null=True, help_text="What was approved was done and read back.")
    failed_at = models.DateTimeField(null=True, help_text="What was approved could not be done; it is not tried again.")
    detail = models.TextField(blank=True, help_text="What was read back, or why it could not be done.")

    objects = ClearanceQuerySet.as_manager()

    class Meta:
        ordering = ("-requested_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "kind"], condition=models.Q(status="waiting"), name="one_waiting_clearance"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.environment.name}"

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has decided."""
        return self.status == self.Status.WAITING

    @property
    def is_under_way(self) -> bool:
        """Whether it was approved and is being carried out."""
        return self.status == self.Status.APPROVED and self.done_at is None and self.failed_at is None

    @property
    def shown_status(self) -> str:
        """Where it stands, with what became of an approval: ``done`` or ``failed``."""
        return "done" if self.done_at else "failed" if self.failed_at else self.status

    def is_own(self, user) -> bool:  # type: ignore[no-untyped-def]
        """Whether a person asked for this, with whatever session or key."""
        return user is not None and user.pk == self.requested_by_id
