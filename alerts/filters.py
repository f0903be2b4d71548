"""Which alerts are asked for: one reading of a query string for the page, its acts and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q

from alerts.models import Alert, AlertQuerySet

NAMES = ("q", "environment", "kind", "severity", "state")
"""The parameters, in the order in which a page shows them."""
STATES = {
    "open": "Open",
    "waiting": "Not acknowledged",
    "acknowledged": "Acknowledged, cause still there",
    "cleared": "Cleared",
}
LONGEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """The alerts that are asked for; an empty text asks for nothing in particular."""

    q: str = ""
    """Text in title, detail, key or note."""
    environment: str = ""
    kind: str = ""
    severity: str = ""
    state: str = ""

    @property
    def query(self) -> str:
        """As a query string; empty when nothing is asked for."""
        return urlencode([(name, getattr(self, name)) for name in NAMES if getattr(self, name)])

    @property
    def given(self) -> list[tuple[str, str]]:
        """What is asked for, as hidden fields of a form."""
        return [(name, getattr(self, name)) for name in NAMES if getattr(self, name)]

    def of(self, alerts: AlertQuerySet) -> AlertQuerySet:
        """Those of a queryset that are asked for."""
        if self.environment:
            alerts = alerts.filter(environment__name=self.environment)
        if self.kind:
            alerts = alerts.filter(kind=self.kind)
        if self.severity:
            alerts = alerts.filter(severity=self.severity)
        if self.state:
            alerts = _in_state(alerts, self.state)
        if self.q:
            fields = ("title", "detail", "key", "note")
            asked = Q()
            for field in fields:
                asked |= Q(**{f"{field}__icontains": self.q})
            alerts = alerts.filter(asked)
        return alerts


def _in_state(alerts: AlertQuerySet, state: str) -> AlertQuerySet:
    if state == "open":
        return alerts.open()
    if state == "waiting":
        return alerts.waiting()
    if state == "acknowledged":
        return alerts.filter(cleared_at=None, acknowledged_at__isnull=False)
    return alerts.filter(cleared_at__isnull=False)


def read(given: Mapping[str, str]) -> tuple[Filter, dict[str, str]]:
    """The filter of a query string, and what of it cannot be used: the parameter's name and why."""
    values: dict[str, str] = {}
    problems: dict[str, str] = {}
    known = {"severity": list(Alert.Severity.values), "state": list(STATES)}
    for name in NAMES:
        text = given.get(name, "").strip()
        if "\x00" in text or len(text) > LONGEST_TEXT:
            problems[name] = f"Write at most {LONGEST_TEXT} ordinary characters."
        elif text and name in known and text not in known[name]:
            problems[name] = f"There is no {name} “{text[:40]}”. Known: {', '.join(known[name])}."
        elif text:
            values[name] = text
    return Filter(**values), problems
