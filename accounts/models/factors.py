"""What a person proves who they are with: passkeys, an authenticator app, recovery codes, SSH keys."""

from __future__ import annotations

from django.db import models

from accounts.models.people import User


class Passkey(models.Model):
    """A WebAuthn credential; its use takes the device and the person's PIN or fingerprint, so it is two factors."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=60)
    credential_id = models.CharField(max_length=1400, unique=True, help_text="Base64url, as the browser sends it.")
    public_key = models.BinaryField(help_text="COSE key.")
    sign_count = models.BigIntegerField(default=0)
    transports = models.JSONField(default=list)
    backed_up = models.BooleanField(default=False, help_text="Kept by a synchronising password manager.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at",)

    def __str__(self) -> str:
        return self.name


class AuthenticatorApp(models.Model):
    """A TOTP seed (RFC 6238), encrypted; the last used time step is kept, so that no code works twice."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="authenticator_app")
    seed = models.TextField(help_text="Encrypted with a key derived from OPSC_SECRET_KEY.")
    last_step = models.BigIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True, blank=True, help_text="Null until a first code was right.")
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Authenticator app of {self.user}"


class RecoveryCode(models.Model):
    """A code for the day the device is lost; only its digest is kept, and it works once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"Recovery code of {self.user}"


class SSHKey(models.Model):
    """A public key with which a person signs in from a command line."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="ssh_keys")
    name = models.CharField(max_length=100)
    public_key = models.TextField(help_text="Type and base64, as in authorized_keys.")
    fingerprint = models.CharField(max_length=60, unique=True, help_text="SHA256:…, as ssh-keygen -l prints it.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint})"
