"""Use cases: an alert is raised and cleared by the code that sees its cause, and acknowledged by a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

import alerts.audit  # noqa: F401  registers the action names
from accounts.domain import InvalidRequest
from accounts.use_case import use_case
from alerts import events
from alerts.errors import BecameCritical
from alerts.models import Alert
from alerts.permissions import require_acknowledge
from audit.actions import record
from audit.actors import Actor, system
from environments.models import Environment

__all__ = ["acknowledge", "acknowledge_all", "clear", "raise_alert"]
NOTE_LIMIT = 2000
CRITICAL, WARNING = Alert.Severity.CRITICAL, Alert.Severity.WARNING
_UNACKNOWLEDGED: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": None}


@transaction.atomic
def raise_alert(
    kind: str,
    key: str,
    *,
    severity: str,
    title: str,
    environment: Environment | None = None,
    detail: str = "",
    link: str = "",
    actor: Actor | None = None,
) -> Alert:
    """Raise an alert, or count it on the open one of the same kind and key. Harmless to repeat, also by two at once.

    A repeat is one UPDATE and writes nothing into the audit trail. A warning that becomes critical waits for an
    acknowledgement again; a critical one that is seen as a warning stays critical until it is cleared.

    Args:
        kind: a short word for the sort of trouble, as in ``Alert.kind``.
        key: what it is about, for example the environment's name and the symbol.
        link: path of the page where something can be done about it.
    """
    actor = actor or system("monitor")
    kind, key = _fitting(kind, "kind"), _fitting(key, "key")
    words = {"title": _fitting(title, "title"), "detail": _plain(detail), "link": _fitting(link, "link")}
    counted = _counted(actor, Alert.objects.filter(kind=kind, key=key, cleared_at=None), severity, words)
    if counted is not None:
        return counted
    now = timezone.now()
    times = dict.fromkeys(("raised_at", "seen_at", "severity_since", "changed_at"), now)
    try:
        with transaction.atomic():
            place: dict[str, Any] = {"kind": kind, "key": key, "environment": environment}
            alert = Alert.objects.create(severity=severity, **place, **words, **times)
    except IntegrityError:  # somebody else raised it in this moment
        return raise_alert(kind, key, severity=severity, environment=environment, actor=actor, **words)
    return _told(actor, "alert.raised", alert)


@transaction.atomic
def clear(kind: str, key: str, *, actor: Actor | None = None) -> bool:
    """Say that a cause is gone; False when there was no open alert of it, which takes one query."""
    found = Alert.objects.filter(kind=_fitting(kind, "kind"), key=_fitting(key, "key"), cleared_at=None)
    alert = found.select_for_update(of=("self",)).first()
    if alert is None:
        return False
    alert.cleared_at = alert.changed_at = timezone.now()
    alert.save(update_fields=["cleared_at", "changed_at"])
    _told(actor or system("monitor"), "alert.cleared", alert)
    return True


@use_case
def acknowledge(actor: Actor, alert: Alert, note: str = "", *, seen: str = "") -> Alert:
    """Say that somebody knows: it is not sent out again. On an acknowledged one a note replaces the earlier note.

    Args:
        seen: how severe it was when the person looked; empty when that does not matter.

    Raises:
        Forbidden: the person has no work where it is.
        InvalidRequest: the note is longer than 2,000 characters.
        BecameCritical: a warning was seen, and it is critical now. Nothing was done.
    """
    require_acknowledge(actor, [alert])
    note = _note(note)
    locked = Alert.objects.select_for_update(of=("self",)).select_related("environment").get(pk=alert.pk)
    if seen == WARNING and locked.is_critical and locked.acknowledged_at is None:
        raise BecameCritical("It became critical meanwhile. Nothing was done; look at it again.")
    if locked.acknowledged_at is not None:
        return _amend(actor, locked, note) if note and note != locked.note else locked
    return _acknowledge(actor, locked, note, timezone.now())


@use_case
def acknowledge_all(actor: Actor, found: Iterable[Alert], note: str = "", *, drawn_at: datetime) -> int:
    """Acknowledge many at once: those that stood there when the page was drawn, as severe as they were then.

    Returns:
        How many were acknowledged; those that somebody acknowledged before are not counted.

    Raises:
        Forbidden: the person has no work where one of them is; nothing was done.
        InvalidRequest: the note is longer than 2,000 characters.
    """
    chosen: Sequence[Alert] = list(found)
    require_acknowledge(actor, chosen)
    note, now = _note(note), timezone.now()
    waiting = Alert.objects.waiting().filter(pk__in=[alert.pk for alert in chosen], severity_since__lte=drawn_at)
    locked = list(waiting.select_for_update(of=("self",)).select_related("environment").order_by("pk"))
    for alert in locked:
        _acknowledge(actor, alert, note, now)
    return len(locked)


def _acknowledge(actor: Actor, alert: Alert, note: str, now: datetime) -> Alert:
    alert.acknowledged_at, alert.acknowledged_by, alert.note, alert.changed_at = now, actor.user, note, now
    alert.save(update_fields=["acknowledged_at", "acknowledged_by", "note", "changed_at"])
    record(
        actor,
        "alert.acknowledged",
        alert,
        environment=_place(alert),
        reason=note,
        after={"severity": alert.severity, "times": alert.times},
    )
    events.publish()
    return alert


def _amend(actor: Actor, alert: Alert, note: str) -> Alert:
    before, alert.note, alert.changed_at = alert.note, note, timezone.now()
    alert.save(update_fields=["note", "changed_at"])
    kept: dict[str, Any] = {"before": {"note": before}, "after": {"note": note}}
    record(actor, "alert.noted", alert, environment=_place(alert), reason=note, **kept)
    events.publish()
    return alert


def _counted(actor: Actor, same: Any, severity: str, words: dict[str, str]) -> Alert | None:
    """The open alert of a trouble with one more sight of it; None when there is none."""
    now = timezone.now()
    sight = {"seen_at": now, "times": F("times") + 1, **words}
    if severity == CRITICAL:
        worse = {"severity": CRITICAL, "severity_since": now, "changed_at": now, **_UNACKNOWLEDGED}
        if same.filter(severity=WARNING).update(**sight, **worse):
            return _told(actor, "alert.worse", same.get())
    found: Alert | None = same.get() if same.update(**sight) else None
    return found


def _told(actor: Actor, action: str, alert: Alert) -> Alert:
    """Record it, and tell pages and channels once it is committed."""
    record(actor, action, alert, environment=_place(alert), reason=alert.title, after={"severity": alert.severity})
    events.publish()
    events.send()
    return alert


def _place(alert: Alert) -> str:
    return alert.environment.name if alert.environment else ""


def _note(note: str) -> str:
    text = _plain(note or "").strip()
    if len(text) > NOTE_LIMIT:
        raise InvalidRequest("note", f"The note has {len(text)} characters; at most {NOTE_LIMIT} are kept.")
    return text


def _plain(text: str) -> str:
    """Without what Postgres keeps in no text: an exchange's error message must not hinder the alert about it."""
    return text.replace("\x00", "")


def _fitting(text: str, field: str) -> str:
    return _plain(text)[: Alert._meta.get_field(field).max_length]
