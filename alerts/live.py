"""The live topic ``alerts``: the count in the header, the list, and one alert.

It tells that something changed and shows nothing: each page fetches what its person may see.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accounts.topics import Reload, View, topic
from alerts import queries
from alerts.models import Alert
from environments.models import Environment

_PARTS = {"alerts-new": "new", "alerts-list": "list", "alert-body": "alert"}


def may_see_alerts(user: Any, key: str = "") -> bool:
    """Whoever sees an environment."""
    return Environment.objects.visible_to(user).exists()


def draw_alerts(key: str = "") -> View:
    """Every part; a new critical alert is read out at once, without what it is about: not everybody may see that."""
    address, stamp = reverse("alert-parts"), queries.stamp()
    regions = {region: Reload(f"{address}?part={part}", stamp) for region, part in _PARTS.items()}
    regions["alerts-badge"] = Reload(f"{address}?part=badge", queries.waiting(Alert.objects.all()).stamp)
    at = queries.last_critical()
    words = f"A critical alert came at {at:%H:%M:%S} UTC. Open Alerts to see it." if at else ""
    return View(regions, say=words, urgent=True)


topic("alerts", may_see_alerts, draw_alerts, production=lambda key: ())
