"""Alerts over the API: who sees which, filters, pages, and acknowledging."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.actions import acknowledge, clear, raise_alert
from alerts.models import Alert, Delivery
from audit.models import Record

pytestmark = pytest.mark.django_db
URL = "/api/v1/alerts/"


@pytest.fixture
def trouble(production):
    def make(title="BTC differs", environment=production, severity="warning", **given):
        fields = {"severity": severity, "title": title, "environment": environment, "link": "/positions/", **given}
        return raise_alert("mismatch", f"{environment}:{title}", **fields)

    return make


def post(client, alert, body=None, **headers):
    address = f"{URL}{getattr(alert, 'pk', alert)}/acknowledge/"
    return client.post(address, body or {}, content_type="application/json", headers=headers)


def test_the_list_is_in_the_order_of_the_page(api, operator, trouble, actor_of):
    first, critical = trouble("A"), trouble("C", severity="critical", detail="0.2 BTC")
    over = acknowledge(actor_of(operator), trouble("Z", severity="critical"), "Known")
    clear(over.kind, over.key)
    body = api(operator).get(URL).json()
    assert (body["count"], [one["title"] for one in body["results"]]) == (3, ["C", "A", "Z"])
    shown = body["results"][0]
    assert (shown["id"], shown["state"], shown["environment"]) == (critical.pk, "open", "production")
    assert (shown["detail"], shown["link"], shown["times"]) == ("0.2 BTC", "/positions/", 1)
    last = body["results"][2]
    assert (last["state"], last["acknowledged_by"], last["note"]) == ("cleared", "Otto Operator", "Known")
    assert first.pk == body["results"][1]["id"] and body["results"][1]["acknowledged_by"] is None


@pytest.mark.parametrize(
    ("query", "titles"),
    [("environment=staging", ["S"]), ("severity=critical", ["C"]), ("kind=stop", []), ("state=acknowledged", ["S"]),
     ("state=waiting", ["C", "A"]), ("q=0.2 b", ["C"]), ("page_size=1&page=2", ["S"])],
)  # fmt: skip
def test_filters_and_pages(query, titles, api, operator, trouble, staging, actor_of):
    trouble("A"), trouble("C", severity="critical", detail="0.2 BTC")
    acknowledge(actor_of(operator), trouble("S", environment=staging))
    assert [one["title"] for one in api(operator).get(f"{URL}?{query}").json()["results"]] == titles


@pytest.mark.parametrize("query", ["state=gone", "severity=fatal", "q=%00", f"q={'x' * 101}", "environment=%00"])
def test_a_wrong_filter_is_named(query, api, operator):
    answer = api(operator).get(f"{URL}?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["errors"]


def test_one_with_what_was_sent(api, operator, trouble):
    alert = trouble()
    Delivery.objects.create(alert=alert, channel="chat", at=timezone.now(), ok=False, detail="answered 500", tries=2)
    [sent] = api(operator).get(f"{URL}{alert.pk}/").json()["deliveries"]
    assert (sent["channel"], sent["ok"], sent["detail"], sent["tries"]) == ("chat", False, "answered 500", 2)


def test_a_person_sees_alerts_of_environments_that_they_see(api, person, trouble, staging):
    from guardian.shortcuts import assign_perm

    hidden, shown, nowhere = trouble(), trouble("S", environment=staging), trouble("N", environment=None)
    visitor = person("vera", None)
    assign_perm("view_environment", visitor, staging)
    client = api(visitor)
    assert {one["id"] for one in client.get(URL).json()["results"]} == {shown.pk, nowhere.pk}
    assert client.get(f"{URL}{hidden.pk}/").status_code == 404
    assert post(client, hidden).status_code == 404 and post(client, shown).status_code == 403


def test_acknowledging(api, operator, trouble):
    alert = trouble()
    answer = post(api(operator), alert, {"note": "I look", "seen": "warning"})
    body = answer.json()
    assert answer.status_code == 200 and (body["state"], body["note"]) == ("acknowledged", "I look")
    record = Record.objects.get(action="alert.acknowledged")
    assert (record.actor, record.via, record.request_id) == (operator, "key", answer["X-Request-ID"])


def test_the_same_request_twice_is_done_once(api, operator, trouble):
    alert, client = trouble(), api(operator)
    answers = [post(client, alert, {"note": "I look"}, **{"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.json()["note"] for answer in answers] == ["I look", "I look"]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert Record.objects.filter(action__in=("alert.acknowledged", "alert.noted")).count() == 1


def test_a_warning_that_became_critical_is_a_conflict(api, operator, trouble):
    alert = trouble()
    trouble(severity="critical")
    answer = post(api(operator), alert, {"seen": "warning"})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert Alert.objects.get().state == "open"


@pytest.mark.parametrize(
    "body", [{"note": "x" * 2001}, {"note": "\x00"}, {"seen": "fatal"}, {"nota": "x"}, {"note": []}]
)
def test_a_wrong_body_is_named_and_does_nothing(body, api, operator, trouble):
    answer = post(api(operator), trouble(), body)
    assert answer.status_code == 400 and [*answer.json()["errors"]] == [*body]
    assert Alert.objects.get().state == "open"


def test_who_may_not(api, key_of, developer, operator, trouble):
    from django.test import Client

    alert = trouble()
    refused = post(api(developer), alert)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert refused.json()["environment"] == "production"
    narrow = Client(headers={"Authorization": f"Bearer {key_of(operator, scopes=[])}"})
    refused = post(narrow, alert)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert post(api(operator), 999_999).status_code == 404


def test_the_list_takes_the_same_queries_for_any_number(api, operator, trouble, actor_of):
    client, found = api(operator), []
    for number in range(3):
        for name in range(4):
            acknowledge(actor_of(operator), trouble(f"{number} {name}"))
        with CaptureQueriesContext(connection) as asked:
            assert client.get(URL).status_code == 200
        found.append(len(asked))
    assert found[1] == found[2], found
