"""Thin Celery tasks. A message only says "look now"; what is due stands in Postgres."""

from __future__ import annotations

from celery import shared_task

from alerts import events, keys, sending


@shared_task
def send(channel: str = "") -> None:
    """Send what is due on a channel; without a name each channel is asked for by a message of its own."""
    if channel:
        sending.send(channel)
        return
    found = sending.names()
    for name in found[1:]:
        events.ring_sender(name)
    for name in found[:1]:
        sending.send(name)


@shared_task
def repeat() -> None:
    """Remind of what nobody has acknowledged, and try again what failed; beat calls it every 30 seconds."""
    send("")


@shared_task
def remind_of_keys() -> None:
    """Raise an alert for each API key that ends soon, and clear those of keys that were rotated or have ended."""
    keys.remind()
