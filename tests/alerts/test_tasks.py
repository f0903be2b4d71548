"""What beat and the workers call: reminders of keys, and who sends what when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as project
from django.utils import timezone

from accounts import key_actions
from alerts import events, keys, sending, tasks
from alerts.models import Alert
from audit.actors import Actor

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(operator):
    """A key of the operator: ``key("CI", days=5)``, made a month ago."""
    from accounts.models import APIKey

    actor = Actor(name="Otto", via="session", user=operator, role="Operator")

    def make(name: str, days: float):
        bounds = {"scopes": (), "environments": None, "networks": ()}
        made, _ = key_actions.create_api_key(actor, operator, name, days=90, **bounds)
        now = timezone.now()
        APIKey.objects.filter(pk=made.pk).update(
            created_at=now - timedelta(days=30), expires_at=now + timedelta(days=days)
        )
        made.refresh_from_db()
        return made

    return make


def test_a_key_that_ends_soon_is_an_alert_until_it_is_rotated(key, operator, actor_of):
    due, _later = key("CI", 5), key("Dashboard", 60)
    tasks.remind_of_keys()
    assert keys.remind() == 1
    alert = Alert.objects.get()
    assert (alert.kind, alert.key, alert.severity, alert.environment, alert.times) == (
        "key", due.prefix, "warning", None, 2,
    )  # fmt: skip
    assert f"“CI” of Otto Operator ends on {due.expires_at:%Y-%m-%d}" in alert.title and alert.link == "/account/keys/"
    key_actions.rotate_api_key(actor_of(operator), due)
    assert keys.remind() == 0
    alert.refresh_from_db()
    assert alert.state == "over"


def test_one_task_asks_for_one_a_channel(channels, monkeypatch):
    channels({}, {"name": "chat"}, {"name": "mail"})
    sent, rung = [], []
    monkeypatch.setattr(sending, "send", sent.append)
    monkeypatch.setattr(events, "ring_sender", rung.append)
    tasks.repeat()
    assert (sent, rung) == (["on-call"], ["chat", "mail"])
    tasks.send("mail")
    assert sent == ["on-call", "mail"]


def test_without_channels_nothing_is_done(trouble, settings):
    settings.ALERT_CHANNELS = None
    trouble()
    tasks.repeat()
    assert sending.send_all() == 0 and sending.send("on-call") == 0


def test_without_celery_everything_is_sent_all_the_same(trouble, channels, receiver):
    channels({}, {"name": "chat"})
    trouble()
    assert sending.send_all() == 2 and len(receiver.got) == 2


def test_beat_calls_them_often_enough():
    found = {entry["task"]: entry["schedule"] for entry in project.CELERY_BEAT_SCHEDULE.values()}
    assert found["alerts.tasks.repeat"] == 30.0 and found["alerts.tasks.remind_of_keys"] <= 3600


def test_the_ring_goes_to_the_broker_and_a_dead_one_is_no_error(monkeypatch, caplog):
    asked = []
    monkeypatch.setattr(tasks.send, "apply_async", lambda args, **given: asked.append((args, given)))
    events._publish("on-call", 10.0)
    assert asked == [(("on-call",), {"retry": False, "countdown": 10.0, "expires": 40.0})]

    def dead(*args, **given):
        raise OSError("broker")

    monkeypatch.setattr(tasks.send, "apply_async", dead)
    events._publish("", 0)
    assert "sender of alerts not rung: broker" in caplog.text
