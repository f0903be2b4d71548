"""The page of the freezes of an environment, and the plain POST forms that set and lift one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from accounts.roles import CONFIGURE, roles_with
from deployments import freezes
from deployments.errors import FreezeOver
from deployments.models import Freeze
from environments.models import Environment
from environments.permissions import allowed

SHOWN = 50
_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
_WRITE = "Write the time in UTC as 2026-01-21 14:02."


class FreezeForm(forms.Form):
    """From when to when, in UTC, and why."""

    starts_at = forms.DateTimeField(required=False, input_formats=_FORMATS, error_messages={"invalid": _WRITE})
    ends_at = forms.DateTimeField(
        input_formats=_FORMATS, error_messages={"invalid": _WRITE, "required": "Say until when."}
    )
    reason = forms.CharField(
        max_length=2000, error_messages={"required": "Say why: everybody who may not deploy meanwhile reads it."}
    )


@require_http_methods(["GET", "HEAD", "POST"])
def freeze(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/environments/<name>/freeze/``: its freezes, and the form that sets one.

    Answers a set freeze with a redirect; 400 for a wrong field, 403 without permission.
    """
    environment = _find(request, name)
    if request.method != "POST":
        return _page(request, environment, FreezeForm())
    form = FreezeForm(request.POST)
    # Also a wrong form goes to the use case, without an end: who may not is told that first, and the denial is audited.
    given: dict[str, Any] = form.cleaned_data if form.is_valid() else {"ends_at": None, "starts_at": None, "reason": ""}
    try:
        made = freezes.freeze(from_request(request), environment, given["ends_at"], given["reason"], given["starts_at"])
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        if form.is_valid():
            form.add_error(error.field if error.field in form.fields else None, str(error))
        return _page(request, environment, form, status=400)
    messages.info(request, f"Frozen until {made.ends_at:%Y-%m-%d %H:%M} UTC. A rollback is never frozen.")
    return redirect("environment-freeze", name=environment.name)


@require_http_methods(["GET", "HEAD", "POST"])
def lift(request: HttpRequest, name: str, pk: int) -> HttpResponseBase:
    """``/environments/<name>/freeze/<id>/lift/``: end one before its time; a GET leads back to the page.

    400 for a missing reason, 403 without permission, 409 when it ended before.
    """
    environment = _find(request, name)
    found = freezes.of(environment).select_related("environment").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no freeze {pk} of {environment}.")
    if request.method != "POST":
        return redirect("environment-freeze", name=name)
    reason = request.POST.get("reason", "")
    try:
        freezes.lift(from_request(request), found, reason)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _page(request, environment, FreezeForm(), status=400, tried=(pk, reason, str(error)))
    except FreezeOver as error:
        return _page(request, environment, FreezeForm(), status=409, refused=str(error))
    messages.info(request, "Lifted. Deployments may start again.")
    return redirect("environment-freeze", name=environment.name)


def _find(request: HttpRequest, name: str) -> Environment:
    found = Environment.objects.visible_to(request.user).select_related("service").filter(name=name).first()
    if found is None:
        raise Http404(f"There is no environment {name} that you may see.")
    return found


def _page(
    request: HttpRequest,
    environment: Environment,
    form: FreezeForm,
    *,
    status: int = 200,
    tried: tuple[int, str, str] = (0, "", ""),
    refused: str = "",
) -> HttpResponse:
    now = timezone.now()
    context: dict[str, Any] = {
        "environment": environment,
        "rows": [(one, state(one, now), f"lift-{one.pk}") for one in freezes.of(environment)[:SHOWN]],
        "form": form,
        "may_change": allowed(from_request(request), CONFIGURE, environment),
        "who_can": " or ".join(role.value for role in roles_with(CONFIGURE, production=environment.is_production)),
        "tried": tried,
        "refused": refused,
    }
    return render(request, "deployments/freeze.html", context, status=status)


def state(freeze: Freeze, now: Any) -> str:
    """``in force``, ``coming``, ``lifted`` or ``over``."""
    if freeze.lifted_at is not None:
        return "lifted"
    if freeze.ends_at <= now:
        return "over"
    return "in force" if freeze.starts_at <= now else "coming"
