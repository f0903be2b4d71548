"""Requests that wait for another person, and what came of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from deployments.approval_subject import SHORT
from deployments.models.deployment import Deployment
from deployments.states import ApprovalState
from environments.models import Environment

STATE_CHOICES = [(state.value, state.value.capitalize()) for state in ApprovalState]


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def visible_to(self, user) -> ApprovalQuerySet:  # type: ignore[no-untyped-def]
        """Approvals of environments that a person may see."""
        return self.filter(deployment__environment__in=Environment.objects.visible_to(user))

    def waiting(self) -> ApprovalQuerySet:
        """Those on which nobody has decided."""
        return self.filter(state=ApprovalState.WAITING)


class Approval(models.Model):
    """The review of one deployment before it starts. It holds for its subject alone (``approval_subject.py``)."""

    deployment = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="approval")
    state = models.CharField(max_length=10, choices=STATE_CHOICES, default=ApprovalState.WAITING)
    subject = models.JSONField(help_text="What will happen, as it was asked for.")
    subject_hash = models.CharField(max_length=64, help_text="SHA-256 of the subject's canonical JSON.")
    reason = models.TextField(help_text="Why it was asked for.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    requested_by_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    decided_by_name = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)
    changes = models.JSONField(default=list, help_text="Fallen: each member that changed, from and to.")

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="waiting"), name="approval_waiting"),
            models.Index(fields=["-decided_at"], name="approval_decided"),
        ]

    def __str__(self) -> str:
        return f"approval {self.pk} of deployment {self.deployment_id}: {self.state}"

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has decided."""
        return self.state == ApprovalState.WAITING

    @property
    def short_hash(self) -> str:
        """The first digits of the hash."""
        return self.subject_hash[:SHORT]

    def is_own(self, user) -> bool:  # type: ignore[no-untyped-def]
        """Whether a person asked for this, with whatever session or key."""
        return user is not None and self.requested_by_id is not None and user.pk == self.requested_by_id
