"""Pages of the audit trail."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from audit import pages


@require_safe
def record_list(request: HttpRequest) -> HttpResponse:
    """``/audit/``: who did what, newest first; search and facets are in the query string."""
    visible = pages.visible_to(request.user)
    records, problems = pages.filtered(visible, request.GET)
    context = {
        "page": pages.page(records, request.GET.get("before", ""), request.GET.get("after", "")),
        "filters": pages.facets(visible, request.GET),
        "problems": problems,
        "is_filtered": any(value for name, value in request.GET.items() if name not in ("before", "after")),
    }
    return render(request, "audit/list.html", context)


@require_safe
def record_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/audit/<id>/``: one act with everything that was kept of it."""
    record = pages.visible_to(request.user).filter(pk=pk).first()
    if record is None:
        raise Http404(f"There is no audit record {pk} that you may see.")
    context = {
        "record": record,
        "changes": pages.changes(record),
        "has_before": record.before is not None,
        "object_href": pages.object_address(record),
    }
    return render(request, "audit/detail.html", context)
