"""API keys, and the answers kept under an Idempotency-Key."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

from accounts.limits import Limits
from accounts.models.people import User


class APIKey(models.Model):
    """A bearer key of a person: ``opsc_<prefix>_<secret>``; only the SHA-256 of the secret is kept."""

    class Kind(models.TextChoices):
        KEY = "key", "API key"
        LOGIN = "login", "Command line sign-in"

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.KEY)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True)
    digest = models.CharField(max_length=64)
    scopes = models.JSONField(default=list, help_text="Permissions it may use; it may always look.")
    environments = models.JSONField(
        null=True, blank=True, help_text="Names of the environments it reaches; null for all of its owner's."
    )
    networks = models.JSONField(
        default=list, blank=True, help_text="Networks (CIDR) it may come from; empty for anywhere."
    )
    replaces = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaced_by", help_text="By rotation."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    reminded_at = models.DateTimeField(null=True, blank=True, help_text="When its owner was told that it ends soon.")

    LIFETIME = timedelta(days=90)
    DUE = timedelta(days=14)
    """How long before its end a key is due to be rotated."""
    SHORT_NOTICE = timedelta(days=3)
    """The same for a key that was made for less than that."""

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} (opsc_{self.prefix}_…)"

    @property
    def is_usable(self) -> bool:
        """Neither revoked nor expired, and its owner is active."""
        return self.revoked_at is None and self.expires_at > timezone.now() and self.owner.is_active

    @property
    def limits(self) -> Limits:
        """What the key leaves of its owner's rights."""
        return Limits(
            scopes=frozenset(self.scopes),
            environments=None if self.environments is None else frozenset(self.environments),
            networks=tuple(self.networks),
            ends_at=self.expires_at if self.kind == self.Kind.KEY else None,
        )

    @property
    def state(self) -> str:
        """``usable``, ``due``, ``replaced`` (works until its overlap ends), ``expired``, ``revoked`` or ``inactive``.

        Reads the owner and the newer key: load them with the key (``accounts.queries``).
        """
        now = timezone.now()
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at <= now:
            return "expired"
        if not self.owner.is_active:
            return "inactive"
        if getattr(self, "replaced_by", None) is not None:
            return "replaced"
        return "due" if self.is_due else "usable"

    @property
    def is_due(self) -> bool:
        """Whether it ends soon: as ``accounts.queries.keys_due`` says, whoever owns or replaced it."""
        left = self.expires_at - timezone.now()
        made_for_longer = self.expires_at - self.created_at > self.DUE
        return timedelta(0) < left <= (self.DUE if made_for_longer else self.SHORT_NOTICE)


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
