"""API keys: what opens, what does not, and what is said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import APIKey, SignInFailure
from audit.models import Record

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


def test_a_key_from_another_network_is_refused(key_of, operator):
    text = key_of(operator, networks=["192.0.2.0/24", "2001:db8::/32"])
    client = Client(headers={"Authorization": f"Bearer {text}"})
    for address, status in (("192.0.2.9", 200), ("::ffff:192.0.2.9", 200), ("2001:db8::9", 200), ("192.0.3.9", 401)):
        assert client.get(URL, REMOTE_ADDR=address).status_code == status, address
    record = Record.objects.get(action="api_key.refused")
    assert (record.actor, record.address, record.outcome) == (operator, "192.0.3.9", "denied")
    assert "may not be used from 192.0.3.9" in record.reason and record.after == {"prefix": text.split("_")[1]}


def test_every_answer_to_a_key_says_when_it_ends(key_of, operator, system):
    client = Client(headers={"Authorization": f"Bearer {key_of(operator)}"})
    ends = APIKey.objects.get().expires_at.isoformat(timespec="seconds")
    for url in (URL, "/api/v1/environments/nowhere/", "/api/v1/deployments/?status=nonsense"):
        assert client.get(url)["X-Key-Expires-At"] == ends
    assert "X-Key-Expires-At" not in get("Bearer nonsense") and "X-Key-Expires-At" not in Client().get(URL)


def refusals() -> list[tuple[str, str]]:
    return [(record.after["prefix"], record.address) for record in Record.objects.filter(action="api_key.refused")]


def test_refusals_are_audited_once_a_minute_for_each_key_and_address(key_of, operator):
    text = key_of(operator)
    APIKey.objects.update(expires_at=timezone.now())
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"):
        Client(headers={"Authorization": f"Bearer {text}"}).get(URL, REMOTE_ADDR=address)
    prefix = text.split("_")[1]
    assert sorted(refusals()) == [(prefix, "192.0.2.1"), (prefix, "192.0.2.2")]
    get("Bearer nonsense")
    get("Bearer other nonsense")
    assert sorted(refusals())[0] == ("", "127.0.0.1") and len(refusals()) == 3
    assert text not in str(list(Record.objects.values()))
    SignInFailure.objects.update(at=timezone.now() - timedelta(seconds=61))
    get("Bearer nonsense")
    assert len(refusals()) == 4


def test_a_wrong_secret_is_not_audited_in_the_name_of_the_owner(key_of, operator):
    prefix = key_of(operator).split("_")[1]
    get(f"Bearer opsc_{prefix}_{'x' * 43}")
    record = Record.objects.get(action="api_key.refused")
    assert (record.actor, record.actor_name, record.after) == (None, "Unknown API key", {"prefix": prefix})


def test_many_refused_keys_from_an_address_get_429_and_working_keys_go_on(key_of, operator, system):
    text = key_of(operator)
    for _ in range(60):
        assert get("Bearer nonsense").status_code == 401
    late = get("Bearer nonsense")
    assert (late.status_code, late.json()["code"]) == (429, "too_many_attempts") and int(late["Retry-After"]) > 0
    assert get(f"Bearer {text}").status_code == 200  # a broken script must not stop the others behind its address
    elsewhere = Client(headers={"Authorization": "Bearer nonsense"})
    assert elsewhere.get(URL, REMOTE_ADDR="192.0.2.1").status_code == 401
    assert Record.objects.filter(action="api_key.refused").count() == 2
    metrics = elsewhere.get("/metrics", REMOTE_ADDR="192.0.2.1")
    assert metrics.status_code == 401
    SignInFailure.objects.update(at=timezone.now() - timedelta(minutes=6))
    assert get("Bearer nonsense").status_code == 401


def test_metrics_elsewhere_take_a_key_and_count_refusals(key_of, operator):
    client = Client(headers={"Authorization": f"Bearer {key_of(operator, networks=['192.0.2.0/24'])}"})
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.3.1").status_code == 401 and len(refusals()) == 1


def test_without_a_key_the_answer_asks_for_one(system):
    for answer in (Client().get(URL), get("Basic YTpi")):
        assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")


def test_a_session_needs_its_csrf_token_for_an_act(operator, system):
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.get(URL).status_code == 200
    answer = client.post("/api/v1/deployments/", {}, content_type="application/json")
    assert answer.status_code == 403 and "CSRF" in answer.json()["detail"]
