"""What the pages of alerts show, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q

from alerts import queries, words
from alerts.filters import STATES, Filter
from alerts.models import Alert, Delivery
from alerts.permissions import Reach
from alerts.queries import Waiting
from audit.models import Record

PAGE_SIZE = 50
SHOWN_DELIVERIES = 50
MOST_AT_ONCE = 200
"""So many are acknowledged with one press."""


@dataclass(frozen=True, slots=True)
class Row:
    """One alert as the list shows it."""

    alert: Alert
    may_acknowledge: bool
    deliveries: Sequence[Delivery]
    """The newest attempt on each channel."""

    @property
    def kind(self) -> str:
        """The kind in words."""
        return words.kind(self.alert.kind)


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the list."""

    page: Page[Alert]
    rows: list[Row]
    selection: Waiting
    """What of the filter the person may acknowledge at once."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of an alert's history."""

    at: datetime
    icon: str
    what: str
    who: str = ""
    detail: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One alert as a person sees it."""

    alert: Alert
    may_acknowledge: bool
    deliveries: Sequence[Delivery]
    history: Sequence[Moment]
    """Newest first."""

    @property
    def kind(self) -> str:
        """The kind in words."""
        return words.kind(self.alert.kind)

    @property
    def is_quiet(self) -> bool:
        """Nothing is asked of anybody any more."""
        return self.alert.state in ("acknowledged", "cleared")


def listing(user: Any, wanted: Filter, reach: Reach, number: str | None, upto: int) -> Listing:
    """One page of what is asked for, without alerts newer than ``upto``: nothing comes in between while it is read."""
    found = wanted.of(Alert.objects.visible_to(user)).filter(pk__lte=upto)
    page = Paginator(queries.in_order(found), PAGE_SIZE).get_page(number)
    deliveries = queries.latest_deliveries(page)
    rows = [Row(alert, _may(alert, reach), deliveries.get(alert.pk, ())) for alert in page]
    return Listing(page, rows, queries.waiting(selection(found, reach)))


def selection(alerts: Any, reach: Reach) -> Any:
    """Those of some alerts that wait and that a person may acknowledge."""
    places = Q(environment__in=reach.environments)
    return alerts.waiting().filter(places | Q(environment=None) if reach.without_environment else places)


def newer(user: Any, wanted: Filter, after: int) -> int:
    """How many alerts of a filter are newer than the newest one that a page shows."""
    return wanted.of(Alert.objects.visible_to(user)).filter(pk__gt=after).count()


def page(alert: Alert, reach: Reach) -> AlertPage:
    """The page of an alert that was loaded with its environment and who acknowledged it. Two queries."""
    deliveries = list(Delivery.objects.filter(alert=alert)[:SHOWN_DELIVERIES])
    return AlertPage(alert, _may(alert, reach), deliveries, _history(alert, deliveries))


def _may(alert: Alert, reach: Reach) -> bool:
    return reach.covers(alert)


def bar(given: Mapping[str, str], names: Sequence[str]) -> list[dict[str, Any]]:
    """The filters above the list, as ``ui/filter_bar.html`` wants them."""
    severities = [(str(value), str(label)) for value, label in Alert.Severity.choices]
    return [
        {"name": "q", "label": "Search", "value": given.get("q", ""), "type": "search"},
        _choice("environment", "Environment", given, [(name, name) for name in names]),
        _choice("kind", "Kind", given, list(words.KINDS.items())),
        _choice("severity", "Severity", given, severities),
        _choice("state", "State", given, list(STATES.items())),
    ]


def _choice(name: str, label: str, given: Mapping[str, str], options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    value = given.get(name, "")
    # A link may ask for what no list offers, such as a kind that another part of the system raises.
    unlisted = [(value, value)] if value and value not in {known for known, _ in options} else []
    return {"name": name, "label": label, "value": value, "options": [("", "Any"), *unlisted, *options]}


_ICONS = {
    "alert.raised": "bell",
    "alert.worse": "octagon-alert",
    "alert.acknowledged": "user-check",
    "alert.noted": "message-square",
    "alert.cleared": "circle-check",
    "alert.undelivered": "octagon-alert",
}


def _history(alert: Alert, deliveries: Sequence[Delivery]) -> list[Moment]:
    records = Record.objects.filter(object_type="alert", object_id=str(alert.pk), action__in=_ICONS)
    found = [_told(record) for record in records.order_by("-id")[:SHOWN_DELIVERIES]]
    found += [_sent(delivery) for delivery in deliveries]
    if alert.times > 1:
        found.append(Moment(alert.seen_at, "eye", f"Seen for the {_ordinal(alert.times)} time"))
    return sorted(found, key=lambda moment: moment.at, reverse=True)


def _told(record: Record) -> Moment:
    noted = record.action in ("alert.acknowledged", "alert.noted", "alert.undelivered")
    who = "" if record.via == "system" else record.actor_name
    detail = record.reason if noted else ""
    return Moment(record.at, _ICONS[record.action], record.label, who, detail, record.action == "alert.undelivered")


def _sent(delivery: Delivery) -> Moment:
    event = delivery.get_event_display().lower()
    if delivery.ok is None:
        return Moment(delivery.at, "send", f"Being sent to {delivery.channel} ({event})")
    attempt = "" if delivery.tries == 1 else f", attempt {delivery.tries}"
    if delivery.ok:
        return Moment(delivery.at, "send", f"Sent to {delivery.channel} ({event}{attempt})", "", delivery.detail)
    words_ = f"Not sent to {delivery.channel} ({event}{attempt})"
    return Moment(delivery.at, "octagon-alert", words_, "", delivery.detail, is_bad=True)


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
