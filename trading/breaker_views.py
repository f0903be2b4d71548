"""The pages of the circuit breaker, and the plain POST forms that act."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts import step_up
from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest
from accounts.errors import Forbidden, StepUpFailed, StepUpRequired
from environments.models import Environment
from trading import breaker_pages, breakers, clearances
from trading.models import BreakerTrip
from trading.questions import VALIDATION, Given, Question


@require_safe
def breaker_list(request: HttpRequest) -> HttpResponse:
    """``/breakers/``: every circuit breaker, what opened it, and the last trips."""
    return _list(request)


def _list(request: HttpRequest, status: int = 200, **tried: Any) -> HttpResponse:
    context = {"places": breaker_pages.places(request.user), "tried": tried}
    return render(request, "trading/breakers/list.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def trip(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/breakers/<environment>/trip/``: open the breaker by hand.

    Answers with a redirect; 400 without a reason, 403 without the right, 409 when nothing trades, 502 when it was not
    confirmed. A GET changes nothing.
    """
    environment = Environment.objects.visible_to(request.user).filter(name=name).first()
    if environment is None:
        raise Http404(f"There is no environment {name!r} that you may see.")
    if request.method != "POST":
        return redirect("breakers")
    reason = request.POST.get("reason", "")
    try:
        found = breakers.trip(from_request(request), environment, reason)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _list(request, 400, environment=name, error=str(error), reason=reason)
    except DomainError as error:
        return _list(request, error.status, environment=name, refused=str(error), reason=reason)
    messages.info(request, f"Open, and read back as halted: {', '.join(one.instance_name for one in found)}.")
    return redirect("breaker", pk=found[0].pk) if len(found) == 1 else redirect("breakers")


@require_safe
def breaker(request: HttpRequest, pk: int) -> HttpResponse:
    """``/breakers/<trip>/``: what opened it, what is seen now, the three questions, and the reset."""
    return _page(request, find(request, pk))


def find(request: HttpRequest, pk: int) -> BreakerTrip:
    """A trip that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    try:
        return breaker_pages.load(request.user, pk)
    except BreakerTrip.DoesNotExist:
        raise Http404(f"There is no trip {pk} that you may see.") from None


def _page(
    request: HttpRequest,
    found: BreakerTrip,
    *,
    typed: dict[str, tuple[str, str, str]] | None = None,
    error: Any = None,
    refused: str = "",
    status: int = 200,
) -> HttpResponse:
    page = breaker_pages.page(request.user, found, typed)
    context = {"page": page, "trip": found, "environment": found.environment, "refused": refused, "typed": typed}
    if found.is_open and page.may_reset:
        context["step_up"] = step_up.offer(request, "breaker.reset", found, found.environment.name, error)
    return render(request, "trading/breakers/detail.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def validate(request: HttpRequest, pk: int) -> HttpResponseBase:
    """``/breakers/<trip>/validate/``: keep the answers; 400 when one is missing, 403 without the right."""
    found = find(request, pk)
    if request.method != "POST":
        return redirect("breaker", pk=pk)
    given = given_answers(request, VALIDATION)
    try:
        breakers.validate(from_request(request), found, given)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _page(request, found, typed=typed_answers(given, error), status=400)
    except DomainError as error:
        return _page(request, find(request, pk), refused=str(error), status=error.status)
    messages.info(request, "The answers are kept.")
    return redirect("breaker", pk=pk)


@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, pk: int) -> HttpResponseBase:
    """``/breakers/<trip>/reset/``: acknowledge the trip; takes a fresh proof (L3).

    Answers with a redirect to resuming; 400 without a reason, 403 without the right or the proof, 409 when something
    stands against it, 502 when it was not confirmed.
    """
    found = find(request, pk)
    if request.method != "POST":
        return redirect("breaker", pk=pk)
    actor, reason = from_request(request), request.POST.get("reason", "")
    try:
        breakers.refuse_reset(actor, found)
        clearances.clean_reason(reason)
        step_up.confirm(request, "breaker.reset", found, found.environment.name)
        breakers.reset(from_request(request), found, reason)
    except (StepUpRequired, StepUpFailed) as error:
        request.denied_by = error  # type: ignore[attr-defined]  # for the audit record
        return _page(request, found, error=error, status=403)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _page(request, found, error=error, status=400)
    except DomainError as error:
        return _page(request, find(request, pk), refused=str(error), status=error.status)
    messages.info(request, "Reset, and read back as closed. Trading is still halted.")
    return redirect("breaker", pk=pk)


def given_answers(request: HttpRequest, wanted: tuple[Question, ...]) -> dict[str, Given]:
    """The answers that a form brought, by question."""
    post = request.POST
    return {one.key: Given(post.get(f"answer-{one.key}", ""), post.get(f"note-{one.key}", "")) for one in wanted}


def typed_answers(given: dict[str, Given], error: InvalidRequest) -> dict[str, tuple[str, str, str]]:
    """What was typed, with the mistake at its question."""
    return {key: (one.answer, one.note, str(error) if key == error.field else "") for key, one in given.items()}
