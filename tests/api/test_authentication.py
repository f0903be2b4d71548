"""API keys: what opens, what does not, and what is said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import APIKey

URL = "/api/v1/environments/"


def get(text: str):
    return Client(headers={"Authorization": text}).get(URL)


def test_a_key_opens_and_its_use_is_noted_once_a_minute(key_of, operator):
    text = key_of(operator)
    assert get(f"Bearer {text}").status_code == get(f"bearer  {text}").status_code == 200
    noted = APIKey.objects.get().last_used_at
    assert noted is not None and get(f"Bearer {text}").status_code == 200
    assert APIKey.objects.get().last_used_at == noted
    APIKey.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    get(f"Bearer {text}")
    assert APIKey.objects.get().last_used_at > noted


def test_only_the_digest_is_kept(key_of, operator):
    text = key_of(operator)
    key = APIKey.objects.get()
    secret = text.removeprefix(f"opsc_{key.prefix}_")
    assert len(secret) == 43 and key.digest != secret and secret not in str(vars(key))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda key: {"expires_at": timezone.now()}, "expired on"),
        (lambda key: {"revoked_at": timezone.now()}, "revoked on"),
        (lambda key: {"digest": "0" * 64}, "not known"),
        (lambda key: {"prefix": "other12345"}, "not known"),
    ],
)
def test_a_key_that_is_not_valid_is_a_401_that_says_why(key_of, operator, change, says):
    text = key_of(operator)
    APIKey.objects.update(**change(APIKey.objects.get()))
    answer = get(f"Bearer {text}")
    assert answer.status_code == 401 and says in answer.json()["detail"]
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer["Content-Type"] == "application/problem+json" and answer.json()["code"] == "unauthenticated"


def test_an_inactive_owner_opens_nothing(key_of, operator):
    text = key_of(operator)
    operator.is_active = False
    operator.save()
    answer = get(f"Bearer {text}")
    assert answer.status_code == 401 and "no longer active" in answer.json()["detail"]


@pytest.mark.parametrize(
    "text", ["Bearer", "Bearer x", "Bearer opsc_a_b", "Bearer opsc_abcdefgh_" + "x" * 44, "Bearer \xe9", "Bearer \x00"]
)
def test_malformed_keys(system, text):
    answer = get(text)
    assert answer.status_code == 401 and "opsc_<prefix>_<43 characters>" in answer.json()["detail"]


def test_without_a_key_the_answer_asks_for_one(system):
    for answer in (Client().get(URL), get("Basic YTpi")):
        assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")


def test_a_session_needs_its_csrf_token_for_an_act(operator, system):
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.get(URL).status_code == 200
    answer = client.post("/api/v1/deployments/", {}, content_type="application/json")
    assert answer.status_code == 403 and "CSRF" in answer.json()["detail"]
