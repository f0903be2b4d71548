"""Releases: immutable versions of a service."""

from __future__ import annotations

import semver
from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from environments.models import Service


class Release(models.Model):
    """One version of a service: its artifact with digest, notes, migrations and configuration revision."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="releases")
    version = models.CharField(max_length=40, help_text="Semantic version with a leading v, for example v1.2.5.")
    sort_key = models.CharField(max_length=120, editable=False)
    artifact = models.CharField(max_length=400, help_text="Path of the archive.")
    digest = models.CharField(max_length=80, help_text="sha256:… of the archive.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes.")
    notes = models.TextField(blank=True, help_text="Markdown.")
    commit = models.CharField(max_length=64, blank=True)
    changes = models.JSONField(default=dict, blank=True, help_text="Size of the change: files, insertions, deletions.")
    migrations = models.JSONField(default=list, blank=True)
    reversible = models.BooleanField(null=True, help_text="Whether its migrations can be taken back; null: not said.")
    rollback_plan = models.TextField(blank=True, help_text="How to go back from it, in words.")
    config_revision = models.CharField(max_length=64, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ("-sort_key",)
        constraints = [models.UniqueConstraint(fields=["service", "version"], name="release_version")]

    def __str__(self) -> str:
        return self.version

    def save(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        """Keep the key by which versions sort (1.10 after 1.9, a pre-release before its release)."""
        parsed = semver.Version.parse(self.version.removeprefix("v"))
        tail = f"-{parsed.prerelease}" if parsed.prerelease else "~"
        self.sort_key = f"{parsed.major:06d}.{parsed.minor:06d}.{parsed.patch:06d}{tail}"
        super().save(*args, **kwargs)
