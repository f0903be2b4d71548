"""Pages of the databases, and the plain POST forms that back up, halt, verify and restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import step_up
from accounts.actors import from_request
from accounts.domain import DomainError, InvalidRequest
from accounts.errors import Forbidden, StepUpFailed, StepUpRequired
from accounts.roles import CONFIGURE
from environments.models import Environment
from environments.permissions import require
from trading import breakers, database_guard, database_pages, databases
from trading.database_pages import DatabasePage
from trading.models import DatabaseRun

NOT_STATED = {"backup": "Backup by hand", "verify": "Check by hand"}
"""Of the two acts that change nothing the reason may be left as it stands."""
HALT_REASON = "database"


@dataclass(frozen=True, slots=True)
class Tried:
    """A form that was sent and did nothing."""

    act: str = ""
    reason: str = ""
    error: str = ""
    """What is wrong with the reason."""
    refused: str = ""


@require_safe
def database_list(request: HttpRequest) -> HttpResponse:
    """``/databases/``: the last backup of each environment that has a database here."""
    return render(request, "trading/databases/list.html", {"places": database_pages.places(request.user)})


@require_safe
def database_detail(request: HttpRequest, name: str) -> HttpResponse:
    """``/databases/<environment>/``: the four steps when data are damaged, the backups, and what was done."""
    return _detail(request, _find(request, name))


@require_safe
def acts(request: HttpRequest, name: str) -> HttpResponse:
    """``/databases/<environment>/acts/``: what the person may do; live pages fetch it again when it changes."""
    return render(request, "trading/databases/_acts.html", _context(request, _find(request, name)))


@require_safe
def backups(request: HttpRequest, name: str) -> HttpResponse:
    """``/databases/<environment>/backups/``: the list of backups, which live pages fetch again when it changes."""
    return render(request, "trading/databases/_backups.html", _context(request, _find(request, name)))


@require_safe
def run_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """``/databases/runs/<id>/``: one backup, verification or restore, live until it ends."""
    run = _find_run(request, pk)
    return render(request, "trading/databases/run.html", {"run": run, "environment": run.environment})


@require_http_methods(["GET", "HEAD", "POST"])
def back_up(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/databases/<environment>/backup/``: ask for a backup; leads to its run.

    400 when the reason is too long, 403 without permission, 409 when something else is under way.
    """
    return _asked(request, name, "backup", lambda page, reason: _begin(request, page, reason, databases.back_up))


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/databases/<environment>/verify/``: a ``backup``, or without one the data as they are; as ``back_up``."""

    def act(page: DatabasePage, reason: str) -> DatabaseRun:
        chosen = _chosen(page, request.POST.get("backup", ""))
        return _begin(request, page, reason, databases.verify, chosen)

    return _asked(request, name, "verify", act)


@require_http_methods(["GET", "HEAD", "POST"])
def halt(request: HttpRequest, name: str) -> HttpResponseBase:
    """``/databases/<environment>/halt/``: open the circuit breaker of every instance, so that nothing trades.

    400 without a reason, 403 without permission, 409 or 502 when it was not read back that all are halted.
    """

    def act(page: DatabasePage, reason: str) -> None:
        breakers.trip(from_request(request), page.environment, f"{HALT_REASON}: {reason}")

    return _asked(request, name, "halt", act)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def restore(request: HttpRequest, name: str, pk: UUID) -> HttpResponseBase:
    """``/databases/<environment>/restore/<backup>/``: what it does, a reason, and a fresh proof; POST asks for it.

    Leads to the run; 400 for a missing reason, 403 without the right or the proof, 409 while anything may be trading.
    """
    environment, backup = _find(request, name).environment, _find_run(request, pk)
    if backup.environment_id != environment.pk or not backup.has_file:
        raise Http404(f"There is no backup {pk} of {name} with a file. The page of the database lists those there are.")
    if request.method != "POST":
        return _shown_to_those_who_may(request, backup)
    actor, reason = from_request(request), request.POST.get("reason", "")
    even = bool(request.POST.get(databases.EVEN_IF_UNREADABLE))
    try:
        databases.refuse_restore(actor, environment, backup, reason)
        step_up.confirm(request, databases.RESTORE, backup, environment.name)
        run = databases.restore(actor, environment, backup, reason, even_if_unreadable=even)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except (StepUpRequired, StepUpFailed) as error:
        request.denied_by = error  # type: ignore[attr-defined]  # for the audit record
        return _restore_page(request, backup, error, 403)
    except DomainError as error:
        return _restore_page(request, backup, error, error.status)
    return redirect("database-run", pk=run.pk)


def _shown_to_those_who_may(request: HttpRequest, backup: DatabaseRun) -> HttpResponse:
    try:
        require(from_request(request), CONFIGURE, backup.environment)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    return _restore_page(request, backup)


def _restore_page(
    request: HttpRequest, backup: DatabaseRun, error: Exception | None = None, status: int = 200
) -> HttpResponse:
    standings = database_guard.standings(backup.environment)
    shown = database_pages.Backup(backup, None)
    context = {
        "environment": backup.environment,
        "backup": shown,
        "effects": database_pages.restore_effects(backup, shown),
        "standings": standings,
        "is_quiet": all(one.is_quiet for one in standings),
        "step_up": step_up.offer(request, databases.RESTORE, backup, backup.environment.name, error),
        "error": error,
        "even": bool(request.POST.get(databases.EVEN_IF_UNREADABLE)),
    }
    return render(request, "trading/databases/restore.html", context, status=status)


def _begin(
    request: HttpRequest, page: DatabasePage, reason: str, use_case: Callable[..., DatabaseRun], *more: Any
) -> DatabaseRun:
    return use_case(from_request(request), page.environment, reason, *more)


def _asked(
    request: HttpRequest, name: str, act: str, do: Callable[[DatabasePage, str], DatabaseRun | None]
) -> HttpResponseBase:
    """Do it and lead on, or draw the page again with what was wrong. A GET changes nothing."""
    page = _find(request, name)
    if request.method != "POST":
        return redirect("database", name)
    reason = request.POST.get("reason", "").strip() or NOT_STATED.get(act, "")
    try:
        if not reason:
            raise InvalidRequest("reason", "Say why: the reason is kept in the audit trail.")
        run = do(page, reason)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        tried = Tried(act, reason, str(error)) if error.field == "reason" else Tried(act, reason, "", str(error))
        return _detail(request, page, tried, 400)
    except DomainError as error:
        return _detail(request, page, Tried(act, reason, "", str(error)), error.status)
    if run is None:
        messages.info(request, "Halted, as read back from every instance. Nothing trades.")
        return redirect("database", name)
    return redirect("database-run", pk=run.pk)


def _chosen(page: DatabasePage, text: str) -> DatabaseRun | None:
    """The backup of a form; None stands for the data as they are. Raises InvalidRequest for an unknown one."""
    if not text:
        return None
    found = next((one.run for one in page.backups if str(one.run.pk) == text), None)
    if found is None:
        raise InvalidRequest("backup", "There is no such backup any more. Choose one of the list.")
    return found


def _detail(request: HttpRequest, page: DatabasePage, tried: Tried | None = None, status: int = 200) -> HttpResponse:
    return render(request, "trading/databases/detail.html", _context(request, page, tried), status=status)


def _context(request: HttpRequest, page: DatabasePage, tried: Tried | None = None) -> dict[str, Any]:
    # Without a script the link of the button leads here, and the dialog is drawn open.
    asked = Tried("halt") if request.GET.get("confirm") == "dialog-halt" else Tried()
    return {"page": page, "environment": page.environment, "tried": tried or asked, "defaults": NOT_STATED}


def _find(request: HttpRequest, name: str) -> DatabasePage:
    try:
        return database_pages.page_for(request.user, name)
    except Environment.DoesNotExist:
        raise Http404(f"There is no environment {name} that you may see.") from None


def _find_run(request: HttpRequest, pk: UUID) -> DatabaseRun:
    try:
        return database_pages.load(request.user, pk)
    except DatabaseRun.DoesNotExist:
        raise Http404(f"There is no run {pk} that you may see.") from None
