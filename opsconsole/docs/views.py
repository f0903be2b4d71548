"""The Docs page, the documents, and their pictures."""

from __future__ import annotations

import re

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from opsconsole.context import THEME_COOKIE
from opsconsole.docs import library, pages
from opsconsole.docs.render import THEMES
from opsconsole.docs.render import render as to_html

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A picture opened by itself: its own styles, and nothing else."""
_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{(.*?\})\s*\}", re.DOTALL)


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """``/docs/``: everything that is written about the system; ``?q=`` finds sections."""
    asked = request.GET.get("q", "").strip()[: pages.LONGEST_QUERY].replace("\x00", "")
    context = {
        "sections": pages.sections(),
        "diagrams": pages.diagrams(_theme(request)),
        "asked": asked,
        "hits": pages.search(asked) if asked else [],
        "shortest": pages.SHORTEST_QUERY,
    }
    return render(request, "docs/index.html", context)


@require_safe
def document(request: HttpRequest, name: str) -> HttpResponse:
    """``/docs/<name>/``: one document."""
    found = library.find(name)
    if found is None:
        raise Http404(f"There is no document {name!r}. All documents: /docs/")
    context = {"document": found, "rendered": to_html(found, _theme(request)), "others": pages.names()}
    return render(request, "docs/document.html", context)


@require_safe
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """``/docs/pictures/<name>``: a picture; ``?theme=`` decides between light and dark instead of the browser."""
    found = library.picture(name)
    if found is None:
        raise Http404(f"There is no picture {name!r}.")
    path, kind = found
    content = path.read_bytes()
    if kind == library.PICTURES[".svg"]:
        content = themed(content.decode(), request.GET.get("theme", "")).encode()
    answer = HttpResponse(content, content_type=kind)
    answer["Content-Security-Policy"] = PICTURE_POLICY
    answer["Cache-Control"] = "private, max-age=300"
    return answer


def themed(svg: str, theme: str) -> str:
    """A picture that is always light or always dark; as the browser wants it for any other theme."""
    if theme == "light":
        return _DARK.sub("", svg)
    return _DARK.sub(lambda found: found[1], svg) if theme == "dark" else svg


def _theme(request: HttpRequest) -> str:
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"
