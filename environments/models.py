"""The inventory: what is operated, where it runs, and what is wanted of it.

``Environment`` holds the desired state of its load balancer and of the trading role, each with the fencing epoch it was
decided with; the adapters bring the world to it and read it back.
"""

from __future__ import annotations

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from accounts.roles import PERMISSION_WORDS, VIEW
from environments.policy import Policy


class Service(models.Model):
    """One automated trading system."""

    name = models.SlugField(max_length=60, unique=True)

    def __str__(self) -> str:
        return self.name


class EnvironmentQuerySet(models.QuerySet["Environment"]):
    def visible_to(self, user) -> EnvironmentQuerySet:  # type: ignore[no-untyped-def]
        """Environments that a person may see; none for somebody inactive or unknown."""
        from environments.permissions import visible_environments

        return visible_environments(self, user)


class Environment(models.Model):
    """A place where a service runs: production, staging, development."""

    class Kind(models.TextChoices):
        PRODUCTION = "production", "Production"
        STAGING = "staging", "Staging"
        DEVELOPMENT = "development", "Development"

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="environments")
    name = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    position = models.PositiveSmallIntegerField(default=0)
    front_url = models.CharField(max_length=200, help_text="Where the outside reaches the service.")
    router = models.JSONField(help_text="How to reach the load balancer: address and backend.")
    driver = models.JSONField(help_text="How to reach the process supervisor: socket and root folder.")
    policy_data = models.JSONField(default=dict)
    exchange = models.JSONField(default=dict, help_text="How to reach the account at the exchange; empty without one.")
    database = models.JSONField(default=dict, help_text="The trading system's database; empty when not operated here.")
    timezone = models.CharField(max_length=60, default="UTC", help_text="In which its checklists are due.")
    calendar = models.JSONField(default=dict, help_text="Trading days: days of the week, and holidays.")
    latched_at = models.DateTimeField(null=True, help_text="The kill switch is engaged since; the latch file leads.")

    live_slot = models.ForeignKey("Slot", null=True, on_delete=models.SET_NULL, related_name="+")
    desired_weights = models.JSONField(default=dict, help_text="Weight (0 to 100) of each slot, by name.")
    traffic_epoch = models.BigIntegerField(default=0, help_text="Epoch with which the weights were decided.")
    writer_slot = models.ForeignKey("Slot", null=True, on_delete=models.SET_NULL, related_name="+")
    writer_epoch = models.BigIntegerField(default=0, help_text="Epoch with which the trading role was granted.")

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name")
        # "view_environment" is Django's own; the words are those of the role table.
        permissions = [(name, f"Can {words}") for name, words in PERMISSION_WORDS.items() if name != VIEW]

    def __str__(self) -> str:
        return self.name

    @property
    def policy(self) -> Policy:
        """How this environment is deployed to and watched."""
        return Policy.model_validate(self.policy_data)

    @property
    def is_production(self) -> bool:
        """Whether real money is at risk here."""
        return self.kind == self.Kind.PRODUCTION

    @property
    def needs_second_person(self) -> bool:
        """Whether also somebody who may deploy here needs another person's approval."""
        wanted = self.policy.approval.second_person
        return self.is_production if wanted is None else wanted

    @property
    def is_gated(self) -> bool:
        """Whether the deployment gate is asked here."""
        wanted = self.policy.gate.enabled
        return self.is_production if wanted is None else wanted


class EnvironmentUserObjectPermission(UserObjectPermissionBase):
    content_object = models.ForeignKey(Environment, on_delete=models.CASCADE)


class EnvironmentGroupObjectPermission(GroupObjectPermissionBase):
    content_object = models.ForeignKey(Environment, on_delete=models.CASCADE)


class Slot(models.Model):
    """One of the two sides, blue or green, of an environment."""

    class Role(models.TextChoices):
        LIVE = "live", "Live"
        PREVIEW = "preview", "Preview"
        STANDBY = "standby", "Standby"
        STOPPED = "stopped", "Stopped"

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="slots")
    name = models.SlugField(max_length=20)
    role = models.CharField(max_length=10, choices=Role, default=Role.STOPPED)
    version = models.CharField(max_length=40, blank=True, help_text="Release last put into this slot.")
    digest = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = [models.UniqueConstraint(fields=["environment", "name"], name="slot_name")]

    def __str__(self) -> str:
        return f"{self.environment.name}-{self.name}"


class Instance(models.Model):
    """One process of a slot."""

    slot = models.ForeignKey(Slot, on_delete=models.CASCADE, related_name="instances")
    name = models.CharField(
        max_length=80, unique=True, help_text="Also the supervisor's and the load balancer's name for it."
    )
    base_url = models.CharField(max_length=200)
    token_ref = models.CharField(max_length=200, help_text="Where the bearer token is: env:NAME or file:PATH.")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class SampleRow(models.Model):
    """One probe of one instance, kept for the baseline and the charts and pruned after two hours."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    ok = models.BooleanField()
    data = models.JSONField(help_text="The Sample (environments/sample.py).")

    class Meta:
        indexes = [models.Index(fields=["instance", "-at"], name="sample_latest")]

    def __str__(self) -> str:
        return f"{self.instance_id} {self.at:%H:%M:%S}"
