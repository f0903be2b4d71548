"""The pages of the kill switch. They work without a script; the dialog in the header sends the same form."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest
from accounts.errors import Forbidden
from environments.models import Environment
from environments.permissions import reach
from trading import stop_pages, stops

CONFIRMATION = "STOP"
REASON_LENGTH = 500


@require_safe
def kill_switch(request: HttpRequest) -> HttpResponse:
    """``/kill-switch/``: whether each environment is stopped, what a press would do now, and the last uses."""
    return _page(request)


@require_safe
def now(request: HttpRequest) -> JsonResponse:
    """``/kill-switch/now.json``: what a press would do now, in words, by environment; the open dialog asks again."""
    seen = reach(request.user, Environment.objects.all())
    return JsonResponse({choice.name: choice.does for choice in stop_pages.frame(seen).choices})


@require_http_methods(["GET", "HEAD", "POST"])
def press(request: HttpRequest, name: str) -> HttpResponse:
    """``/kill-switch/<environment>/``: stop trading there, or run a drill.

    Answers with a redirect to the stop (to a script: 202 and its address); 400 unless STOP was typed, 403 without
    permission, 409 when it cannot be stopped from here. A GET leads to the page and changes nothing.
    """
    if request.method != "POST":
        return redirect("kill-switch")
    environment = Environment.objects.visible_to(request.user).filter(name=name).first()
    if environment is None:
        raise Http404(f"There is no environment {name} that you may see.")
    reason, drill = _reason(request), bool(request.POST.get("drill"))
    if request.POST.get("confirm", "").strip().upper() != CONFIRMATION:
        return _refused(request, name, f"Type {CONFIRMATION} to stop {name}.", 400)
    try:
        pressed = stops.press(from_request(request), environment, reason, drill=drill, via="page")
    except Forbidden as error:
        if _wants_json(request):
            return JsonResponse({"detail": str(error)}, status=403)
        raise PermissionDenied(str(error)) from error
    except DomainError as error:
        return _refused(request, name, str(error), error.status)
    address = reverse("stop", args=[pressed.id])
    if _wants_json(request):
        return JsonResponse({"id": str(pressed.id), "joined": pressed.joined, "url": address}, status=202)
    return redirect(address)


@require_safe
def stop_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """``/kill-switch/stops/<id>/``: how a stop goes, what is left, and what to do."""
    return _detail(request, _find(request, pk))


@require_safe
def stop_acts(request: HttpRequest, pk: UUID) -> HttpResponse:
    """``/kill-switch/stops/<id>/acts/``: what the person may do about it; live pages fetch it when it changes."""
    found = _find(request, pk)
    return render(request, "trading/stop/_acts.html", _context(request, found))


@require_POST
def reason(request: HttpRequest, pk: UUID) -> HttpResponse:
    """``/kill-switch/stops/<id>/reason/``: say why, within fifteen minutes."""
    found, given = _find(request, pk), _reason(request)
    try:
        stops.give_reason(from_request(request), found.stop, given)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _detail(request, found, typed=given, error=str(error), status=400)
    except DomainError as error:
        return _detail(request, found, typed=given, error=str(error), status=error.status)
    messages.info(request, "The reason is kept.")
    return redirect("stop", pk=pk)


@require_POST
def release_drill(request: HttpRequest, pk: UUID) -> HttpResponse:
    """``/kill-switch/stops/<id>/release-drill/``: end a drill; trading goes on as before."""
    found = _find(request, pk)
    try:
        said = stops.release_drill(from_request(request), found.stop)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except DomainError as error:
        messages.error(request, str(error))
        return redirect("stop", pk=pk)
    messages.info(request, said)
    return redirect("stop", pk=pk)


def _page(request: HttpRequest, *, tried: dict[str, str] | None = None, status: int = 200) -> HttpResponse:
    context = {"page": stop_pages.overview(request.user), "tried": tried or {}}
    return render(request, "trading/stop/page.html", context, status=status)


def _refused(request: HttpRequest, name: str, why: str, status: int) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse({"detail": why}, status=status)
    return _page(request, tried={"environment": name, "why": why}, status=status)


def _find(request: HttpRequest, pk: UUID) -> stop_pages.Found:
    found = stop_pages.find(request.user, pk)
    if found is None:
        raise Http404("There is no such emergency stop that you may see.")
    return found


def _detail(
    request: HttpRequest, found: stop_pages.Found, *, typed: str = "", error: str = "", status: int = 200
) -> HttpResponse:
    return render(
        request, "trading/stop/detail.html", _context(request, found, typed=typed, error=error), status=status
    )


def _context(request: HttpRequest, found: stop_pages.Found, *, typed: str = "", error: str = "") -> dict[str, Any]:
    acts = stop_pages.acts(request.user, found, typed=typed, error=error)
    return {"page": found.page, "environment": found.environment, "acts": acts}


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").replace("\x00", "").strip()[:REASON_LENGTH]


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")
