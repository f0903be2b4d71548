"""The pages of rollback reports: plain POST forms that end in a redirect, or in the page again with what was wrong."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from deployments import rollback_report_pages as pages
from deployments import rollback_report_queries as queries
from deployments import rollback_reports as reports
from deployments.errors import ReportChanged, ReportIncomplete, WrongState
from deployments.models import RollbackReport
from deployments.rollback_report_pages import Tried

NOT_SEEN = "The form does not say what you saw. Load the page again."


@require_safe
def report_list(request: HttpRequest) -> HttpResponse:
    """``/rollback-reports/``: every report that the person may see, owed ones first."""
    chosen, problems = pages.wanted(request.GET)
    page, rows = pages.listing(request.user, chosen, request.GET.get("page"))
    context = {
        "page": page,
        "rows": rows,
        "filters": pages.bar(request.user, chosen),
        "problems": problems,
        "is_filtered": any((chosen.environment, chosen.state, chosen.version)),
    }
    return render(request, "rollback_reports/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def report_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """``/rollback-reports/<id>/``: the form beside the facts; ``?print=1`` for paper; a POST saves or completes.

    Answers to a POST with a redirect; 400 for missing or too long answers, 403 without work in the environment, 409
    when somebody else changed or completed it meanwhile: what was typed is kept then, and nothing was done.
    """
    report = find(request, pk)
    if request.method == "POST":
        return _write(request, report)
    if request.GET.get("print"):
        address = request.build_absolute_uri(reverse("rollback-report", args=[pk]))
        shown = pages.page(request.user, report, address=address)
        return render(request, "rollback_reports/print.html", {"page": shown})
    return _detail(request, report, Tried(reopen=request.GET.get("confirm") == "confirm-reopen"))


def _write(request: HttpRequest, report: RollbackReport) -> HttpResponseBase:
    texts = {name: request.POST[name] for name in reports.QUESTIONS if name in request.POST}
    number = request.POST.get("revision", "")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return _detail(request, report, Tried(texts, refused=NOT_SEEN), 400)
    completes = request.POST.get("do") == "complete"
    use_case = reports.complete if completes else reports.save
    try:
        use_case(from_request(request), report, texts, int(number))
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except ReportIncomplete as error:
        return _detail(request, report, Tried(texts, errors=error.errors), error.status)
    except InvalidRequest as error:
        return _detail(request, report, Tried(texts, errors={error.field: str(error)}), error.status)
    except (ReportChanged, WrongState) as error:
        refused = str(error).replace("Nothing was done;", "").replace("Nothing was done.", "").strip()
        return _detail(request, find(request, report.pk), Tried(texts, refused=refused), error.status)
    said = "The report is complete." if completes else "The draft is kept. The report is owed until it is completed."
    messages.info(request, said)
    return redirect("rollback-report", pk=report.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def report_reopen(request: HttpRequest, pk: int) -> HttpResponseBase:
    """``/rollback-reports/<id>/reopen/``: an Admin opens a complete report again. A GET changes nothing."""
    report = find(request, pk)
    if request.method != "POST":
        return redirect("rollback-report", pk=pk)
    reason = request.POST.get("reason", "")
    try:
        reports.reopen(from_request(request), report, reason)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except InvalidRequest as error:
        return _detail(request, report, Tried(reopen=True, reason=reason, reason_error=str(error)), error.status)
    except WrongState as error:
        return _detail(request, find(request, pk), Tried(refused=str(error)), error.status)
    messages.info(request, "The report is open again, and owed until it is completed.")
    return redirect("rollback-report", pk=pk)


def _detail(request: HttpRequest, report: RollbackReport, tried: Tried, status: int = 200) -> HttpResponse:
    context = {"page": pages.page(request.user, report, tried), "report": report, "tried": tried}
    return render(request, "rollback_reports/detail.html", context, status=status)


def find(request: HttpRequest, pk: int) -> RollbackReport:
    """A report that the person may see.

    Raises:
        Http404: there is none; the message does not tell whether it exists.
    """
    try:
        return queries.load(request.user, pk)
    except RollbackReport.DoesNotExist:
        raise Http404(f"There is no rollback report {pk} that you may see.") from None
