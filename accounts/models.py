"""People and their API keys."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from accounts.roles import Role


class User(AbstractUser):
    """A person. The role is the group; what it permits is granted per environment (``accounts/roles.py``)."""

    class Meta(AbstractUser.Meta):
        pass

    @property
    def role(self) -> str:
        """Admin, Operator or Developer; empty without a role."""
        names = {group.name for group in self.groups.all()}
        return next((role.value for role in Role if role.value in names), "")

    @property
    def display_name(self) -> str:
        """The full name, else the user name."""
        return self.get_full_name() or self.username


class APIKey(models.Model):
    """A bearer key of a person: ``opsc_<prefix>_<secret>``; only the SHA-256 of the secret is kept."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True)
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    LIFETIME = timedelta(days=90)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} (opsc_{self.prefix}_…)"

    @property
    def is_usable(self) -> bool:
        """Neither revoked nor expired, and its owner is active."""
        return self.revoked_at is None and self.expires_at > timezone.now() and self.owner.is_active


class IdempotencyKey(models.Model):
    """The answer to a mutation, kept under the key its caller sent, so that a repeat changes nothing."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    request = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField()
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="one_answer_per_key")]

    def __str__(self) -> str:
        return f"{self.owner}: {self.key}"
