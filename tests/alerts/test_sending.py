"""What goes out, when, and what happens when it does not arrive; to a receiver that really listens."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.db import connection
from django.utils import timezone

from alerts import decide, sending, transport
from alerts.actions import acknowledge, clear
from alerts.models import Alert, Delivery
from audit.models import Record
from opsconsole.logs import Formatter
from tests.alerts.conftest import KEY

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    """The moment after which nothing of the test has happened yet, and moments after it."""
    start = timezone.now() + timedelta(seconds=1)
    return lambda seconds=0.0: start + timedelta(seconds=seconds)


def test_an_alert_goes_out_signed(trouble, channels, receiver, clock):
    alert = trouble(severity="critical", detail="0.2 BTC")
    assert sending.send("on-call", clock()) == 1
    [(path, headers, body)] = receiver.got
    stamp = headers["opsconsole-timestamp"]
    wanted = hmac.new(KEY.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["opsconsole-signature"] == f"v1={wanted}" and stamp == str(int(clock().timestamp()))
    assert path == "/hook-Zk3PqvT9" and headers["content-type"] == "application/json"
    document = json.loads(body)
    assert document["count"] == 1 and document["id"] == headers["opsconsole-delivery"] and document["version"] == 1
    [told] = document["alerts"]
    assert (told["event"], told["severity"], told["environment"], told["detail"], told["times"]) == (
        "raised", "critical", "production", "0.2 BTC", 1,
    )  # fmt: skip
    assert told["url"].endswith(f"/alerts/{alert.pk}/") and told["link"].endswith("/positions/")
    assert document["title"] == "[CRITICAL] production: BTC differs from the exchange"
    delivery = Delivery.objects.get()
    assert (delivery.ok, delivery.channel, delivery.event, delivery.tries) == (True, "on-call", "raised", 1)
    alert.refresh_from_db()
    assert alert.sent_at == clock()


def test_reminders_until_somebody_acknowledges(trouble, channels, receiver, clock, operator, actor_of):
    critical, warning = trouble("A", severity="critical"), trouble("B")
    for seconds in (0, 1, 299, 300, 301, 599, 600, 3599, 3600):
        sending.send("on-call", clock(seconds))
    assert receiver.told == [
        [("raised", "A")], [("raised", "B")],
        [("repeated", "A")], [("repeated", "A")], [("repeated", "A")], [("repeated", "B")],
    ]  # fmt: skip
    assert "Nobody has acknowledged" not in receiver.documents[0]["title"]
    for alert in (critical, warning):
        acknowledge(actor_of(operator), alert)
    assert sending.send("on-call", clock(100_000)) == 0


def test_how_often_is_a_setting_of_the_channel(trouble, channels, receiver, clock):
    channels({"repeat": {"critical": 60, "warning": 0}}, {"name": "quiet", "repeat": {"critical": 0}})
    trouble("A", severity="critical"), trouble("B")
    for name in ("on-call", "quiet"):
        for seconds in (0, 59, 60, 100_000):
            sending.send(name, clock(seconds))
    told = [(document["channel"], event, title) for document, [(event, title)] in zip(
        receiver.documents, receiver.told, strict=True)]  # fmt: skip
    assert told.count(("on-call", "repeated", "A")) == 2 and ("on-call", "repeated", "B") not in told
    assert ("quiet", "repeated", "A") not in told and told.count(("quiet", "repeated", "B")) == 1


def test_its_end_is_told_once_to_whoever_was_told_of_it(trouble, channels, receiver, clock, operator, actor_of):
    told, known, silent = trouble("told"), trouble("known"), trouble("silent")
    acknowledge(actor_of(operator), silent)
    sending.send("on-call", clock())
    acknowledge(actor_of(operator), known)
    receiver.clear()
    for alert in (told, known, silent):
        clear(alert.kind, alert.key)
    for seconds in (1, 2, 4000):
        sending.send("on-call", clock(seconds))
    assert sorted(receiver.told) == [[("cleared", "known")], [("cleared", "told")]]
    assert receiver.documents[0]["title"].startswith("[CLEARED] production: ")


def test_a_channel_need_not_hear_of_ends(trouble, channels, receiver, clock):
    channels({"cleared": False})
    alert = trouble()
    sending.send("on-call", clock())
    clear(alert.kind, alert.key)
    assert sending.send("on-call", clock(1)) == 0 and len(receiver.got) == 1


def test_worse_is_told_at_once(trouble, channels, receiver, clock):
    trouble("A")
    sending.send("on-call", clock())
    trouble("A", severity="critical")
    sending.send("on-call", clock(1))
    sending.send("on-call", clock(2))
    assert receiver.told == [[("raised", "A")], [("worse", "A")]]
    assert receiver.documents[1]["alerts"][0]["severity"] == "critical"


def test_a_channel_gets_what_it_is_for(trouble, channels, receiver, clock, staging):
    channels(
        {"name": "critical", "severities": ["critical"]},
        {"name": "staging", "environments": ["staging"]},
        {"name": "stops", "kinds": ["stop"]},
    )
    trouble("A", severity="critical"), trouble("B", environment=staging), trouble("C", kind="stop")
    trouble("D", environment=None), trouble("E", kind="delivery", severity="critical")
    for name in ("critical", "staging", "stops", "no-such"):
        sending.send(name, clock())
    found = {document["channel"]: one for document, [(_, one)] in zip(receiver.documents, receiver.told, strict=True)}
    assert found == {"critical": "A", "staging": "B", "stops": "C"}


def test_no_secret_goes_out(trouble, channels, receiver, clock):
    trouble("password=hunter2hunter2", detail="Authorization: Bearer abcdefgh12345678")
    sending.send("on-call", clock())
    assert b"hunter2" not in receiver.got[0][2] and b"abcdefgh12345678" not in receiver.got[0][2]


class TestFailure:
    def test_it_is_tried_again_with_longer_and_longer_pauses(self, trouble, channels, receiver, clock):
        alert = trouble(severity="critical")
        receiver.answers = [500, 503, 302, 404, 500, 500]
        moments = (0, 1.9, 2, 11.9, 12, 41.9, 42, 161, 162, 461, 462)
        for seconds in moments:
            sending.send("on-call", clock(seconds))
        tried = [(one.tries, one.ok, one.detail) for one in Delivery.objects.order_by("pk")]
        assert [tries for tries, _, _ in tried] == [1, 2, 3, 4, 5, 6] and not any(ok for _, ok, _ in tried)
        assert tried[0][2] == "answered 500" and "leads elsewhere" in tried[2][2]
        assert [path for path, _, _ in receiver.got] == ["/hook-Zk3PqvT9"] * 6, "no redirect is followed"
        record = Record.objects.get(action="alert.undelivered")
        assert (record.object_id, record.outcome, record.reason) == (str(alert.pk), "failed", "on-call: answered 500")
        assert sending.send("on-call", clock(762)) == 1 and Delivery.objects.latest("pk").tries == 7

    def test_a_dead_channel_is_an_alert_on_the_page_and_goes_out_nowhere(self, trouble, channels, receiver, clock):
        channels({}, {"name": "other"})
        trouble()
        receiver.answers = [500, 500]
        for seconds in (0, 2):
            sending.send("on-call", clock(seconds))
        assert not Alert.objects.filter(kind="delivery").exists()
        receiver.answers = [500]
        sending.send("on-call", clock(12))
        dead = Alert.objects.get(kind="delivery")
        assert (dead.key, dead.severity, dead.environment) == ("on-call", "critical", None)
        assert "answered 500" in dead.detail
        receiver.clear()
        sending.send("other", clock(13))
        assert receiver.told == [[("raised", "BTC differs from the exchange")]]
        assert sending.send("on-call", clock(42)) == 1
        dead.refresh_from_db()
        assert dead.cleared_at is not None
        assert sending.send("other", clock(100)) == 0, "nor does its end"

    def test_a_channel_that_was_removed_is_nobodys_trouble(self, trouble, channels, receiver, clock):
        trouble()
        receiver.answers = [500] * 3
        for seconds in (0, 2, 12):
            sending.send("on-call", clock(seconds))
        channels({"name": "other"})
        assert sending.names() == ["other"] and Alert.objects.get(kind="delivery").cleared_at is not None

    def test_nobody_listens(self, trouble, channels, clock, monkeypatch, unused_tcp_port):
        monkeypatch.setenv("A_URL", f"http://127.0.0.1:{unused_tcp_port}/hook-Zk3PqvT9")
        trouble("A"), trouble("B")
        assert sending.send("on-call", clock()) == 0
        assert Delivery.objects.get().detail == "cannot connect", "the second is not even tried"

    def test_no_answer_in_time(self, trouble, channels, receiver, clock, monkeypatch):
        monkeypatch.setattr(transport, "LIMIT_SECONDS", 0.2)
        receiver.answers = [None]
        trouble()
        assert sending.send("on-call", clock()) == 0
        receiver.released.set()
        assert Delivery.objects.get().detail.startswith("no answer within")
        assert sending.send("on-call", clock(2)) == 1

    def test_a_secret_that_is_not_there(self, trouble, channels, receiver, clock, monkeypatch):
        monkeypatch.delenv("A_KEY")
        trouble()
        assert sending.send("on-call", clock()) == 0 and receiver.got == []
        assert "environment variable A_KEY is not set" in Delivery.objects.get().detail

    def test_addresses_and_keys_stay_out_of_logs_and_rows(self, trouble, channels, clock, monkeypatch, caplog):
        caplog.set_level(logging.DEBUG)
        for url in (
            "http://127.0.0.1:1/hook-Zk3PqvT9",
            "https://[bad-Zk3PqvT9",
            "ftp://x/Zk3PqvT9",
            "http://e.org/Zk3PqvT9",
        ):
            monkeypatch.setenv("A_URL", url)
            trouble(url[:8])
            sending.send("on-call", clock())
        kept = " ".join(Delivery.objects.values_list("detail", flat=True)) + " ".join(
            record.getMessage() for record in caplog.records if record.name.startswith(("alerts", "apprise"))
        )
        assert Delivery.objects.count() == 4 and "Zk3PqvT9" not in kept and KEY not in kept, kept
        assert "plain http works on this machine only" in kept

    def test_a_file_that_cannot_be_used_is_an_alert(self, channels, settings):
        settings.ALERT_CHANNELS.write_text("channels: [{name: On Call}]")
        assert sending.names() == []
        alert = Alert.objects.get(kind="delivery")
        assert alert.severity == "critical" and "channels.0.name" in alert.detail
        channels()
        assert sending.names() == ["on-call"] and Alert.objects.get().cleared_at is not None

    def test_an_interrupted_attempt_is_made_again(self, trouble, channels, receiver, clock):
        alert = trouble()
        Delivery.objects.create(alert=alert, channel="on-call", at=clock(), ok=None)
        assert sending.send("on-call", clock(59)) == 0, "somebody may be at it"
        assert sending.send("on-call", clock(60)) == 1
        first, second = Delivery.objects.order_by("pk")
        assert first.ok is False and "interrupted" in first.detail and second.tries == 2 and second.ok


class TestStorm:
    def test_more_than_twenty_in_a_minute_go_out_together(self, trouble, channels, receiver, clock):
        for number in range(50):
            trouble(f"T{number:02}", severity="critical" if number == 49 else "warning")
        assert sending.send("on-call", clock()) == sending.MOST_A_MINUTE
        assert receiver.told[0] == [("raised", "T49")], "the critical one first"
        assert [document["count"] for document in receiver.documents] == [1] * 19 + [31]
        gathered = receiver.documents[-1]
        assert gathered["title"].startswith("[31 ALERTS] 0 critical")
        assert len({title for message in receiver.told for _, title in message}) == 50
        last = Delivery.objects.filter(message=gathered["id"])
        assert last.count() == 31 and last.first().detail == "in one message with 30 more"
        assert sending.send("on-call", clock(1)) == 0

    def test_what_comes_in_a_storm_waits_for_ten_seconds(self, trouble, channels, receiver, clock):
        for number in range(20):
            trouble(f"T{number:02}")
        assert sending.send("on-call", clock()) == 20
        trouble("U1", severity="critical"), trouble("U2")
        assert sending.send("on-call", clock(9)) == 0
        assert sending.send("on-call", clock(10)) == 1 and receiver.told[-1] == [("raised", "U1"), ("raised", "U2")]
        trouble("V")
        assert sending.send("on-call", clock(61)) == 1 and receiver.told[-1] == [("raised", "V")]

    def test_the_words_of_a_gathered_message_have_an_end(self, trouble, channels, clock):
        from alerts.channels import current

        for number in range(120):
            trouble(f"T{number:03}")
        Delivery.objects.bulk_create(
            Delivery(alert=Alert.objects.first(), channel="on-call", at=clock(-20), ok=True) for _ in range(20)
        )
        message = sending.claim(current()[0], clock())
        lines = message.text(clock()).splitlines()
        assert lines[20] == "- and 99 more" and len(json.loads(message.body("x", clock()))["alerts"]) == 100


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_send_each_alert_once(trouble, channels, receiver, clock):
    for number in range(8):
        trouble(f"T{number}")

    def run() -> None:
        try:
            sending.send("on-call", clock())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(title for [(_, title)] in receiver.told) == [f"T{number}" for number in range(8)]
    assert Delivery.objects.filter(ok=True).count() == 8


def test_a_claim_takes_the_same_queries_for_any_number(trouble, channels, clock, django_assert_num_queries):
    from alerts.channels import current

    for number in range(3):
        trouble(f"T{number}")
    with django_assert_num_queries(9):
        sending.claim(current()[0], clock())
    for number in range(3, 15):
        trouble(f"T{number}")
    with django_assert_num_queries(9):
        sending.claim(current()[0], clock())


def test_the_pauses_are_those_of_the_guide():
    assert (decide.PAUSES, decide.MOST_TRIES, sending.MOST_A_MINUTE) == ((2.0, 10.0, 30.0, 120.0), 5, 20)


class TestApprise:
    def test_it_goes_to_whatever_apprise_knows(self, trouble, channels, receiver, clock, monkeypatch):
        monkeypatch.setenv("A_URL", receiver.url.replace("http://", "json://") + "/chat-Zk3PqvT9")
        channels({"kind": "apprise"})
        alert = trouble(severity="critical", detail="*0.2* BTC <b>")
        assert sending.send("on-call", clock()) == 1
        [document] = receiver.documents
        assert document["title"] == "[CRITICAL] production: BTC differs from the exchange"
        assert "*0.2* BTC <b>" in document["message"] and f"/alerts/{alert.pk}/" in document["message"]
        assert document["type"] == "failure"
        clear(alert.kind, alert.key)
        sending.send("on-call", clock(1))
        assert receiver.documents[1]["type"] == "success" and "Its cause is gone" in receiver.documents[1]["message"]

    @pytest.mark.parametrize("status", [500, 302])
    def test_what_it_says_of_a_failure_holds_no_address(
        self, status, trouble, channels, receiver, clock, monkeypatch, caplog
    ):
        caplog.set_level(logging.DEBUG)
        [console] = [one for one in logging.getLogger().handlers if isinstance(one.formatter, Formatter)]
        monkeypatch.setattr(console, "stream", StringIO())
        monkeypatch.setenv("A_URL", receiver.url.replace("http://", "json://") + "/chat-Zk3PqvT9")
        channels({"kind": "apprise"})
        receiver.answers = [status]
        trouble()
        assert sending.send("on-call", clock()) == 0
        assert Delivery.objects.get().detail == f"Apprise: the service answered {status}"
        written = console.stream.getvalue()
        assert "WARNING alerts.sending" in written and "Zk3PqvT9" not in written
        assert len(receiver.got) == 1, "no redirect is followed"

    @pytest.mark.parametrize("url", ["nonsense://Zk3PqvT9", "json://a/Zk3PqvT9, json://b/Zk3PqvT9", "Zk3PqvT9"])
    def test_what_it_does_not_know_is_told(self, url, trouble, channels, clock, monkeypatch):
        monkeypatch.setenv("A_URL", url)
        channels({"kind": "apprise"})
        trouble()
        assert sending.send("on-call", clock()) == 0
        assert "Apprise does not know such an address" in Delivery.objects.get().detail
