"""The pages of the leave to trade: asking to resume or to release, one request, and the forms that decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts import step_up
from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest
from accounts.errors import Forbidden, StepUpFailed, StepUpRequired
from environments.models import Environment
from trading import clearance_pages, clearances
from trading.breaker_views import given_answers, typed_answers
from trading.models import Clearance, EmergencyStop
from trading.questions import RELEASE, Given

RELEASE_ACT = "stop.released"
"""The audited name of a release; the fresh proof is bound to it."""


@require_http_methods(["GET", "HEAD", "POST"])
def resume(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/clearances/resume/<environment>/``: what stands against resuming, and asking for it.

    POST answers with a redirect to the request; 400 without a reason, 403 without the right, 409 when something stands
    against it.
    """
    environment = Environment.objects.visible_to(request.user).filter(name=name).first()
    if environment is None:
        raise Http404(f"There is no environment {name!r} that you may see.")
    if request.method != "POST":
        return _resume_page(request, environment)
    reason = request.POST.get("reason", "")
    try:
        made = clearances.request_resume(from_request(request), environment, reason)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _resume_page(request, environment, reason=reason, error=str(error), status=400)
    except DomainError as error:
        return _resume_page(request, environment, reason=reason, refused=str(error), status=error.status)
    messages.info(request, "Asked for. Nothing trades until another person approves.")
    return redirect("clearance", pk=made.pk)


def _resume_page(request: HttpRequest, environment: Environment, *, status: int = 200, **tried: Any) -> HttpResponse:
    page = clearance_pages.resume_page(request.user, environment)
    context = {"page": page, "environment": environment, "tried": tried}
    return render(request, "trading/clearances/resume.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def release(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """``/kill-switch/stops/<id>/release/``: the four questions, and asking for the release; takes a fresh proof (L3).

    POST answers with a redirect to the request; 400 when an answer is missing, 403 without the right or the proof, 409
    when something stands against it.
    """
    stop = EmergencyStop.objects.filter(environment__in=Environment.objects.visible_to(request.user))
    found = stop.select_related("environment").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no emergency stop {pk} that you may see.")
    if request.method != "POST":
        return _release_page(request, found)
    actor, given = from_request(request), given_answers(request, RELEASE)
    typed = {key: (one.answer, one.note, "") for key, one in given.items()}
    try:
        clearances.refuse_request(actor, found.environment)
        clearances.check_answers(given, {}, "", "")
        clearances.clean_reason(request.POST.get("reason", ""))
        step_up.confirm(request, RELEASE_ACT, found, found.environment.name)
        made = clearances.request_release(from_request(request), found, given, request.POST.get("reason", ""))
    except (StepUpRequired, StepUpFailed) as error:
        request.denied_by = error  # type: ignore[attr-defined]  # for the audit record
        return _release_page(request, found, typed, error=error, status=403)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _invalid_release(request, found, given, error)
    except DomainError as error:
        return _release_page(request, found, typed, refused=str(error), status=error.status)
    messages.info(request, "Asked for. The kill switch stays engaged until another person approves.")
    return redirect("clearance", pk=made.pk)


def _invalid_release(
    request: HttpRequest, stop: EmergencyStop, given: dict[str, Given], error: InvalidRequest
) -> HttpResponse:
    return _release_page(request, stop, typed_answers(given, error), error=error, status=400)


def _release_page(
    request: HttpRequest,
    stop: EmergencyStop,
    typed: dict[str, tuple[str, str, str]] | None = None,
    *,
    error: Any = None,
    refused: str = "",
    status: int = 200,
) -> HttpResponse:
    page = clearance_pages.release_page(request.user, stop, typed or {})
    context = {"page": page, "environment": stop.environment, "stop": stop, "refused": refused}
    if page.may_ask and not page.blocks:
        context["step_up"] = step_up.offer(request, RELEASE_ACT, stop, stop.environment.name, error or refused or None)
    return render(request, "trading/clearances/release.html", context, status=status)


@require_safe
def clearance(request: HttpRequest, pk: int) -> HttpResponse:
    """``/clearances/<id>/``: what leave is asked for, how things are, and the decision."""
    return _detail(request, find(request, pk))


@require_safe
def decision(request: HttpRequest, pk: int) -> HttpResponse:
    """``/clearances/<id>/decision/``: where it stands and what the person may do, which live pages fetch again."""
    return _detail(request, find(request, pk), template="trading/clearances/_decision.html")


def find(request: HttpRequest, pk: int) -> Clearance:
    """A request that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    try:
        return clearance_pages.load(request.user, pk)
    except Clearance.DoesNotExist:
        raise Http404(f"There is no request {pk} that you may see.") from None


def _detail(
    request: HttpRequest,
    found: Clearance,
    *,
    template: str = "trading/clearances/detail.html",
    error: Any = None,
    status: int = 200,
    **tried: Any,
) -> HttpResponse:
    page = clearance_pages.page(request.user, found)
    opened = request.GET.get("confirm", "").removeprefix("confirm-")
    context = {
        "page": page,
        "clearance": page.clearance,
        "environment": page.clearance.environment,
        "tried": tried or {"act": opened},
    }
    if page.may_decide and page.is_release:
        name = page.clearance.environment.name
        context["step_up"] = step_up.offer(request, "clearance.approved", page.clearance, name, error)
    return render(request, template, context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """``/clearances/<id>/<act>/``: approve, reject or withdraw; approving a release takes a fresh proof (L3).

    Answers with a redirect; 400 for a missing reason, 403 for an own request, 409 when it fell, expired, was decided
    meanwhile, or something stands against it. A GET changes nothing.
    """
    if name not in _DO:
        raise Http404(f"There is no act {name!r}.")
    found = find(request, pk)
    if request.method != "POST":
        query = request.GET.urlencode()
        return redirect(f"{reverse('clearance', args=[pk])}{'?' if query else ''}{query}")
    reason = request.POST.get("reason", "")
    try:
        _DO[name](request, found, reason)
    except (StepUpRequired, StepUpFailed) as error:
        request.denied_by = error  # type: ignore[attr-defined]  # for the audit record
        return _detail(request, find(request, pk), error=error, act=name, status=403)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _detail(request, find(request, pk), act=name, error_text=str(error), reason=reason, status=400)
    except DomainError as error:
        return _detail(request, find(request, pk), act=name, refused=str(error), status=error.status)
    said = {"approve": "Approved. It is being done; this page shows when it is read back.", "reject": "Rejected."}
    messages.info(request, said.get(name, "Withdrawn."))
    return redirect("clearance", pk=pk)


def _approve(request: HttpRequest, found: Clearance, reason: str) -> None:
    actor = from_request(request)
    if found.kind == Clearance.Kind.RELEASE:
        clearances.refuse_decision(actor, found)
        step_up.confirm(request, "clearance.approved", found, found.environment.name)
        actor = from_request(request)
    clearances.approve(actor, found, request.POST.get("subject", ""), reason)


def _reject(request: HttpRequest, found: Clearance, reason: str) -> None:
    clearances.reject(from_request(request), found, reason)


def _withdraw(request: HttpRequest, found: Clearance, reason: str) -> None:
    clearances.withdraw(from_request(request), found, reason)


_DO: dict[str, Callable[[HttpRequest, Clearance, str], None]] = {
    "approve": _approve,
    "reject": _reject,
    "withdraw": _withdraw,
}
