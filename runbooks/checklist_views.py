"""The pages of checklists and the plain POST forms by which a run is done."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest, NotFound
from accounts.errors import Forbidden
from accounts.models import User
from environments.models import Environment
from runbooks import checklist_actions as actions
from runbooks import checklist_live, checklist_pages, checklist_print, checklist_queries
from runbooks import checklist_run_pages as run_pages
from runbooks.checklist_queries import RunView
from runbooks.checklist_run_pages import Tried
from runbooks.models import Checklist, ChecklistRun

HIGHEST = 2**63 - 1
ACTS = ("take", "give", "tick", "untick", "check", "complete")


@require_safe
def checklist_list(request: HttpRequest) -> HttpResponse:
    """``/checklists/``: what is due, late ones first, and every list with its streak."""
    context = {"lists": checklist_pages.lists(request.user), "stamp": checklist_live.stamp()}
    return render(request, "checklists/list.html", context)


@require_safe
def part(request: HttpRequest) -> HttpResponse:
    """``/checklists/parts/?part=``: a part of a page that depends on who looks; live pages fetch it when it changes."""
    name = request.GET.get("part", "due")
    if name in ("due", "lists"):
        return render(request, f"checklists/_{name}.html", {"lists": checklist_pages.lists(request.user)})
    if name in ("counter", "mine"):
        return render(request, f"checklists/_{name}.html", {"checklists": checklist_pages.due(request.user)})
    view = _find(request, _number(request.GET.get("pk", "")))
    if name in ("head", "end"):
        page = run_pages.build(request.user, view, live=False)
        return render(request, f"checklists/_run_{name}.html", {"page": page})
    item = request.GET.get("item", "")
    if name != "item" or view.definition.item(item) is None:
        raise Http404(f"There is no part {name!r}.")
    page = run_pages.build(request.user, view, only=item)
    one = next(one for one in page.items if one.item.id == item)
    return render(request, "checklists/_item.html", {"page": page, "one": one})


@require_safe
def checklist_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """``/checklists/<slug>/``: what a list asks, its months, its history, its versions."""
    return _detail(request, slug, request.GET.get("environment", ""))


def _detail(
    request: HttpRequest, slug: str, environment: str, *, begin: Mapping[str, str] | None = None, status: int = 200
) -> HttpResponse:
    month = checklist_pages.month_of(request.GET.get("month", ""))
    try:
        page = checklist_pages.list_page(request.user, slug, environment, month, request.GET.get("page"))
    except (Checklist.DoesNotExist, Checklist.MultipleObjectsReturned, Environment.DoesNotExist) as error:
        raise Http404(str(error)) from error
    return render(request, "checklists/detail.html", {"page": page, "begin": begin or {}}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def begin(request: HttpRequest, slug: str) -> HttpResponseBase:
    """``/checklists/<slug>/begin/``: begin the deployment list for a release. A GET changes nothing."""
    if request.method != "POST":
        return redirect("checklist", slug=slug)
    name, release = request.POST.get("environment", ""), request.POST.get("release", "").strip()
    environment = Environment.objects.visible_to(request.user).filter(name=_plain(name)).first()
    if environment is None:
        raise Http404(f"There is no environment {name[:60]!r} that you may see.")
    try:
        checklist_queries.checklist(request.user, slug)
        run = actions.begin_deployment_list(from_request(request), environment, release, slug)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except (Checklist.DoesNotExist, Checklist.MultipleObjectsReturned, NotFound) as error:
        raise Http404(str(error)) from error
    except InvalidRequest as error:
        return _detail(request, slug, name, begin={"error": str(error), "release": release[:60]}, status=400)
    return redirect("checklist-run", pk=run.pk)


@require_safe
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/checklist-runs/<id>/``: challenge and response; ``?print=1`` is the sheet for paper."""
    view = _find(request, pk)
    if request.GET.get("print"):
        page = run_pages.build(request.user, view, live=False)
        return render(request, "checklists/print.html", {"sheet": checklist_print.sheet(request, page)})
    return _run(request, view)


def _run(request: HttpRequest, view: RunView, tried: Tried | None = None, status: int = 200) -> HttpResponse:
    page = run_pages.build(request.user, view, tried=tried)
    context = {"page": page, "tried": tried or Tried()}
    return render(request, "checklists/run.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """``/checklist-runs/<id>/<act>/``: take, give, tick, untick, check or complete.

    Answers with a redirect to the item that comes next; 400 for an answer that cannot be kept, 403 without work there,
    404 for what there is not, 409 when the run changed meanwhile: then nothing was done. A GET changes nothing.
    """
    if name not in ACTS:
        raise Http404(f"There is no act {name!r}.")
    view = _find(request, pk)
    if request.method != "POST":
        return redirect("checklist-run", pk=pk)
    item, response, note = (request.POST.get(field, "") for field in ("item", "response", "note"))
    try:
        _carry_out(request, view.run, name)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        tried = Tried(item, response[:200], note, str(error)) if item else Tried(refused=str(error))
        return _run(request, _find(request, pk), tried, error.status)
    except DomainError as error:
        tried = Tried(item, response[:200], note, refused=str(error))
        return _run(request, _find(request, pk), tried, error.status)
    return redirect(f"{reverse('checklist-run', args=[pk])}{_next(request, pk, name, item)}")


def _carry_out(request: HttpRequest, run: ChecklistRun, name: str) -> None:
    actor, given = from_request(request), request.POST
    item = given.get("item", "")
    if name == "take":
        actions.assign(actor, run)
    elif name == "give":
        to = User.objects.filter(username=_plain(given.get("to", "")), is_active=True).first()
        if to is None:
            raise InvalidRequest("to", f"There is nobody with the name {given.get('to', '')[:60]!r}. Nothing was done.")
        actions.assign(actor, run, to)
        messages.info(request, f"{to.display_name} has the list now.")
    elif name == "tick":
        actions.tick(actor, run, item, given.get("response", ""), given.get("note", ""))
    elif name == "untick":
        actions.untick(actor, run, item)
    elif name == "check":
        actions.check(actor, run, item)
    else:
        seen = given.get("deviations", "")
        actions.complete(actor, run, seen_deviations=_number(seen) if seen else None)
        messages.info(request, "Checklist complete.")


def _next(request: HttpRequest, pk: int, name: str, item: str) -> str:
    """The place on the page where the work goes on."""
    if name == "untick":
        return f"#item-{item}"
    if name not in ("tick", "check"):
        return ""
    view = _find(request, pk)
    numbers = {one.item.id: one.number for one in view.items}
    waiting = [one for one in view.items if one.tick is None]
    later = [one for one in waiting if one.number > numbers[item]]
    return f"#item-{(later or waiting)[0].item.id}" if waiting else "#complete"


def _find(request: HttpRequest, pk: int) -> RunView:
    """A run that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    try:
        return checklist_queries.run(request.user, pk)
    except ChecklistRun.DoesNotExist:
        raise Http404(f"There is no run {pk} of a checklist that you may see.") from None


def _number(text: str) -> int:
    return min(int(text), HIGHEST) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _plain(text: str) -> str:
    """Without what Postgres keeps in no text, and not longer than any name."""
    return text.replace("\x00", "")[:200]
