"""Live topics of this app: ``deployment.<id>`` and ``overview``. Regions come from the partials that the pages use."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse

from accounts.topics import Reload, Series, View, topic
from deployments import live_page, metrics, pages
from deployments.live_page import LivePage
from deployments.models import Deployment
from deployments.states import Status
from environments.live import may_see_everything

RECENT_POINTS = 60
"""Points in a message at most; a page that missed more asks for them by itself."""
URGENT = (Status.FAILING, Status.FAILED)
_REGIONS = {
    "result": "_result",
    "steps": "_rail",
    "recommendation": "_recommendation",
    "status-body": "_status",
    "alerts-body": "_alerts",
    "health-body": "_health",
    "trades-body": "_trades",
    "events-body": "_events",
}
_OVERVIEW = {
    "counters": "deployments/_counters.html",
    "under-way-body": "deployments/_strips.html",
    "environments-body": "environments/_glance.html",
    "alerts-body": "deployments/_latest_alerts.html",
    "latest-body": "deployments/_latest_audit.html",
}


def may_see_deployment(user: Any, key: str) -> bool:
    """Whether a person may follow a deployment."""
    return key.isdigit() and Deployment.objects.visible_to(user).filter(pk=int(key)).exists()


def draw_deployment(key: str) -> View:
    """The regions and charts of a deployment.

    Raises:
        Deployment.DoesNotExist: there is none of this number.
    """
    deployment = live_page.related(Deployment.objects.all()).get(pk=int(key))
    page = live_page.build(deployment)
    context = {"page": page, "deployment": deployment}
    regions: dict[str, str | Reload] = {
        region: render_to_string(f"deployments/{name}.html", context) for region, name in _REGIONS.items()
    }
    for metric in page.metrics:
        regions[f"metric-{metric.key}"] = render_to_string("deployments/_metric.html", {"metric": metric})
    address, stamp = reverse("deployment-actions", args=[deployment.pk]), actions_stamp(page)
    regions |= {"actions": Reload(address, stamp), "actionbar": Reload(f"{address}?part=bar", stamp)}
    words = f"Deployment {deployment.pk}: {deployment.get_status_display()}."
    return View(regions, _charts(page), say=words, urgent=deployment.status in URGENT)


def actions_stamp(page: LivePage) -> str:
    """Changes when the action panel must be drawn again."""
    deployment = page.deployment
    state = f"{deployment.status}.{deployment.state_token}"
    return f"{state}.{page.recommendation.verb}.{deployment.accepted_at is not None}"


def _charts(page: LivePage) -> dict[str, Series]:
    rows = metrics.measured(page.deployment, limit=RECENT_POINTS)
    marks = metrics.marks(page.deployment)
    return {
        metric.key: Series(metrics.points(rows, metric.key), metric.baseline, metric.chart_limit, marks)
        for metric in page.metrics
    }


def draw_overview(key: str = "") -> View:
    """The regions of the overview."""
    overview = pages.overview_everywhere()
    context = {"overview": overview, "views": overview.environments}
    return View({region: render_to_string(template, context) for region, template in _OVERVIEW.items()})


topic("deployment.<id>", may_see_deployment, draw_deployment)
topic("overview", may_see_everything, draw_overview)
