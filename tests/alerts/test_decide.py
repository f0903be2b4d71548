"""What is due on a channel: a pure decision, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts import decide
from alerts.channels import Channel
from alerts.models import Alert, Delivery

NOW = datetime(2026, 1, 21, 3, 0, tzinfo=UTC)
CHANNEL = Channel(name="on-call", kind="webhook", url="env:A", secret="env:B")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def alert(**given) -> Alert:
    return Alert(**{"kind": "stop", "severity": "critical", "raised_at": ago(9999), "seen_at": NOW, **given})


def attempt(seconds: float, **given) -> Delivery:
    return Delivery(**{"at": ago(seconds), "ok": True, "event": "raised", "severity": "critical", **given})


def due(one: Alert, last: Delivery | None = None, told: Delivery | None = None, channel: Channel = CHANNEL):
    found = decide.due(one, channel, last, told if told or not (last and last.ok) else last, NOW)
    return (found.event, found.tries) if found else None


@pytest.mark.parametrize(
    ("one", "last", "wanted"),
    [
        (alert(), None, ("raised", 1)),
        (alert(acknowledged_at=NOW), None, None),
        (alert(acknowledged_at=NOW), attempt(9999), None),
        (alert(kind="delivery"), None, None),
        (alert(), attempt(299), None),
        (alert(), attempt(300), ("repeated", 1)),
        (alert(), attempt(1, severity="warning"), ("worse", 1)),
        (alert(cleared_at=NOW), None, None),
        (alert(cleared_at=NOW), attempt(1), ("cleared", 1)),
        (alert(cleared_at=NOW, acknowledged_at=NOW), attempt(1), ("cleared", 1)),
        (alert(cleared_at=NOW), attempt(1, event="cleared"), None),
        (alert(), attempt(59, ok=None), None),
        (alert(), attempt(60, ok=None), ("raised", 2)),
        (alert(), attempt(1, ok=False), None),
        (alert(), attempt(2, ok=False), ("raised", 2)),
        (alert(), attempt(1, ok=False, severity="warning"), ("raised", 1)),
        (alert(), attempt(299, ok=False, tries=5), None),
        (alert(), attempt(300, ok=False, tries=5), ("raised", 6)),
        (alert(), attempt(300, ok=False, tries=9999), ("raised", 9999)),
    ],
)
def test_what_is_due(one, last, wanted):
    assert due(one, last) == wanted


def test_its_end_is_tried_five_times_and_then_old_news():
    told = attempt(5000)
    failed = [attempt(4000, ok=False, event="cleared", tries=tries) for tries in (4, 5)]
    assert [due(alert(cleared_at=ago(4100)), last, told) for last in failed] == [("cleared", 5), None]


def test_a_channel_that_reminds_never_still_tries():
    once = CHANNEL.model_copy(update={"repeat": CHANNEL.repeat.model_copy(update={"critical": 0})})
    assert due(alert(), attempt(100_000), channel=once) is None
    assert due(alert(), attempt(3600, ok=False, tries=5), channel=once) == ("raised", 6)
