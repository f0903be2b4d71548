"""Idempotency-Key: the same request sent twice, one after the other and at the same time."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import IdempotencyKey
from audit.models import Record
from deployments.models import Deployment

URL = "/api/v1/deployments/"
START = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "Fix of the slippage"}


def post(client, body, key, url=URL):
    return client.post(url, body, content_type="application/json", headers={"Idempotency-Key": key})


@pytest.fixture
def startable(ready, release):
    return release("v1.2.5")


def test_a_repeat_gets_the_first_answer(api, admin, startable):
    client = api(admin)
    first, second = post(client, START, "one"), post(client, dict(reversed(START.items())), "one")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json() and first["Location"] == second["Location"]
    assert "Idempotency-Replayed" not in first and second["Idempotency-Replayed"] == "true"
    assert Deployment.objects.count() == 1 and Record.objects.filter(action="deployment.started").count() == 1


def test_a_refusal_that_was_decided_is_repeated(api, admin, startable):
    client = api(admin)
    post(client, START, "one")
    refused = post(client, START, "two")
    Deployment.objects.update(status="aborted")
    again = post(client, START, "two")
    assert (refused.status_code, again.status_code) == (409, 409)
    assert again["Idempotency-Replayed"] == "true" and again["Content-Type"] == "application/problem+json"
    assert post(client, START, "three").status_code == 201


def test_after_a_malformed_request_the_key_is_free(api, admin, startable):
    client = api(admin)
    assert post(client, {**START, "reason": ""}, "one").status_code == 400
    assert post(client, START, "one").status_code == 201


def test_a_denial_is_not_kept_but_audited(api, operator, startable):
    client = api(operator)
    assert post(client, START, "one").status_code == 403
    assert not IdempotencyKey.objects.exists() and Record.objects.filter(action="access.denied").exists()


def test_the_key_of_another_request_is_refused(api, admin, startable):
    client = api(admin)
    made = post(client, START, "one").json()
    for url, body in ((URL, {**START, "reason": "Other"}), (f"{URL}{made['id']}/hold/", {"reason": "x"})):
        answer = post(client, body, "one", url)
        assert answer.status_code == 422 and answer.json()["code"] == "idempotency_conflict"
    assert Deployment.objects.get().status == "pending"


def test_keys_belong_to_a_person(api, admin, developer, startable):
    assert post(api(admin), START, "one").status_code == 201
    staging = {**START, "environment": "staging"}
    assert post(api(developer), staging, "one").status_code == 201


def test_a_key_is_kept_for_a_day(api, admin, startable):
    client = api(admin)
    assert post(client, START, "one").status_code == 201
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    assert post(client, START, "one").status_code == 409  # looked at anew: the first one is still running
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.parametrize("key", ["", "x" * 101, "tab\there", "ümlaut"])
def test_a_key_that_cannot_be_kept_is_a_400(api, admin, startable, key):
    answer = post(api(admin), START, key)
    assert answer.status_code == 400 and "Idempotency-Key" in answer.json()["errors"]
    assert not Deployment.objects.exists()


def at_once(*calls):
    """Run calls in threads that begin together; their results in order."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index, call):
        try:
            barrier.wait(timeout=10)
            results[index] = call()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return results


@pytest.mark.django_db(transaction=True)
def test_the_same_request_at_the_same_time_is_done_once(api, admin, startable):
    clients = [api(admin) for _ in range(4)]
    answers = at_once(*(lambda client=client: post(client, START, "one") for client in clients))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted("Idempotency-Replayed" in answer for answer in answers) == [False, True, True, True]
    assert Deployment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_start_at_once_and_one_is_told(api, admin, person, startable):
    clients = [api(admin), api(person("eve", "Admin"))]
    answers = at_once(
        *(lambda client=client: client.post(URL, START, content_type="application/json") for client in clients)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    created, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert refused.json()["blocking_deployment"] == created.json()["id"]
    assert Deployment.objects.count() == 1
