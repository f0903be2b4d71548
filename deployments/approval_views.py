"""The pages of the review: what waits, one request, and the plain POST forms that decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest
from accounts.errors import Forbidden
from deployments import approval_actions, approval_pages, approvals
from deployments.forms import ApproveForm, RejectForm, WithdrawForm
from deployments.models import Approval

PARTS = {
    "list": "approvals/_list.html",
    "mine": "approvals/_mine.html",
    "counter": "approvals/_counter.html",
    "badge": "approvals/_badge.html",
}
FORMS: dict[str, Callable[..., Any]] = {"approve": ApproveForm, "reject": RejectForm, "withdraw": WithdrawForm}


@dataclass(frozen=True, slots=True)
class Tried:
    """A decision that was tried on this page."""

    act: str = ""
    form: Any = None
    """The form with its mistakes, whose values are kept."""
    refused: str = ""
    """Why it did nothing."""

    @property
    def reason(self) -> str:
        """What was typed."""
        return "" if self.form is None else self.form["reason"].value() or ""

    @property
    def error(self) -> str:
        """What is wrong with it."""
        return "" if self.form is None else " ".join(self.form.errors.get("reason", ()))


@require_safe
def approval_list(request: HttpRequest) -> HttpResponse:
    """``/approvals/``: what waits for the person, what waits for others, what was decided last."""
    return render(request, "approvals/list.html", _list(request) | {"approvals_stamp": approval_pages.stamp()})


@require_safe
def part(request: HttpRequest) -> HttpResponse:
    """``/approvals/parts/?part=``: a part of a page that depends on who looks; live pages fetch it when it changes."""
    name = request.GET.get("part", "list")
    if name not in PARTS:
        raise Http404(f"There is no part {name!r}.")
    if name == "badge":
        context: dict[str, Any] = {"count": approvals.count_waiting_for(request.user)}
    elif name == "list":
        context = _list(request)
    else:
        context = {"waiting": approval_pages.waiting(request.user)}
    return render(request, PARTS[name], context)


def _list(request: HttpRequest) -> dict[str, Any]:
    return {
        "waiting": approval_pages.waiting(request.user, settle=True),
        "decided": approval_pages.decided(request.user),
        "may_start": bool(approvals.startable_ids(request.user)),
    }


@require_safe
def approval_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/approvals/<id>/``: exactly what will happen, and the decision."""
    return _detail(request, find(request, pk))


@require_safe
def decision(request: HttpRequest, pk: int) -> HttpResponse:
    """``/approvals/<id>/decision/``: where it stands and what the person may do, which live pages fetch again."""
    return render(request, "approvals/_decision.html", _context(request, find(request, pk)))


def _detail(request: HttpRequest, approval: Approval, tried: Tried | None = None, status: int = 200) -> HttpResponse:
    return render(request, "approvals/detail.html", _context(request, approval, tried), status=status)


def _context(request: HttpRequest, approval: Approval, tried: Tried | None = None) -> dict[str, Any]:
    return {
        "page": approval_pages.page(request.user, approval),
        "approval": approval,
        "deployment": approval.deployment,
        "release": approval.deployment.to_release,
        "environment": approval.deployment.environment,
        "tried": tried or Tried(request.GET.get("confirm", "").removeprefix("confirm-")),
    }


def find(request: HttpRequest, pk: int) -> Approval:
    """A request that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    try:
        return approval_pages.load(request.user, pk)
    except Approval.DoesNotExist:
        raise Http404(f"There is no request {pk} that you may see.") from None


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """``/approvals/<id>/<act>/``: approve, reject or withdraw.

    Answers with a redirect (after an approval to the deployment); 400 for a missing reason, 403 for an own request, 409
    when it fell, expired or was decided meanwhile, 422 when checks block it. A GET changes nothing.
    """
    if name not in FORMS:
        raise Http404(f"There is no act {name!r}.")
    # Without a look at whether it still holds: the act looks, and tells what it found.
    approval = approvals.loaded(Approval.objects.visible_to(request.user)).filter(pk=pk).first()
    if approval is None:
        raise Http404(f"There is no request {pk} that you may see.")
    if request.method != "POST":
        query = request.GET.urlencode()
        return redirect(f"{reverse('approval', args=[pk])}{'?' if query else ''}{query}")
    form = FORMS[name](request.POST)
    if not form.is_valid():
        return _detail(request, find(request, pk), Tried(name, form, _hash_missing(form)), status=400)
    try:
        _DO[name](request, approval, form.cleaned_data)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        form.add_error(error.field, str(error))
        return _detail(request, find(request, pk), Tried(name, form), status=400)
    except DomainError as error:
        refused = str(error).replace("Nothing was done.", "").replace("Nothing was started;", "").strip()
        return _detail(request, find(request, pk), Tried(name, form, refused), status=error.status)
    if name == "approve":
        messages.info(request, "Approved. The deployment starts; this page shows it.")
        return redirect("deployment", pk=approval.deployment_id)
    messages.info(request, "Rejected." if name == "reject" else "Withdrawn.")
    return redirect("approval", pk=pk)


def _hash_missing(form: Any) -> str:
    """A form without a hash was not drawn by this page."""
    return " ".join(form.errors.get("subject_hash", ()))


def _approve(request: HttpRequest, approval: Approval, given: dict[str, Any]) -> None:
    approval_actions.approve(from_request(request), approval, given["subject_hash"], given["reason"])


def _reject(request: HttpRequest, approval: Approval, given: dict[str, Any]) -> None:
    approval_actions.reject(from_request(request), approval, given["reason"])


def _withdraw(request: HttpRequest, approval: Approval, given: dict[str, Any]) -> None:
    approval_actions.withdraw(from_request(request), approval, given["reason"])


_DO: dict[str, Callable[[HttpRequest, Approval, dict[str, Any]], None]] = {
    "approve": _approve,
    "reject": _reject,
    "withdraw": _withdraw,
}
