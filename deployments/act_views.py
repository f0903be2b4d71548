"""Acts on deployments: plain POST forms that end in a redirect, or in the page again with what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from accounts.roles import APPROVE, DEPLOY, roles_with
from deployments import actions
from deployments.acts import ACTS, Attempt
from deployments.approvals import startable_ids, starts_directly
from deployments.checks import Exceptions
from deployments.errors import Blocked, PreflightFailed, WrongState
from deployments.forms import ActForm, StartForm
from deployments.models import Deployment
from deployments.pages import running_versions
from deployments.start_page import Preview, preview
from deployments.states import Status
from deployments.views import detail_page, find
from environments.permissions import allowed

Act = Callable[..., Deployment]
_ACTS: dict[str, tuple[Act, str]] = {
    "promote": (actions.promote, "Promotion is asked for."),
    "hold": (actions.hold, "Held. Nothing moves until somebody resumes."),
    "resume": (actions.resume, "Resumed."),
    "abort": (actions.abort, "Abort is asked for; the live slot keeps serving."),
    "rollback": (actions.roll_back, "Rollback is asked for. This page shows it."),
}
"""What is said afterwards is what is known then: asked for, not done."""


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """``/deployments/<id>/<act>/``: promote, hold, resume, abort or rollback.

    Answers with a redirect to the deployment (for a rollback, to the new one); 400 for a missing reason, 403 without
    permission, 409 when the state changed meanwhile: then nothing was done. A GET (somebody loads that answer again)
    changes nothing and leads to the deployment's page.
    """
    if name not in ACTS:
        raise Http404(f"There is no act {name!r}.")
    deployment = find(request, pk)
    if request.method != "POST":
        query = request.GET.urlencode()
        return redirect(f"{reverse('deployment', args=[pk])}{'?' if query else ''}{query}")
    use_case, said = _ACTS[name]
    form = ActForm(request.POST)
    if not form.is_valid():
        return detail_page(request, deployment, Attempt(name, form), status=400)
    reason, token = form.cleaned_data["reason"], form.cleaned_data["token"] or None
    try:
        result = use_case(from_request(request), deployment, reason, token)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except WrongState as error:
        text = str(error)
        refused = text.replace("Nothing was done.", "").strip()
        return detail_page(request, find(request, pk), Attempt(name, form, refused), status=409)
    except InvalidRequest as error:
        form.add_error(error.field, str(error))
        return detail_page(request, deployment, Attempt(name, form), status=400)
    messages.info(request, said)
    return redirect("deployment", pk=result.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest) -> HttpResponseBase:
    """``/deployments/new/``: choose, see what would happen and what blocks it, and start or ask for it."""
    if not startable_ids(request.user):
        who = " or ".join(role.value for role in roles_with(DEPLOY, production=False))
        raise PermissionDenied(f"{from_request(request).name} may not deploy to any environment. It takes: {who}.")
    if request.method == "POST":
        return _start(request)
    chosen = {
        name: request.GET[name] for name in ("environment", "release", "strategy", "reason") if request.GET.get(name)
    }
    return _start_page(request, StartForm(user=request.user, initial=chosen))


def _start(request: HttpRequest) -> HttpResponseBase:
    form = StartForm(request.POST, user=request.user)
    if not form.is_valid():
        return _start_page(request, form, status=400)
    given = form.cleaned_data
    beyond = Exceptions(given["large_change_reason"], given["override_reason"])
    what = (given["environment"], given["release"], given["strategy"], given["reason"])
    try:
        deployment = actions.start(from_request(request), *what, beyond)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _start_page(request, form, status=400)
    except Blocked as error:
        form.add_error(None, f"{error} Nothing was started.")
        return _start_page(request, form, status=409, blocking=error.blocking_id)
    except PreflightFailed as error:
        form.add_error(None, "Pre-checks block it; each is named below with what to do. Nothing was started.")
        return _start_page(request, form, status=error.status)
    if deployment.status == Status.AWAITING_APPROVAL:
        messages.info(request, "Asked for. It starts when another person approves.")
        return redirect("approval", pk=deployment.approval.pk)
    messages.info(request, f"Deployment {deployment.pk} is asked for.")
    return redirect("deployment", pk=deployment.pk)


def _start_page(
    request: HttpRequest, form: StartForm, *, status: int = 200, blocking: int | None = None
) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "shown": _preview(request, form),
        "environment": form.chosen_environment,
        "running": running_versions(request.user),
        "blocking": blocking,
    }
    return render(request, "deployments/new.html", context, status=status)


def _preview(request: HttpRequest, form: StartForm) -> Preview | None:
    environment, version = form.chosen_environment, form["release"].value()
    release = form.fields["release"].queryset.filter(version=version).first() if version else None
    if environment is None or release is None:
        return None
    asks = not starts_directly(request.user, environment)
    overrides = allowed(from_request(request), APPROVE, environment)
    return preview(environment, release, form["strategy"].value() or "", asks=asks, may_override=overrides)
