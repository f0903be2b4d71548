"""The words and the JSON of what goes out. Secrets are cut out here, too: a message cannot be called back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from alerts.decide import CLEARED, REPEATED, WORSE
from alerts.models import Alert
from audit.redaction import redact

MOST_LINES, MOST_ALERTS = 20, 100
"""Of a gathered message: so many lines, and so many alerts in its JSON."""
LONGEST_DETAIL = 1500


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is told at once: usually one alert; in a storm many."""

    id: uuid.UUID
    items: Sequence[tuple[Alert, str]]
    """Each alert with the event."""

    @property
    def is_critical(self) -> bool:
        """Whether one of them cannot wait."""
        return any(alert.is_critical and event != CLEARED for alert, event in self.items)

    @property
    def is_over(self) -> bool:
        """Whether it tells of nothing but ends."""
        return all(event == CLEARED for _, event in self.items)

    @property
    def title(self) -> str:
        """One line."""
        if len(self.items) == 1:
            return _line(*self.items[0])
        critical = sum(1 for alert, event in self.items if alert.is_critical and event != CLEARED)
        return f"[{len(self.items)} ALERTS] {critical} critical; more came at once than are sent one by one"

    def text(self, now: datetime) -> str:
        """Everything else, as plain lines."""
        if len(self.items) == 1:
            return _text(*self.items[0], now)
        lines = [f"- {_line(alert, event)}" for alert, event in self.items[:MOST_LINES]]
        if len(self.items) > MOST_LINES:
            lines.append(f"- and {len(self.items) - MOST_LINES} more")
        return "\n".join([*lines, "", f"All of them: {settings.OPSC_ORIGIN}{reverse('alerts')}"])

    def body(self, channel: str, now: datetime) -> bytes:
        """The JSON of a webhook."""
        document = {
            "version": 1,
            "id": str(self.id),
            "sent_at": _iso(now),
            "console": settings.OPSC_ORIGIN,
            "channel": channel,
            "title": self.title,
            "count": len(self.items),
            "alerts": [_member(alert, event) for alert, event in self.items[:MOST_ALERTS]],
        }
        return json.dumps(document, separators=(",", ":")).encode()


def _line(alert: Alert, event: str) -> str:
    where = f"{alert.environment.name}: " if alert.environment else ""
    mark = "CLEARED" if event == CLEARED else alert.get_severity_display().upper()
    return f"[{mark}{', reminder' if event == REPEATED else ''}] {where}{redact(alert.title)}"


def _text(alert: Alert, event: str, now: datetime) -> str:
    times = "" if alert.times == 1 else f", seen {alert.times} times, last at {_clock(alert.seen_at)}"
    lines = [f"Raised at {_clock(alert.raised_at)}{times}."]
    if event == CLEARED:
        lines.append(f"Its cause is gone since {_clock(alert.cleared_at or now)}.")
    elif event == REPEATED:
        lines.append(f"Nobody has acknowledged it for {_length((now - alert.raised_at).total_seconds())}.")
    elif event == WORSE:
        lines.append("It was a warning and is critical now.")
    if alert.detail:
        lines += ["", redact(alert.detail)[:LONGEST_DETAIL]]
    if alert.link and event != CLEARED:
        lines += ["", f"What to do: {settings.OPSC_ORIGIN}{alert.link}"]
    return "\n".join([*lines, f"The alert: {settings.OPSC_ORIGIN}{reverse('alert', args=[alert.pk])}"])


def _member(alert: Alert, event: str) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "event": event,
        "kind": alert.kind,
        "key": redact(alert.key),
        "severity": alert.severity,
        "environment": alert.environment.name if alert.environment else None,
        "title": redact(alert.title),
        "detail": redact(alert.detail)[:LONGEST_DETAIL],
        "raised_at": _iso(alert.raised_at),
        "seen_at": _iso(alert.seen_at),
        "times": alert.times,
        "cleared_at": _iso(alert.cleared_at) if alert.cleared_at else None,
        "link": f"{settings.OPSC_ORIGIN}{alert.link}" if alert.link else None,
        "url": f"{settings.OPSC_ORIGIN}{reverse('alert', args=[alert.pk])}",
    }


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _length(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
