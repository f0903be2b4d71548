"""Live topics of this app: ``deployment.<id>``, ``overview``, ``approvals`` and ``approval.<id>``.

Regions come from the partials that the pages use.
"""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse

from accounts.topics import Reload, Series, View, topic
from deployments import approval_pages, live_page, metrics, pages, starting
from deployments.live_page import LivePage
from deployments.models import Approval, Deployment
from deployments.states import Status
from environments.live import every_production, may_see_everything
from environments.models import Environment

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
    "reports-owed": "rollback_reports/_owed.html",
    "under-way-body": "deployments/_strips.html",
    "environments-body": "environments/_glance.html",
    "alerts-body": "deployments/_latest_alerts.html",
    "latest-body": "deployments/_latest_audit.html",
}


_APPROVAL_PARTS = {
    "approvals-list": "list",
    "approvals-mine": "mine",
    "counter-approvals": "counter",
    "nav-approvals": "badge",
}
"""Which part of the approvals each region is filled with."""


def may_see_deployment(user: Any, key: str) -> bool:
    """Whether a person may follow a deployment."""
    return key.isdigit() and Deployment.objects.visible_to(user).filter(pk=int(key)).exists()


def production_of_deployment(key: str) -> list[str]:
    """The environment of a deployment, if it is production."""
    found = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, deployments__pk=int(key))
    return [*found.values_list("name", flat=True)]


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


def may_see_approvals(user: Any, key: str = "") -> bool:
    """Whoever sees an environment: the topic tells only that something changed, and pages fetch what is theirs."""
    return Environment.objects.visible_to(user).exists()


def draw_approvals(key: str = "") -> View:
    """The parts that show what waits for approval; each depends on who looks, so each page fetches its own."""
    address, stamp = reverse("approval-parts"), approval_pages.stamp()
    return View({region: Reload(f"{address}?part={part}", stamp) for region, part in _APPROVAL_PARTS.items()})


def may_see_approval(user: Any, key: str) -> bool:
    """Whether a person may follow a request."""
    return key.isdigit() and Approval.objects.visible_to(user).filter(pk=int(key)).exists()


def production_of_approval(key: str) -> list[str]:
    """The environment of a request, if it is production."""
    found = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, deployments__approval__pk=int(key))
    return [*found.values_list("name", flat=True)]


def draw_approval(key: str) -> View:
    """The decision on a request, fetched by each page.

    Raises:
        Approval.DoesNotExist: there is none of this number.
    """
    approval = Approval.objects.select_related("deployment__environment").get(pk=int(key))
    blocking = starting.busy(approval.deployment.environment) if approval.is_waiting else None
    address = reverse("approval-decision", args=[approval.pk])
    words = f"Request {approval.pk}: {approval.get_state_display()}."
    return View({"decision": Reload(address, approval_pages.decision_stamp(approval, blocking))}, say=words)


# It tells that something changed and shows nothing: each page fetches what its person may see.
topic("approvals", may_see_approvals, draw_approvals, production=lambda key: ())
topic("approval.<id>", may_see_approval, draw_approval, production=production_of_approval)
topic("deployment.<id>", may_see_deployment, draw_deployment, production=production_of_deployment)
topic("overview", may_see_everything, draw_overview, production=every_production)
