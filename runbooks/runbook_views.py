"""The pages of runbooks: the library, one runbook, and a run with the plain POST forms that carry it out."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import from_request
from accounts.domain import InvalidRequest, NotFound
from accounts.errors import Forbidden
from audit.actors import Actor
from environments.models import Environment
from runbooks import library, runbook_actions, runbook_pages, runbook_queries
from runbooks.errors import DefinitionInvalid, NotInControl, RunChanged, RunClosed
from runbooks.models import RunbookRun, StepOutput
from runbooks.runbook_pages import FIX_PREFIX, Tried
from runbooks.runbook_queries import RunView

PARTS = {
    "run": "runbooks/_run.html",
    "bar": "runbooks/_bar.html",
    "notes": "runbooks/_notes.html",
    "facts": "runbooks/_facts.html",
}
LIST_PARTS = {"running": "runbooks/_running.html", "last": "runbooks/_last.html"}
HIGHEST = 2**31 - 1


@require_safe
def runbook_list(request: HttpRequest) -> HttpResponse:
    """``/runbooks/``: the library by symptom, the runs under way, and the last ones."""
    context = {
        "shelf": runbook_pages.shelf(),
        "runs": runbook_pages.runs(request.user, request.GET.get("page")),
        "stamp": runbook_pages.runs_stamp(),
    }
    return render(request, "runbooks/list.html", context)


@require_safe
def list_part(request: HttpRequest) -> HttpResponse:
    """``/runbooks/parts/?part=``: the lists of runs, which live pages fetch when they change."""
    template = LIST_PARTS.get(request.GET.get("part", ""))
    if template is None:
        raise Http404("There is no such part.")
    return render(request, template, {"runs": runbook_pages.runs(request.user, request.GET.get("page"))})


@require_safe
def runbook(request: HttpRequest, slug: str) -> HttpResponse:
    """``/runbooks/<slug>/``: what it says, the runs so far, and the form that starts one."""
    return _read(request, slug)


def _read(request: HttpRequest, slug: str, error: str = "", status: int = 200) -> HttpResponse:
    found = library.entry(slug)
    if found is None or found.runbook is None:
        broken = [one for one in library.broken() if one.slug == slug]
        if not broken:
            raise Http404(f"There is no runbook {slug!r}.")
        return render(request, "runbooks/broken.html", {"slug": slug, "broken": broken}, status=status)
    given = request.POST if request.method == "POST" else request.GET
    places = runbook_pages.startable(request.user)
    wanted = given.get("environment", "")
    chosen = next((one for one in places if one.name == wanted), places[0] if len(places) == 1 else None)
    alert, deployment = runbook_pages.about(request.user, given)
    context = {
        "entry": found,
        "book": found.runbook.filled(runbook_queries.places(chosen)) if chosen else found.runbook,
        "places": places,
        "chosen": chosen,
        "alert": alert,
        "deployment": deployment,
        "history": runbook_pages.history(request.user, slug, request.GET.get("page")),
        "error": error,
    }
    return render(request, "runbooks/read.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, slug: str) -> HttpResponseBase:
    """``/runbooks/<slug>/start/``: begin a run in an ``environment``, perhaps about an ``alert`` or a ``deployment``.

    Answers with a redirect to the run; 400 for an environment that is not chosen or a broken file, 403 without
    permission, 404 when there is no such runbook. A GET changes nothing.
    """
    if request.method != "POST":
        return redirect("runbook", slug=slug)
    places = Environment.objects.visible_to(request.user).select_related("service")
    environment = places.filter(name=request.POST.get("environment", "")).first()
    if environment is None:
        return _read(request, slug, "Choose the environment in which something is wrong.", 400)
    alert, deployment = runbook_pages.about(request.user, request.POST)
    try:
        run = runbook_actions.start(from_request(request), environment, slug, alert=alert, deployment=deployment)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except NotFound as error:
        raise Http404(str(error)) from error
    except (DefinitionInvalid, InvalidRequest) as error:
        return _read(request, slug, str(error), 400)
    return redirect("runbook-run", pk=run.pk)


@require_safe
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/runbook-runs/<id>/``: carrying it out, or its report; ``?print=1`` is the sheet for paper."""
    view = _view(request, pk)
    if request.GET.get("print"):
        address = request.build_absolute_uri(reverse("runbook-run", args=[pk]))
        sheet = {"page": runbook_pages.run_page(view), "view": view, "address": address}
        return render(request, "runbooks/print.html", sheet | {"qr": runbook_pages.qr(address)})
    return _run(request, view)


def _run(request: HttpRequest, view: RunView, tried: Tried | None = None, status: int = 200) -> HttpResponse:
    page = runbook_pages.run_page(view, confirm=request.GET.get("confirm", ""), tried=tried)
    return render(request, "runbooks/run.html", {"page": page, "view": view, "run": view.run}, status=status)


