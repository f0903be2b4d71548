"""Second factors, sessions and keys as their pages leave them, for tests that are about something else."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pyotp
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts import keys, totp
from accounts.limits import SCOPES
from accounts.models import APIKey, AuthenticatorApp, Passkey, UserSession

SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def give_second_factor(user: Any) -> None:
    """A passkey that nobody holds, and an authenticator app with a seed that the tests know."""
    Passkey.objects.create(user=user, name="Laptop", credential_id=f"cred-{user.pk:011}", public_key=b"key")
    AuthenticatorApp.objects.create(user=user, seed=totp.encrypt(SEED), confirmed_at=timezone.now())


def enter(user: Any, *, strong: bool = True) -> Client:
    """A client in which a person is signed in, with a passkey or with a link alone."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    row = UserSession.objects.create(
        user=user, session_key=session.session_key, methods=["passkey"] if strong else ["link"], address="192.0.2.7"
    )
    session.update({"methods": row.methods, "opened_at": time.time(), "seen_at": time.time(), "open_id": row.pk})
    session.save()
    return client


def make_key(owner: Any, *, days: float = 30, **fields: Any) -> str:
    """The text of a new key, straight in the table: what is tested is what a key may do, and not who may make one."""
    text, prefix, digest = keys.generate()
    given = {"name": "Test", "scopes": list(SCOPES), "environments": None, "networks": [], **fields}
    ends = timezone.now() + timedelta(days=days)
    APIKey.objects.create(owner=owner, prefix=prefix, digest=digest, expires_at=ends, **given)
    return text


def send_with_proof(client: Client, address: str, fields: dict[str, str]) -> HttpResponse:
    """Send a form of a dangerous act with the present code of the authenticator app, as its page asks for it."""
    for _ in range(2):  # a code that was right when it was read may be over when it arrives
        AuthenticatorApp.objects.update(last_step=0)  # as if the last code had been used a while ago
        page = client.post(address, fields) if "username" in fields else client.get(address)
        challenge = re.search(r'name="challenge" value="([^"]+)"', page.content.decode())
        assert challenge, "the page asks for no proof"
        step = int(time.time()) // totp.STEP_SECONDS
        proof = {"challenge": challenge.group(1), "code": pyotp.TOTP(SEED).now()}
        response = client.post(address, {**fields, **proof})
        if step == int(time.time()) // totp.STEP_SECONDS:
            break
    return response
