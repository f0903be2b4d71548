"""Freezes: who sets and lifts one, what is refused, and what the pages say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from audit.models import Record
from deployments import freezes, gate
from deployments.errors import FreezeOver

REASON = "Fair in town"


@pytest.fixture
def ada(admin, actor_of):
    return actor_of(admin)


def later(**of) -> datetime:
    return timezone.now() + timedelta(**of)


def test_set_and_lift_are_audited_and_overlap(production, staging, ada):
    first = freezes.freeze(ada, production, later(hours=1), REASON)
    second = freezes.freeze(ada, production, later(hours=3), "Holiday", later(minutes=-5))
    coming = freezes.freeze(ada, production, later(days=3), "Later", later(days=2))
    assert gate.freezes_in_force(production) == [second, first] and gate.freezes_in_force(staging) == []
    freezes.lift(ada, second, "Over")
    freezes.lift(ada, coming, "Not needed")
    assert gate.freezes_in_force(production) == [first]
    found = Record.objects.filter(environment="production").order_by("id").values_list("action", "reason")
    assert [one for one in found if one[0].startswith("environment.")][-5:] == [
        ("environment.frozen", REASON), ("environment.frozen", "Holiday"), ("environment.frozen", "Later"),
        ("environment.freeze_lifted", "Over"), ("environment.freeze_lifted", "Not needed"),
    ]  # fmt: skip
    with pytest.raises(FreezeOver):
        freezes.lift(ada, second, "Again")


@pytest.mark.parametrize(
    ("ends", "starts", "reason", "field"),
    [
        (timedelta(hours=-1), timedelta(hours=-2), REASON, "ends_at"),
        (timedelta(hours=1), timedelta(hours=2), REASON, "ends_at"),
        (timedelta(days=400), None, REASON, "ends_at"),
        (timedelta(days=900), timedelta(days=800), REASON, "ends_at"),
        (None, None, REASON, "ends_at"),
        (timedelta(hours=1), None, " ", "reason"),
    ],
)
def test_what_makes_no_sense_is_refused(production, ada, ends, starts, reason, field):
    now = timezone.now()
    with pytest.raises(InvalidRequest) as caught:
        freezes.freeze(ada, production, ends and now + ends, reason, starts and now + starts)
    assert caught.value.field == field and not freezes.Freeze.objects.exists()


def test_who_may_not(production, operator, developer, staging, actor_of, ada):
    made = freezes.freeze(ada, production, later(hours=1), REASON)
    for user in (operator, developer):
        with pytest.raises(Forbidden):
            freezes.freeze(actor_of(user), production, later(hours=1), REASON)
        with pytest.raises(Forbidden):
            freezes.lift(actor_of(user), made, REASON)
    assert freezes.freeze(actor_of(developer), staging, later(hours=1), REASON).pk
    assert Record.objects.filter(action="access.denied").count() == 4


def page(user) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_the_pages_set_show_and_lift(production, admin, operator, release):
    client, url = page(admin), "/environments/production/freeze/"
    assert "No freeze was ever set" in client.get(url).content.decode()
    assert client.post(url, {"ends_at": "2100", "reason": REASON}).status_code == 400
    assert client.post(url, {"starts_at": "soon", "ends_at": "2999-01-01T10:00", "reason": "R"}).status_code == 400
    assert not freezes.Freeze.objects.exists()
    ends = later(hours=2).astimezone(UTC)
    assert client.post(url, {"ends_at": f"{ends:%Y-%m-%dT%H:%M}", "reason": REASON}).status_code == 302
    made = freezes.Freeze.objects.get()
    assert made.ends_at == ends.replace(second=0, microsecond=0)
    release("v1.2.5")
    for where in (url, "/environments/production/", "/deployments/new/?environment=production&release=v1.2.5"):
        text = client.get(where).content.decode()
        assert REASON in text and "Ada Admin" in text, where
    assert "Lift this freeze" not in page(operator).get(url).content.decode()
    lift = f"{url}{made.pk}/lift/"
    assert client.get(lift).status_code == 302 and client.post(lift, {"reason": ""}).status_code == 400
    assert client.post(lift, {"reason": "Over"}).status_code == 302
    again = client.post(lift, {"reason": "Over"})
    assert again.status_code == 409 and "already" in again.content.decode()
    assert REASON not in client.get("/environments/production/").content.decode()