def _view(request: HttpRequest, pk: int) -> RunView:
    view = runbook_queries.view(request.user, pk) if pk <= HIGHEST else None
    if view is None:
        raise Http404(f"There is no runbook run {pk} that you may see.")
    return view


@require_safe
def run_part(request: HttpRequest, pk: int) -> HttpResponse:
    """``/runbook-runs/<id>/parts/?part=``: a part of the run's page, which live pages fetch when it changes."""
    template = PARTS.get(request.GET.get("part", "run"))
    if template is None:
        raise Http404("There is no such part.")
    view = _view(request, pk)
    page = runbook_pages.run_page(view, may_ask=False)
    return render(request, template, {"page": page, "view": view, "run": view.run})


Act = Callable[[HttpRequest, Actor, RunbookRun, int | None], str]
"""Does what a form asks for; the answer is told as a short message, empty for none."""


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """``/runbook-runs/<id>/<act>/``: done, failed, skip, check, remedy, note, take-over, finish, abandon.

    Answers with a redirect to the run; 400 for a missing text, 403 without permission, 409 when the run is not as the
    form saw it, or somebody else has control. A GET changes nothing.
    """
    if name not in ACTS:
        raise Http404(f"There is no act {name!r}.")
    view = _view(request, pk)
    if request.method != "POST":
        return redirect("runbook-run", pk=pk)
    revision = request.POST.get("revision", "")
    at = int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else None
    try:
        said = ACTS[name](request, from_request(request), view.run, at)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except NotFound as error:
        raise Http404(str(error)) from error
    except InvalidRequest as error:
        return _refuse(request, pk, name, 400, error=str(error))
    except (RunChanged, RunClosed, NotInControl) as error:
        return _refuse(request, pk, name, 409, refused=str(error))
    if name == "note" and request.headers.get("Accept") == "application/json":
        return JsonResponse({"was": runbook_queries.notes_token(view.run), "at": f"{timezone.now():%H:%M:%S}"})
    if said:
        messages.info(request, said)
    return redirect(reverse("runbook-run", args=[pk]) + ("" if name in WHOLE_PAGE else "#step"))


def _refuse(
    request: HttpRequest, pk: int, name: str, status: int, *, error: str = "", refused: str = ""
) -> HttpResponse:
    if request.headers.get("Accept") == "application/json":
        return JsonResponse({"detail": error or refused}, status=status)
    form = FIX_PREFIX + request.POST.get("name", "") if name == "remedy" else name
    text = request.POST.get("text", "") or request.POST.get("reason", "")
    return _run(request, _view(request, pk), Tried(form, text[:20_000], error, refused), status)


def _done(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    runbook_actions.done(actor, run, revision=revision)
    return ""


def _failed(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    runbook_actions.failed(actor, run, request.POST.get("reason", ""), revision=revision)
    return ""


def _skip(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    to = request.POST.get("to", "")
    number = int(to) if to.isascii() and to.isdigit() and len(to) < 4 else None
    runbook_actions.skip(actor, run, request.POST.get("reason", ""), to=number, revision=revision)
    return ""


def _check(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    for name in dict.fromkeys(request.POST.getlist("name")):
        runbook_actions.diagnose(actor, run, name[:80], revision=revision)
    return ""


def _remedy(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    name, reason = request.POST.get("name", "")[:80], request.POST.get("reason", "")
    output: StepOutput = runbook_actions.remedy(actor, run, name, reason, revision=revision)
    return "" if output.verdict == "fail" else f"{output.title}: {output.value}"[:300]


def _note(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    kept = runbook_actions.note(actor, run, request.POST.get("text", ""), was=request.POST.get("was"))
    run.notes = kept.notes
    return "The notes are kept."


def _take_over(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    runbook_actions.take_over(actor, run, revision=revision)
    return "You have control now."


def _finish(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    if request.POST.get("resolved") not in ("yes", "no"):
        raise InvalidRequest("resolved", "Say whether it is resolved: press one of the two buttons.")
    resolved = request.POST["resolved"] == "yes"
    runbook_actions.finish(actor, run, request.POST.get("text", ""), resolved=resolved, revision=revision)
    return ""


def _abandon(request: HttpRequest, actor: Actor, run: RunbookRun, revision: int | None) -> str:
    runbook_actions.abandon(actor, run, request.POST.get("reason", ""), revision=revision)
    return ""


ACTS: dict[str, Act] = {
    "done": _done,
    "failed": _failed,
    "skip": _skip,
    "check": _check,
    "remedy": _remedy,
    "note": _note,
    "take-over": _take_over,
    "finish": _finish,
    "abandon": _abandon,
}
WHOLE_PAGE: frozenset[str] = frozenset({"finish", "abandon", "take-over", "note"})
"""After these the page is read from its top."""
