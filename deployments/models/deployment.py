"""Deployments and their steps. The rows are the queue of the engine."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from deployments.models.release import Release
from deployments.states import ACTIVE, TERMINAL, Status, StepStatus, may_follow
from environments.models import Environment, Slot

STATUS_CHOICES = [(status.value, status.value.replace("_", " ").capitalize()) for status in Status]
STEP_CHOICES = [(status.value, status.value.capitalize()) for status in StepStatus]


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def visible_to(self, user) -> DeploymentQuerySet:  # type: ignore[no-untyped-def]
        """Deployments of environments that a person may see."""
        return self.filter(environment__in=Environment.objects.visible_to(user))

    def active(self) -> DeploymentQuerySet:
        """Those on which the engine works."""
        return self.filter(status__in=ACTIVE)

    def begun(self) -> DeploymentQuerySet:
        """Without requests that wait, and those that ended without an approval."""
        return self.exclude(status=Status.AWAITING_APPROVAL).exclude(status=Status.ABORTED, started_at=None)


class Deployment(models.Model):
    """One release brought to one environment; a rollback is a deployment with ``reverts`` set."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="deployments")
    from_release = models.ForeignKey(Release, null=True, on_delete=models.PROTECT, related_name="+")
    to_release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="deployments")
    from_slot = models.ForeignKey(Slot, null=True, on_delete=models.PROTECT, related_name="+")
    to_slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="+")
    strategy = models.CharField(max_length=20)
    reverts = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="reverted_by")
    status = models.CharField(max_length=20, choices=STATUS_CHOICES, default=Status.PENDING)
    reason = models.TextField()
    failure_reason = models.TextField(blank=True)
    large_change_reason = models.TextField(blank=True, help_text="Why a large change goes out in one piece.")
    overrides = models.JSONField(
        default=list, help_text="Checks that an Admin overrode: name, title and what they said."
    )
    override_reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    requested_by_name = models.CharField(max_length=150)
    policy_data = models.JSONField(default=dict, help_text="The environment's policy when the deployment was started.")

    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    handover_at = models.DateTimeField(null=True, blank=True, help_text="From here on only a rollback leads back.")
    promoted_at = models.DateTimeField(null=True, blank=True, help_text="All new requests go to the new slot since.")
    finished_at = models.DateTimeField(null=True, blank=True)
    fault_after = models.DateTimeField(
        null=True, blank=True, help_text="Last moment at which the fault was not there yet."
    )
    traffic_back_at = models.DateTimeField(null=True, blank=True)
    shift_ms = models.FloatField(null=True, blank=True)
    writer_gap_ms = models.FloatField(null=True, blank=True)
    writer_stopped_at = models.DateTimeField(null=True, blank=True)
    baseline = models.JSONField(null=True, blank=True, help_text="Summary of the live slot before the shift.")

    promote_requested_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(
        null=True, blank=True, help_text="Somebody kept the new version despite a recommendation."
    )
    interrupted_at = models.DateTimeField(
        null=True, blank=True, help_text="The kill switch stopped trading in the watch, which then begins anew."
    )
    held_at = models.DateTimeField(null=True, blank=True)

    lease_epoch = models.BigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    lease_holder = models.CharField(max_length=80, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When the engine looks again; null: not by itself.")

    objects = DeploymentQuerySet.as_manager()
    _kept_status: str | None = None

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["environment"],
                condition=Q(status__in=sorted(ACTIVE)),
                name="one_active_deployment",
                violation_error_message="Another deployment of this environment is not finished.",
            )
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(status__in=sorted(ACTIVE)), name="deployment_due")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.from_release or 'nothing'} to {self.to_release}, {self.environment}"

    def save(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        """Save, unless the status may not follow the one that was read.

        Raises:
            ValueError: it may not (``states.TRANSITIONS``); whoever wrote it has a defect.
        """
        kept = self._kept_status
        if kept is not None and kept != self.status and not may_follow(kept, self.status):
            raise ValueError(f"deployment {self.pk} cannot go from {kept} to {self.status}")
        super().save(*args, **kwargs)
        self._kept_status = self.status

    @classmethod
    def from_db(cls, db, field_names, values) -> Deployment:  # type: ignore[no-untyped-def]
        """A row as it is kept; its status is remembered for ``save``."""
        found: Deployment = super().from_db(db, field_names, values)
        found._kept_status = found.__dict__.get("status")
        return found

    def refresh_from_db(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        """The same for a row that is read again."""
        super().refresh_from_db(*args, **kwargs)
        self._kept_status = self.__dict__.get("status")

    @property
    def is_finished(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self.status in TERMINAL

    @property
    def never_began(self) -> bool:
        """Whether it was a request that ended without an approval."""
        return self.status == Status.ABORTED and self.started_at is None

    @property
    def is_rollback(self) -> bool:
        """Whether this brings back an earlier release."""
        return self.reverts_id is not None

    @property
    def state_token(self) -> str:
        """What an action form was drawn from; a change of it makes the form stale.

        What the engine does by itself within a phase does not count: a form to abort or to roll back that somebody
        opened a moment earlier means the same after the next step.
        """
        phase = "promoted" if self.promoted_at else ("handover" if self.handover_at else "before")
        moves = self.status in (Status.PENDING, Status.RUNNING, Status.WATCHING)
        return f"{Status.RUNNING if moves else self.status}.{phase}"


class Step(models.Model):
    """One step of the plan of a deployment."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="steps")
    index = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=40)
    title = models.CharField(max_length=80)
    queue = models.CharField(max_length=20, default="default")
    params = models.JSONField(default=dict)
    status = models.CharField(max_length=20, choices=STEP_CHOICES, default=StepStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    detail = models.TextField(blank=True)
    data = models.JSONField(default=dict, help_text="What the step keeps between two looks.")

    class Meta:
        ordering = ("index",)
        constraints = [models.UniqueConstraint(fields=["deployment", "index"], name="step_index")]

    def __str__(self) -> str:
        return f"{self.deployment_id}.{self.index} {self.name}"
