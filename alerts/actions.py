"""Use cases: an alert is raised and cleared by the code that sees its cause, and acknowledged by a person."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from alerts.models import Alert
from audit.actions import record
from audit.actors import Actor, system
from environments.models import Environment

__all__ = ["clear", "raise_alert"]


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
    """Raise an alert, or count it on the open one of the same kind and key. Harmless to repeat.

    Args:
        kind: a short word for the sort of trouble, as in ``Alert.kind``.
        key: what it is about, for example the environment's name and the symbol.
        link: path of the page where something can be done about it.
    """
    now = timezone.now()
    found = Alert.objects.select_for_update().filter(kind=kind, key=key, cleared_at=None).first()
    if found is not None:
        worse = severity == Alert.Severity.CRITICAL and found.severity != severity
        found.seen_at, found.times, found.title, found.detail = now, found.times + 1, title[:200], detail
        if worse:  # what was acknowledged was less than this
            found.severity, found.acknowledged_at, found.sent_at = severity, None, None
        found.save()
        return found
    alert = Alert.objects.create(
        kind=kind,
        key=key,
        severity=severity,
        title=title[:200],
        environment=environment,
        detail=detail,
        link=link,
        raised_at=now,
        seen_at=now,
    )
    record(
        actor or system("monitor"),
        "alert.raised",
        alert,
        environment=environment.name if environment else "",
        reason=title,
    )
    return alert


@transaction.atomic
def clear(kind: str, key: str, *, actor: Actor | None = None) -> bool:
    """Say that a cause is gone; False when there was no open alert of it."""
    found = Alert.objects.select_for_update().filter(kind=kind, key=key, cleared_at=None).first()
    if found is None:
        return False
    found.cleared_at = timezone.now()
    found.save(update_fields=["cleared_at"])
    record(
        actor or system("monitor"),
        "alert.cleared",
        found,
        environment=found.environment.name if found.environment else "",
        reason=found.title,
    )
    return True
