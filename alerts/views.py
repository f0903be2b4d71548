"""The pages of alerts: the list, one alert, and the plain POST forms that acknowledge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from alerts import actions, filters, offers, pages, permissions, queries
from alerts.errors import BecameCritical
from alerts.filters import Filter
from alerts.models import Alert

PARTS = {
    "list": "alerts/_list.html",
    "new": "alerts/_new.html",
    "badge": "alerts/_badge.html",
    "alert": "alerts/_alert.html",
}
HIGHEST = 2**63 - 1


@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """``/alerts/``: what somebody has to know, open first; filters and page are in the query string."""
    wanted, problems = filters.read(request.GET)
    newest = queries.newest()
    context = _list(request, wanted, newest) | {
        "filters": pages.bar(request.GET, queries.names_seen(request.user)),
        "problems": list(problems.values()),
        "stamp": queries.stamp(),
        "newest": newest,
    }
    return render(request, "alerts/list.html", context)


def _list(request: HttpRequest, wanted: Filter, upto: int) -> dict[str, Any]:
    reach = permissions.reach(request.user)
    number = request.GET.get("page")
    query = "&".join(filter(None, (wanted.query, f"page={number}" if number and number.isdigit() else "")))
    return {
        "listing": pages.listing(request.user, wanted, reach, number, upto),
        "wanted": wanted,
        "back": f"{reverse('alerts')}{'?' if query else ''}{query}",
        "most_at_once": pages.MOST_AT_ONCE,
        "upto": upto,
    }


@require_safe
def part(request: HttpRequest) -> HttpResponse:
    """``/alerts/parts/?part=``: a part of a page that depends on who looks; live pages fetch it when it changes."""
    name = request.GET.get("part", "list")
    if name not in PARTS:
        raise Http404(f"There is no part {name!r}.")
    wanted, _ = filters.read(request.GET)
    if name == "badge":
        context: dict[str, Any] = {"alerts": queries.waiting_for(request.user)}
    elif name == "new":
        context = {"count": pages.newer(request.user, wanted, _number(request.GET, "after", 0)), "wanted": wanted}
    elif name == "list":
        context = _list(request, wanted, _number(request.GET, "upto", HIGHEST))
    else:
        context = _alert(request, find(request, _number(request.GET, "pk", 0)))
    return render(request, PARTS[name], context)


@require_safe
def alert_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/alerts/<id>/``: one alert with its history."""
    return _detail(request, find(request, pk))


def _detail(request: HttpRequest, alert: Alert, *, refused: str = "", error: str = "", status: int = 200) -> Any:
    note = request.POST.get("note", "")
    context = _alert(request, alert) | {"refused": refused, "error": error, "note": note, "stamp": queries.stamp()}
    return render(request, "alerts/detail.html", context, status=status)


def _alert(request: HttpRequest, alert: Alert) -> dict[str, Any]:
    shown = pages.page(alert, permissions.reach(request.user))
    return {"shown": shown, "alert": alert, "offers": offers.at(request.user, alert)}


def find(request: HttpRequest, pk: int) -> Alert:
    """An alert that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    alerts = Alert.objects.visible_to(request.user).select_related("environment", "acknowledged_by")
    alert = alerts.filter(pk=pk).first()
    if alert is None:
        raise Http404(f"There is no alert {pk} that you may see.")
    return alert


@require_http_methods(["GET", "HEAD", "POST"])
def acknowledge(request: HttpRequest, pk: int) -> HttpResponseBase:
    """``/alerts/<id>/acknowledge/``: somebody knows.

    Answers with a redirect to where it was pressed; 400 for a note that is too long, 403 without work there, 409 when a
    warning became critical meanwhile. A GET changes nothing.
    """
    alert = find(request, pk)
    if request.method != "POST":
        return redirect("alert", pk=pk)
    was = alert.state
    try:
        done = actions.acknowledge(
            from_request(request), alert, request.POST.get("note", ""), seen=request.POST.get("seen", "")
        )
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _detail(request, alert, error=str(error), status=400)
    except BecameCritical as error:
        return _detail(request, find(request, pk), refused=str(error), status=409)
    messages.info(request, _said(request, done, is_new=was in ("open", "over")))
    return redirect(_back(request, reverse("alert", args=[pk])))


def _said(request: HttpRequest, alert: Alert, *, is_new: bool) -> str:
    if is_new:
        return f"Acknowledged: {alert.title}"
    if request.POST.get("note", "").strip():
        return "The note is kept."
    who = alert.acknowledged_by.display_name if alert.acknowledged_by else "Somebody"
    return f"{who} had acknowledged it before."


@require_POST
def acknowledge_all(request: HttpRequest) -> HttpResponseBase:
    """``/alerts/acknowledge/``: everything of a filter up to the newest alert that its page showed.

    Answers with a redirect to the list; 400 when the form does not say what was seen, 403 for somebody who may
    acknowledge nothing at all.
    """
    wanted, problems = filters.read(request.POST)
    drawn_at, upto = _moment(request.POST.get("drawn_at", "")), _number(request.POST, "upto", 0)
    if problems or drawn_at is None:
        text = " ".join(problems.values()) or "The form does not say what you saw. Load the page again."
        return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
    reach = permissions.reach(request.user)
    if not reach.environments and not reach.without_environment:
        raise PermissionDenied("You may acknowledge no alert anywhere: it takes a role with work there.")
    seen = wanted.of(Alert.objects.visible_to(request.user)).filter(pk__lte=upto, severity_since__lte=drawn_at)
    chosen = queries.in_order(pages.selection(seen, reach))[: pages.MOST_AT_ONCE]
    try:
        count = actions.acknowledge_all(from_request(request), chosen, request.POST.get("note", ""), drawn_at=drawn_at)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    messages.info(request, f"Acknowledged {count} alert{'' if count == 1 else 's'}.")
    return redirect(_back(request, reverse("alerts")))


def _back(request: HttpRequest, otherwise: str) -> str:
    """Where the form was, if that is a page of alerts."""
    back = request.POST.get("back", "")
    return back if back.startswith(reverse("alerts")) and "\\" not in back and back.isprintable() else otherwise


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _number(given: Mapping[str, str], name: str, otherwise: int) -> int:
    text = given.get(name, "")
    return min(int(text), HIGHEST) if text.isascii() and text.isdigit() and len(text) < 20 else otherwise
