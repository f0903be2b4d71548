"""An alert from its first sight to its end: raised, counted, worse, acknowledged, cleared."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden, InsufficientScope
from accounts.limits import Limits
from alerts import events
from alerts.actions import acknowledge, acknowledge_all, clear, raise_alert
from alerts.errors import BecameCritical
from alerts.models import Alert
from audit.models import Record


def actions() -> list[str]:
    return [*Record.objects.filter(object_type="alert").order_by("pk").values_list("action", flat=True)]


def test_the_same_trouble_is_one_alert_and_a_repeat_one_update(trouble, django_assert_num_queries):
    first = trouble()
    with transaction.atomic(), django_assert_num_queries(4) as asked:
        again = trouble(detail="0.2 BTC")
    words = [query["sql"].split()[0] for query in asked.captured_queries]
    assert words == ["SAVEPOINT", "UPDATE", "SELECT", "RELEASE"], "one UPDATE, and the row that the caller gets"
    assert (again.pk, again.times, again.detail) == (first.pk, 2, "0.2 BTC")
    assert again.seen_at > first.seen_at and again.raised_at == first.raised_at
    assert again.changed_at == first.changed_at, "a repeat is no news for the pages"
    assert actions() == ["alert.raised"], "and none for the audit trail"


def test_another_key_or_kind_is_another_alert(trouble):
    trouble(), trouble("ETH differs"), trouble(kind="breaker")
    assert Alert.objects.count() == 3


def test_after_it_was_cleared_the_same_trouble_is_a_new_alert(trouble):
    first = trouble()
    assert clear(first.kind, first.key) and not clear(first.kind, first.key)
    second = trouble()
    first.refresh_from_db()
    assert first.pk != second.pk and first.state == "over" and second.state == "open" and second.times == 1
    assert actions() == ["alert.raised", "alert.cleared", "alert.raised"]


def test_a_warning_that_becomes_critical_waits_again(trouble, operator, actor_of):
    alert = acknowledge(actor_of(operator), trouble(), "I look")
    assert alert.state == "acknowledged"
    worse = trouble(severity="critical")
    assert (worse.pk, worse.severity, worse.state, worse.acknowledged_by) == (alert.pk, "critical", "open", None)
    assert worse.severity_since > alert.severity_since and worse.times == 2
    assert actions()[-1] == "alert.worse"
    acknowledge(actor_of(operator), worse)
    milder = trouble(severity="warning")
    assert milder.severity == "critical" and milder.state == "acknowledged" and milder.times == 3
    assert actions().count("alert.worse") == 1


def test_whatever_an_exchange_says_can_be_raised(trouble):
    alert = trouble("A\x00B" + "x" * 300, detail="\x00", key="k" * 300, link="/" + "l" * 300)
    assert alert.title.startswith("ABx") and len(alert.title) == 200 and alert.detail == "" and len(alert.key) == 120
    assert trouble("A\x00B" + "x" * 300, key="k" * 300).pk == alert.pk


@pytest.mark.django_db(transaction=True)
def test_two_who_raise_at_once_raise_one(production):
    barrier, found, errors = threading.Barrier(2, timeout=20), [], []

    def run() -> None:
        try:
            with transaction.atomic():
                barrier.wait()
                found.append(raise_alert("stop", "production", severity="critical", title="x", environment=production))
        except Exception as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and {alert.pk for alert in found} == {Alert.objects.get().pk}
    assert Alert.objects.get().times == 2 and actions() == ["alert.raised"]


def test_pages_and_channels_are_told_after_the_commit(trouble, monkeypatch, django_capture_on_commit_callbacks):
    rung: list[object] = []
    monkeypatch.setattr(events, "ring_sender", lambda *given, **more: rung.append("channels"))
    monkeypatch.setattr("accounts.doorbell.ring", lambda topics: rung.append(tuple(topics)))
    with django_capture_on_commit_callbacks(execute=True):
        alert = trouble()
        assert rung == []
    assert rung == [("alerts", "overview"), "channels"]
    with django_capture_on_commit_callbacks(execute=True):
        trouble()
    assert len(rung) == 2, "a repeat rings nobody"
    with django_capture_on_commit_callbacks(execute=True):
        clear(alert.kind, alert.key)
    assert rung[2:] == [("alerts", "overview"), "channels"]


class TestAcknowledge:
    def test_who_when_and_why_is_kept(self, trouble, operator, actor_of):
        done = acknowledge(actor_of(operator), trouble(), "  I call the exchange ")
        assert (done.acknowledged_by, done.note, done.state) == (operator, "I call the exchange", "acknowledged")
        record = Record.objects.get(action="alert.acknowledged")
        assert (record.actor, record.reason, record.environment) == (operator, "I call the exchange", "production")

    def test_the_first_one_counts_and_a_note_can_be_changed(self, trouble, operator, admin, actor_of):
        alert = acknowledge(actor_of(operator), trouble())
        same = acknowledge(actor_of(admin), alert)
        assert same.acknowledged_by == operator and same.acknowledged_at == alert.acknowledged_at
        noted = acknowledge(actor_of(admin), alert, "Exchange is down")
        assert (noted.acknowledged_by, noted.note) == (operator, "Exchange is down")
        acknowledge(actor_of(admin), alert, "Exchange is down")
        assert actions() == ["alert.raised", "alert.acknowledged", "alert.noted"]
        assert Record.objects.get(action="alert.noted").after == {"note": "Exchange is down"}

    def test_a_warning_that_became_critical_is_looked_at_first(self, trouble, operator, actor_of):
        alert = trouble()
        trouble(severity="critical")
        with pytest.raises(BecameCritical, match="Nothing was done"):
            acknowledge(actor_of(operator), alert, seen="warning")
        assert Alert.objects.get().state == "open"
        assert acknowledge(actor_of(operator), alert, seen="critical").state == "acknowledged"

    def test_a_note_has_an_end(self, trouble, operator, actor_of):
        with pytest.raises(InvalidRequest, match="2001 characters"):
            acknowledge(actor_of(operator), trouble(), "x" * 2001)

    def test_it_takes_work_there(self, trouble, developer, operator, person, staging, actor_of):
        at_production, at_staging, nowhere = trouble(), trouble(environment=staging), trouble(environment=None)
        with pytest.raises(Forbidden, match=r"acknowledge alerts here \(production\). It takes: Admin or Operator"):
            acknowledge(actor_of(developer), at_production)
        assert Record.objects.get(action="access.denied").environment == "production"
        acknowledge(actor_of(developer), at_staging)
        acknowledge(actor_of(developer), nowhere)
        with pytest.raises(Forbidden, match="no environment"):
            acknowledge(actor_of(person("nemo", None)), nowhere)
        acknowledge(actor_of(operator), at_production)

    def test_a_key_does_no_more_than_its_scopes(self, trouble, operator, developer, actor_of):
        at_production, nowhere = trouble(), trouble(environment=None)
        operator.limits = Limits(scopes=frozenset(), environments=None)
        for alert in (at_production, nowhere):
            with pytest.raises(InsufficientScope):
                acknowledge(actor_of(operator), alert)
        operator.limits = Limits(scopes=frozenset({"run_checklists"}), environments=None)
        acknowledge(actor_of(operator), at_production)
        developer.limits = operator.limits
        other = trouble("ETH differs")
        with pytest.raises(Forbidden) as refused:
            acknowledge(actor_of(developer), other)
        assert not isinstance(refused.value, InsufficientScope), "a wider key would not help"

    def test_many_at_once_but_not_what_came_or_became_worse_since(self, trouble, operator, actor_of):
        old, worse = trouble("old"), trouble("worse")
        drawn_at = timezone.now()
        trouble("worse", severity="critical")
        new = trouble("new")
        assert acknowledge_all(actor_of(operator), [old, worse, new], "Seen", drawn_at=drawn_at) == 1
        assert {a.title: a.state for a in Alert.objects.all()} == {
            "old": "acknowledged",
            "worse": "open",
            "new": "open",
        }
        assert acknowledge_all(actor_of(operator), [old], drawn_at=drawn_at) == 0

    def test_many_at_once_are_all_or_none(self, trouble, developer, staging, actor_of):
        both = [trouble(environment=staging), trouble()]
        with pytest.raises(Forbidden):
            acknowledge_all(actor_of(developer), both, drawn_at=timezone.now() + timedelta(seconds=1))
        assert not Alert.objects.exclude(acknowledged_at=None).exists()


def test_who_sees_what(trouble, staging, admin, operator, developer, person):
    from guardian.shortcuts import assign_perm

    trouble(), trouble(environment=staging), trouble("Key", environment=None)
    nobody, visitor = person("nemo", None), person("vera", None)
    assign_perm("view_environment", visitor, staging)
    seen = {user: Alert.objects.visible_to(user).count() for user in (admin, operator, developer, nobody, visitor)}
    assert seen == {admin: 3, operator: 3, developer: 3, nobody: 0, visitor: 2}
    operator.is_active = False
    assert not Alert.objects.visible_to(operator).exists()
