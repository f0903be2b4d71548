"""Pages of the audit trail."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_safe

from audit import export, filters, intents, pages, queries, standing
from audit.export import Form
from audit.models import Record
from audit.queries import Search


@require_safe
def record_list(request: HttpRequest) -> HttpResponse:
    """``/audit/``: who did what, newest first; search and facets are in the query string."""
    given = request.GET
    reader = queries.reader(request.user)
    wanted, problems = filters.read(given)
    search = Search.of(reader, wanted)
    only_open = "open" in given
    is_filtered = any(given.get(name) for name in (*filters.NAMES, "open"))
    open_intents = intents.without_end(reader) if only_open or not is_filtered else []
    context = {
        "page": _page(request, search) if not only_open else pages.of(open_intents),
        "filters": pages.bar(search, given),
        "chips": pages.chips({name: text for name, text in given.items() if name not in problems}),
        "ranges": pages.ranges(given),
        "problems": list(problems.values()),
        "is_filtered": is_filtered,
        "state": standing.chain_state(),
        "open_intents": open_intents,
        "open_title": _began(len(open_intents)),
        "only_open": only_open,
        "forms": [(form.value, pages.query(given, **{"as": form.value})) for form in Form],
        "api_query": pages.api_query(given),
    }
    return render(request, "audit/list.html", context)


def _page(request: HttpRequest, search: Search) -> pages.Page:
    given = request.GET
    return pages.page(search, given.get("before", ""), given.get("after", ""), everything="all" in given)


def _began(number: int) -> str:
    return f"{number} act{'' if number == 1 else 's'} began and {'has' if number == 1 else 'have'} no recorded end."


@require_safe
def record_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """``/audit/<id>/``: one act with everything that was kept of it, and its place in the chain."""
    reader = queries.reader(request.user)
    record = Record.objects.filter(reader.q(), pk=pk).first()
    if record is None:
        raise Http404(f"There is no audit record {pk} that you may see.")
    earlier, later = pages.neighbours(record, reader)
    context = {
        "via": pages.VIA.get(record.via, record.via),
        "what": pages.what_of(record),
        "object_href": pages.object_address(record),
        "record": record,
        "changes": pages.changes(record),
        "has_before": record.before is not None,
        "proof": standing.proof(record),
        "earlier": earlier,
        "later": later,
        "has_no_end": record.outcome == "intent" and record in intents.without_end(reader),
    }
    return render(request, "audit/detail.html", context)


@require_GET
def record_export(request: HttpRequest) -> HttpResponseBase:
    """``/audit/export/?as=csv|jsonl``: every record of a filter as a file; the export is itself in the trail."""
    wanted, problems = filters.read(request.GET)
    form = request.GET.get("as", Form.CSV.value)
    if form not in list(Form):
        problems["as"] = "Write as=csv or as=jsonl."
    if problems:
        # A filter that cannot be used is not left out here: the file would hold more than was asked for.
        return HttpResponse("\n".join(problems.values()), status=400, content_type="text/plain; charset=utf-8")
    return export.answer(request, wanted, Form(form))
