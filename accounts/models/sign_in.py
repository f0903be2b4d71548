"""Signing in: open sessions, one-time challenges, and failures that are counted."""

from __future__ import annotations

import uuid

from django.db import models

from accounts.models.people import User


class UserSession(models.Model):
    """An open browser session of a person, as its owner sees it in the list and can end it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="open_sessions")
    session_key = models.CharField(max_length=40, unique=True)
    methods = models.JSONField(default=list, help_text="How the person proved it: passkey, totp, link, ssh …")
    address = models.CharField(max_length=60, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-last_seen_at",)

    def __str__(self) -> str:
        return f"{self.user} since {self.created_at:%Y-%m-%d %H:%M}"


class Challenge(models.Model):
    """Something to be signed or answered once, within a short time."""

    class Kind(models.TextChoices):
        PASSKEY_REGISTER = "passkey_register", "Register a passkey"
        PASSKEY_SIGN_IN = "passkey_sign_in", "Sign in with a passkey"
        STEP_UP = "step_up", "Confirm a dangerous act"
        SSH = "ssh", "Sign in with an SSH key"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    kind = models.CharField(max_length=20, choices=Kind)
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=40, blank=True)
    nonce = models.CharField(max_length=100)
    act = models.CharField(max_length=64, blank=True, help_text="Step-up: SHA-256 of action, object and nonce.")
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class SignInFailure(models.Model):
    """One failed attempt; counted in the database, so that the limit does not vanish with a cache."""

    at = models.DateTimeField(auto_now_add=True)
    subject = models.CharField(max_length=120, help_text="What is limited: address:…, user:…, key:….")

    class Meta:
        indexes = [models.Index(fields=["subject", "-at"], name="sign_in_failures")]

    def __str__(self) -> str:
        return f"{self.subject} {self.at:%Y-%m-%d %H:%M:%S}"
