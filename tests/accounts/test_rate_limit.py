"""Limits on failed attempts: in the database, with words, and no way to lock somebody out for good."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from accounts import rate_limit
from accounts.errors import TooManyAttempts
from accounts.models import SignInFailure
from audit.models import Record
from tests.accounts.ways import by_link, code_of, fresh, says, with_app, with_passkey

pytestmark = pytest.mark.usefixtures("still_clock")


def age(seconds: float) -> None:
    SignInFailure.objects.update(at=timezone.now() - timedelta(seconds=seconds))


def test_five_wrong_codes_then_wait(operator):
    _, seed = with_app(operator)
    client = by_link(operator)
    answers = [client.post("/login/second/", {"code": "000000"}).status_code for _ in range(6)]
    assert answers == [400] * 5 + [429]
    answer = client.post("/login/second/", {"code": code_of(seed)})
    assert answer.status_code == 429 and 0 < int(answer["Retry-After"]) <= 300 and "Too many" in says(answer)
    assert Record.objects.filter(action="account.second_factor_failed").count() == 5
    age(301)
    assert client.post("/login/second/", {"code": code_of(seed)}).status_code == 302


def test_a_right_code_forgets_the_persons_failures_and_not_the_addresss(operator):
    _, seed = with_app(operator)
    client = by_link(operator)
    for _ in range(4):
        client.post("/login/second/", {"code": "000000"})
    assert client.post("/login/second/", {"code": code_of(seed)}).status_code == 302
    left = set(SignInFailure.objects.values_list("subject", flat=True))
    assert left == {"address:127.0.0.1"}


def test_a_passkey_works_while_codes_are_limited(admin):
    client, device, _ = with_passkey(admin)
    client.post("/account/security/app/start/")
    for _ in range(5):
        rate_limit.fail(f"user:{admin.pk}")
    browser = Client()
    question = browser.post("/login/passkey/options/").json()
    sent = {"challenge": question["challenge"], "assertion": device.get(question)}
    assert browser.post("/login/passkey/", sent).status_code == 302
    second = by_link(admin)
    assert second.post("/login/second/", {"recovery_code": "x"}).status_code == 429
    asked = second.post("/login/second/options/").json()
    sent = {"challenge": asked["challenge"], "assertion": device.get(asked)}
    assert second.post("/login/second/", sent).status_code == 302


def test_an_address_waits_after_twenty_failures_of_any_kind(operator):
    client = Client()
    answers = [client.post("/login/link/1:no:link/").status_code for _ in range(21)]
    assert answers == [410] * 20 + [429]
    assert client.post("/login/passkey/options/", headers={"Accept": "application/json"}).status_code == 429
    assert client.post("/login/passkey/", {"challenge": "x", "assertion": "{}"}).status_code == 429
    assert client.get("/login/").status_code == 200
    other = Client(REMOTE_ADDR="192.0.2.9")
    assert other.post("/login/link/1:no:link/").status_code == 410
    assert Record.objects.filter(action="account.sign_in_failed", address="127.0.0.1").count() == 20
    assert not any("no:link" in str(vars(record)) for record in Record.objects.all())


def test_the_wait_ends_when_the_oldest_failure_that_counts_does(db):
    for seconds in (290, 200, 100, 50, 10):
        rate_limit.fail("user:1")
        SignInFailure.objects.filter(pk=SignInFailure.objects.latest("pk").pk).update(
            at=timezone.now() - timedelta(seconds=seconds)
        )
    with pytest.raises(TooManyAttempts) as refused:
        rate_limit.check("user:1", "address:192.0.2.1")
    assert 8 <= refused.value.wait <= 11
    rate_limit.check("user:2")


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:1:2:3::4", "address:2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "address:192.0.2.7"),
        ("::1", "address:::/64"),
        ("", "address:unknown"),
        ("nonsense", "address:unknown"),
    ],
)
def test_what_an_address_is(rf, address, subject):
    assert rate_limit.address_of(rf.get("/", REMOTE_ADDR=address)) == subject


def test_old_failures_are_dropped(db):
    rate_limit.fail("user:1")
    age(25 * 3600)
    rate_limit.fail("user:2")
    assert list(SignInFailure.objects.values_list("subject", flat=True)) == ["user:2"]


@pytest.mark.django_db(transaction=True)
def test_attempts_at_once_do_not_outrun_the_limit(operator):
    with_app(operator)
    fresh(operator)
    clients = [by_link(operator) for _ in range(9)]
    barrier, found = threading.Barrier(len(clients)), []

    def press(client: Client) -> None:
        try:
            barrier.wait(timeout=20)
            found.append(client.post("/login/second/", {"code": "000000"}).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=40)
    assert sorted(found) == [400] * 5 + [429] * 4


def test_it_works_while_valkey_is_dead(operator, settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    with_app(operator)
    client = by_link(operator)
    assert [client.post("/login/second/", {"code": "000000"}).status_code for _ in range(6)][-1] == 429
