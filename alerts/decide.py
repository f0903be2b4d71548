"""What is due to be said about an alert on a channel: plain data in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.channels import Channel
from alerts.models import Alert, Delivery

RAISED, WORSE, REPEATED, CLEARED = Delivery.Event.values
LEASE = timedelta(seconds=60)
"""An attempt without an end after this time was interrupted: whether it arrived is not known, so it is made again."""
PAUSES = (2.0, 10.0, 30.0, 120.0)
"""Seconds between the attempts for one message; after the last one it goes on as often as it would remind."""
MOST_TRIES = len(PAUSES) + 1
"""After so many failures in a row it counts as not sent out, and the audit trail says so."""

MOST_COUNTED = 9999


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to say now."""

    event: str
    tries: int
    """Which attempt it is, from 1."""


def due(alert: Alert, channel: Channel, last: Delivery | None, told: Delivery | None, now: datetime) -> Due | None:
    """What is due; None for nothing.

    Args:
        last: the newest attempt on this channel.
        told: the newest one that arrived.
    """
    if last is not None and last.ok is None and now - last.at < LEASE:
        return None
    event = wanted(alert, channel, told, now)
    if event is None:
        return None
    if last is None or last.ok:
        return Due(event, 1)
    if last.event != event or last.severity != alert.severity:
        return Due(event, 1)
    if event == CLEARED and last.tries >= MOST_TRIES:
        return None
    return Due(event, min(last.tries + 1, MOST_COUNTED)) if now >= last.at + pause(alert, channel, last.tries) else None


def wanted(alert: Alert, channel: Channel, told: Delivery | None, now: datetime) -> str | None:
    """What a channel that never fails would be told now."""
    if alert.cleared_at is not None:
        is_known = told is not None and told.event != CLEARED
        return CLEARED if is_known and channel.cleared else None
    if alert.acknowledged_at is not None or not channel.wants(alert):
        return None
    if told is None:
        return RAISED
    if told.severity != alert.severity:
        return WORSE
    wait = channel.pause(alert.severity)
    return REPEATED if wait and now >= told.at + timedelta(seconds=wait) else None


def pause(alert: Alert, channel: Channel, tries: int) -> timedelta:
    """How long to wait after so many failed attempts."""
    if tries <= len(PAUSES):
        return timedelta(seconds=PAUSES[tries - 1])
    return timedelta(seconds=channel.pause(alert.severity) or 3600)
