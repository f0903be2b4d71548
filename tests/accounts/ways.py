"""Ways in, as people go them: by a link, on to a passkey or an app."""

from __future__ import annotations

import re
from typing import Any

import pyotp
from django.test import Client

from accounts import links, totp
from accounts.models import AuthenticatorApp
from tests.accounts.authenticator import Authenticator


def by_link(user: Any, kind: links.Kind = links.Kind.SIGN_IN, client: Client | None = None) -> Client:
    """A browser in which somebody pressed the button of a one-time link; nothing more is proved."""
    client = client or Client()
    user.refresh_from_db()
    assert client.post(f"/login/link/{links.make(user, kind)}/").status_code == 302
    return client


def add_passkey(client: Client, device: Authenticator, name: str = "Laptop") -> Any:
    """Enrol a device; the answer, with recovery codes when it is the first factor."""
    question = client.post("/account/security/passkeys/options/").json()
    given = {"name": name, "challenge": question["challenge"], "credential": device.create(question)}
    return client.post("/account/security/passkeys/", given)


def with_passkey(user: Any) -> tuple[Client, Authenticator, list[str]]:
    """Somebody who has just enrolled their first passkey: browser, device, recovery codes."""
    client, device = by_link(user), Authenticator()
    answer = add_passkey(client, device)
    assert answer.status_code == 200, answer.content.decode()
    return client, device, codes_in(answer)


def with_app(user: Any) -> tuple[Client, str]:
    """Somebody who has just enrolled an authenticator app: browser and seed."""
    client = by_link(user)
    client.post("/account/security/app/start/")
    seed = totp.decrypt(AuthenticatorApp.objects.get(user=user).seed)
    assert client.post("/account/security/app/", {"code": code_of(seed)}).status_code == 200
    fresh(user)
    return client, seed


def fresh(user: Any) -> None:
    """As if the last code was used long ago, so that the present one is new."""
    AuthenticatorApp.objects.filter(user=user).update(last_step=0)


def code_of(seed: str, at: float | None = None) -> str:
    """The code that the app shows."""
    return pyotp.TOTP(seed).at(int(totp.time.time() if at is None else at))


def codes_in(answer: Any) -> list[str]:
    """The recovery codes on a page."""
    return re.findall(r"<code>((?:[a-z2-9]{4}-){5}[a-z2-9]{4})</code>", answer.content.decode())


def says(answer: Any) -> str:
    """The words of a page or of a JSON answer."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))
