"""Signing in with a real SSH key, for tests: asks for the challenge, lets ``ssh-keygen`` sign it, sends that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.test import Client

from accounts import ssh
from tests.accounts.test_ssh import public, sign

CHALLENGE, LOGIN = "/api/v1/login/ssh/challenge/", "/api/v1/login/ssh/"


def ask(key: Path, **extra: Any) -> dict[str, Any]:
    """A challenge for a key."""
    answer = post(CHALLENGE, {"fingerprint": ssh.read_public_key(public(key)).fingerprint}, **extra)
    assert answer.status_code == 200, answer.content
    return answer.json()


def answer(challenge: dict[str, Any], signature: str, **more: Any) -> Any:
    """What the console says to a signature."""
    return post(LOGIN, {"challenge": challenge["challenge"], "signature": signature, **more})


def login(key: Path, **more: Any) -> Any:
    """The whole way."""
    challenge = ask(key)
    return answer(challenge, sign(key, challenge["message"].encode(), challenge["namespace"]), **more)


def post(url: str, body: Any, **extra: Any) -> Any:
    """A POST of JSON by nobody."""
    return Client(**extra).generic("POST", url, json.dumps(body), content_type="application/json")
