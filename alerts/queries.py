"""Reading alerts; nothing asks again for each row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Max, Q, Value, When

from alerts.models import Alert, AlertQuerySet, Delivery
from environments.models import Environment


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many alerts nobody has acknowledged."""

    total: int = 0
    critical: int = 0

    @property
    def stamp(self) -> str:
        """Changes with the numbers."""
        return f"{self.total}.{self.critical}"

    @property
    def words(self) -> str:
        """``3 not acknowledged, 1 critical``."""
        if not self.total:
            return "none waits"
        return f"{self.total} not acknowledged" + (f", {self.critical} critical" if self.critical else "")


def waiting_for(user: Any) -> Waiting:
    """What waits for an acknowledgement among the alerts that a person sees. One query."""
    return waiting(Alert.objects.visible_to(user))


def waiting_in(environments: Collection[int]) -> Waiting:
    """What waits in these environments, and what concerns none; nothing for somebody who sees none. One query."""
    alerts = Alert.objects.filter(Q(environment__in=environments) | Q(environment=None))
    return waiting(alerts) if environments else Waiting()


def waiting(alerts: AlertQuerySet) -> Waiting:
    """What of these waits for an acknowledgement. One query."""
    critical = Count("pk", filter=Q(severity=Alert.Severity.CRITICAL))
    return Waiting(**alerts.waiting().order_by().aggregate(total=Count("pk"), critical=critical))


def in_order(alerts: AlertQuerySet) -> AlertQuerySet:
    """Open ones first, of these the critical ones first, then the newest; with what a row shows."""
    is_over = Case(
        When(Q(cleared_at=None) | Q(acknowledged_at=None), then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    return alerts.select_related("environment", "acknowledged_by").order_by(is_over, "severity", "-raised_at", "-pk")


def latest_deliveries(alerts: Iterable[Alert]) -> dict[int, list[Delivery]]:
    """The newest attempt on each channel, by alert. One query."""
    found: dict[int, list[Delivery]] = {}
    newest = Delivery.objects.filter(alert__in=[alert.pk for alert in alerts])
    for delivery in newest.order_by("alert_id", "channel", "-pk").distinct("alert_id", "channel"):
        found.setdefault(delivery.alert_id, []).append(delivery)
    return found


def open_in(environments: Any) -> AlertQuerySet:
    """Open alerts of some environments, and those that concern none; for the overview, critical and newest first."""
    return in_order(Alert.objects.open().filter(Q(environment__in=environments) | Q(environment=None)))


def stamp() -> str:
    """Changes whenever something does that a page of alerts shows. One look into an index."""
    return _moment(Alert.objects.aggregate(at=Max("changed_at"))["at"])


def last_critical() -> datetime | None:
    """When an alert was critical for the first time, of the newest such. One look into an index."""
    critical = Alert.objects.filter(severity=Alert.Severity.CRITICAL)
    return critical.order_by("-severity_since").values_list("severity_since", flat=True).first()


def newest() -> int:
    """Number of the newest alert; 0 without any."""
    return Alert.objects.aggregate(pk=Max("pk"))["pk"] or 0


def names_seen(user: Any) -> Sequence[str]:
    """Names of the environments that a person sees, in their order. One query."""
    return list(Environment.objects.visible_to(user).values_list("name", flat=True))


def _moment(at: datetime | None) -> str:
    return f"{at.timestamp():.6f}" if at else "0"
