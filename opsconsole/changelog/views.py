"""The change log: a page, a Markdown file and an Atom feed of one filter."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.roles import VIEW
from opsconsole.changelog import filters
from opsconsole.changelog.atom import MEDIA_TYPE, to_atom
from opsconsole.changelog.collect import Found, collect, scope
from opsconsole.changelog.entries import grouped, place
from opsconsole.changelog.filters import Wanted
from opsconsole.changelog.markdown import to_markdown

PAGE_SIZE = 50
FEED_SIZE = 50
FILE_SIZE = 1_000


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """``/changelog/``: what was deployed, changed and went wrong, newest first; the filter is in the query string."""
    given = request.GET
    wanted, problems = filters.read(given)
    seen = scope(request.user)
    after = place(given.get("before", ""))
    found = collect(seen, wanted, PAGE_SIZE, after)
    context = {
        "groups": [(group, _span(group, given)) for group in grouped(found.entries, wanted.period)],
        "older": f"?{filters.query(given)}&before={found.older}" if found.older else "",
        "newest": f"?{filters.query(given)}" if after else "",
        "filters": filters.bar(given, seen.environments),
        "ranges": filters.ranges(given),
        "problems": list(problems.values()),
        "is_filtered": any(given.get(name) for name in filters.NAMES if name != "period"),
        "query": filters.query(given),
        "api_query": filters.query(given, period=""),
    }
    return render(request, "changelog/list.html", context)


def _span(group: Any, given: Any) -> str:
    return f"?{filters.query(given, since=group.first.isoformat(), until=group.last.isoformat())}"


class AsFile(BaseContentNegotiation):
    """The file comes as what it is, whatever ``Accept`` says; errors come as JSON."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[BaseRenderer, str]:
        """The JSON renderer, which only errors use."""
        return renderers[0], renderers[0].media_type


@extend_schema(exclude=True)
class FileView(APIView):
    """What programs fetch: with an API key in the header ``Authorization``, or with the session of a browser."""

    permission_map = {"get": VIEW}
    content_negotiation_class = AsFile

    def found(self, request: Request, size: int) -> tuple[Wanted, Found]:
        """The filter and its newest entries.

        Raises:
            ValidationError: the filter cannot be used; nothing is left out of a file silently.
        """
        wanted, problems = filters.read(request.query_params)
        if problems:
            raise ValidationError(problems)
        return wanted, collect(scope(request.user), wanted, size)


class MarkdownView(FileView):
    """``/changelog.md``: the same filter as Markdown, at most 1,000 entries."""

    def get(self, request: Request) -> HttpResponse:
        """The newest entries; a note says when older ones are left out."""
        wanted, found = self.found(request, FILE_SIZE)
        note = f"Only the newest {FILE_SIZE:,} entries: ask for a shorter time with since and until."
        text = to_markdown(grouped(found.entries, wanted.period), _host(request), note if found.older else "")
        answer = HttpResponse(text, content_type="text/markdown; charset=utf-8")
        answer["Content-Disposition"] = 'inline; filename="changelog.md"'
        return answer


class AtomView(FileView):
    """``/changelog/atom/``: the newest 50 entries of a filter as an Atom feed."""

    def get(self, request: Request) -> HttpResponse:
        """For feed readers that can send a header."""
        _, found = self.found(request, FEED_SIZE)
        return HttpResponse(to_atom(found.entries, _host(request), request.get_full_path()), content_type=MEDIA_TYPE)


def _host(request: Request) -> str:
    return str(request.build_absolute_uri("/")).rstrip("/")
