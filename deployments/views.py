"""Pages that show: overview, deployments, releases. Acts are in ``act_views.py``."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from deployments import approval_pages, live_page, metrics, pages, preflight, runbook_links, test_reports
from deployments.acts import Attempt, Panel, panel
from deployments.approvals import startable_ids
from deployments.forms import ListFilter
from deployments.live import actions_stamp
from deployments.models import Deployment, Release
from environments.drivers.artifacts import verify_artifact
from environments.drivers.base import DriverError
from environments.live import may_see_everything
from environments.models import Environment
from environments.pages import deployable_ids
from runbooks import checklist_live, checklist_pages

REPORTS = 50


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """``/``: what runs, what is wrong, what happened last."""
    context = {
        "overview": pages.overview(request.user),
        "may_deploy": bool(startable_ids(request.user)),
        "is_live": may_see_everything(request.user),
        "waiting": approval_pages.waiting(request.user),
        "approvals_stamp": approval_pages.stamp(),
        "checklists": checklist_pages.due(request.user),
        "checklists_stamp": checklist_live.stamp(),
    }
    return render(request, "deployments/overview.html", context)


@require_safe
def deployment_list(request: HttpRequest) -> HttpResponse:
    """``/deployments/``: every deployment that the person may see, newest first, filtered by the query string."""
    form = ListFilter(request.GET)
    form.is_valid()
    page = pages.page_of(pages.filtered(pages.listed(request.user), form.cleaned_data), request.GET.get("page"))
    now = timezone.now()
    names = list(Environment.objects.visible_to(request.user).values_list("name", flat=True))
    context = {
        "filters": form.fields_for_bar(names),
        "problems": [f"{form.fields[name].label}: {error}" for name, listed in form.errors.items() for error in listed],
        "page": page,
        "rows": [pages.row(item, now) for item in page],
        "is_filtered": any(form.data.get(name) for name in form.fields),
        "may_deploy": bool(startable_ids(request.user)),
    }
    return render(request, "deployments/list.html", context)


@require_safe
def deployment_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/deployments/<id>/``: the live page."""
    return detail_page(request, find(request, pk))


def detail_page(
    request: HttpRequest, deployment: Deployment, attempt: Attempt | None = None, status: int = 200
) -> HttpResponse:
    """The live page; after a refused act with what was wrong and the values kept."""
    kind = request.GET.get("events", "all")
    kind = kind if kind in live_page.EVENT_KINDS else "all"
    page = live_page.build(deployment, kind)
    rows = metrics.measured(deployment)
    context = {
        "page": page,
        "deployment": deployment,
        "panel": panel(request.user, page, attempt or Attempt(request.GET.get("confirm", "").removeprefix("confirm-"))),
        "stamp": actions_stamp(page),
        "charts": [(metric, metrics.points(rows, metric.key)) for metric in page.metrics],
        "marks": metrics.marks(deployment),
        "measurements_url": reverse("deployment-measurements", args=[deployment.pk]),
        "runbooks": runbook_links.offers(request.user, deployment),
        "kind": kind,
        "kinds": [(label, f"?events={key}#events", key == kind, None) for key, label in live_page.EVENT_KINDS.items()],
    }
    return render(request, "deployments/detail.html", context, status=status)


@require_safe
def action_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """``/deployments/<id>/actions/``: the panel of acts alone, which live pages fetch again when the state changes.

    ``?part=bar`` gives the bar at the bottom of a phone.
    """
    deployment = find(request, pk)
    shown: Panel = panel(request.user, live_page.build(deployment))
    template = "deployments/_actionbar.html" if request.GET.get("part") == "bar" else "deployments/_actions.html"
    return render(request, template, {"deployment": deployment, "panel": shown})


@require_safe
def measurements(request: HttpRequest, pk: int) -> HttpResponse:
    """``/deployments/<id>/measurements.json?since=<unix seconds>``: points for the charts."""
    given = request.GET.get("since", "")
    try:
        after = datetime.fromtimestamp(float(given), UTC) if given else None
    except (ValueError, OverflowError, OSError):
        return JsonResponse({"detail": f"since must be a time in unix seconds, not {given[:40]!r}."}, status=400)
    return JsonResponse(metrics.series(find(request, pk), after))


def find(request: HttpRequest, pk: int) -> Deployment:
    """A deployment that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    try:
        return live_page.load(request.user, pk)
    except Deployment.DoesNotExist:
        raise Http404(f"There is no deployment {pk} that you may see.") from None


@require_safe
def release_list(request: HttpRequest) -> HttpResponse:
    """``/releases/``: every release, the newest version first."""
    wanted = request.GET.get("q", "").strip()[:40]
    releases = pages.counted(pages.releases_visible_to(request.user))
    if wanted:
        releases = releases.filter(version__icontains=wanted)
    page = pages.page_of(releases, request.GET.get("page"))
    running = pages.running_versions(request.user)
    context = {
        "page": page,
        "rows": [pages.release_row(item, running) for item in page],
        "wanted": wanted,
        "filters": [{"name": "q", "label": "Version", "value": wanted, "type": "search"}],
        "may_deploy": bool(startable_ids(request.user)),
    }
    return render(request, "deployments/release_list.html", context)


@require_safe
def release_detail(request: HttpRequest, version: str) -> HttpResponse:
    """``/releases/<version>/``: notes, artifact, where it runs; ``?service=`` chooses when several services have it."""
    releases = pages.counted(pages.releases_visible_to(request.user)).filter(version=version)
    service = request.GET.get("service")
    release = (releases.filter(service__name=service) if service else releases).first()
    if release is None:
        raise Http404(f"There is no release {version} that you may see.")
    deployments = pages.listed(request.user).filter(to_release=release)[:10]
    context = {
        "row": pages.release_row(release, pages.running_versions(request.user)),
        "release": release,
        "artifact": artifact_state(release),
        "rows": [pages.row(item) for item in deployments],
        "deployable": _deployable(request, release),
        "reports": test_reports.of(release)[:REPORTS],
    }
    return render(request, "deployments/release_detail.html", context)


def _deployable(request: HttpRequest, release: Release) -> list[tuple[Environment, bool]]:
    """Environments to which the person may bring a release, each with whether another person must approve first."""
    direct = deployable_ids(request.user)
    found = Environment.objects.filter(pk__in=startable_ids(request.user), service=release.service)
    return [(place, place.pk not in direct or place.needs_second_person) for place in found]


def artifact_state(release: Release) -> tuple[bool, str]:
    """Whether the archive is there and matches its digest, and what was found."""
    try:
        verify_artifact(preflight.artifact_spec(release))
    except DriverError as error:
        return False, str(error)
    return True, "The archive is there and matches its digest."
