"""The editor of a list: its text, what is not right with it, and the difference to the current version."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from accounts.roles import CONFIGURE
from environments import evidence
from environments.permissions import require
from runbooks import checklist_queries as queries
from runbooks.checklist_format import LONGEST_TEXT
from runbooks.checklist_versions import check_text, save_version
from runbooks.errors import DefinitionInvalid, RunChanged
from runbooks.models import Checklist

CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True)
class EditPage:
    """The editor as it is drawn."""

    checklist: Checklist
    title: str
    text: str
    base: int
    """Number of the version from which the text was made."""
    reason: str = ""
    reason_error: str = ""
    problems: Sequence[str] = ()
    """What is not right, each with its place."""
    refused: str = ""
    items: int = 0
    """How many items the text has, when it was found right."""

    @property
    def current(self) -> int:
        """Number of the current version."""
        return self.checklist.current.number if self.checklist.current else 0

    @property
    def next(self) -> int:
        """Number of the version that would come of it."""
        return self.current + 1

    @property
    def difference(self) -> list[tuple[str, str]]:
        """Lines as (``new``, ``old`` or ``same``, text), with a little around them; none when nothing differs."""
        before = self.checklist.current.text if self.checklist.current else ""
        return difference(before, self.text)

    @property
    def evidence(self) -> list[tuple[str, str]]:
        """Names and titles of what can be read."""
        return [(name, one.title) for name, one in evidence.providers().items()]


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """The lines in which two texts differ, with three lines around each place."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT_LINES)
    kinds = {"+": "new", "-": "old", " ": "same"}
    found: list[tuple[str, str]] = []
    for line in list(lines)[2:]:
        found.append(("same", "…") if line.startswith("@@") else (kinds[line[0]], line[1:]))
    return found[1:] if found[:1] == [("same", "…")] else found


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, slug: str) -> HttpResponseBase:
    """``/checklists/<slug>/edit/``: for whoever may configure every environment of the list.

    A POST with ``do=validate`` saves nothing. Saving answers with a redirect; 400 with what is not right, 409 when
    there is a newer version: the text stays in the form.
    """
    found = _find(request, slug)
    if request.method != "POST":
        assert found.current is not None
        return _page(request, EditPage(found, _title(found), found.current.text, found.current.number))
    given = request.POST
    # A browser sends line ends as CR LF, and a text is the same with either.
    text = given.get("text", "").replace("\r\n", "\n").replace("\x00", "")[: LONGEST_TEXT + 1]
    base = given.get("base", "")
    tried: dict[str, Any] = {
        "checklist": found,
        "title": _title(found),
        "text": text,
        "base": int(base) if base.isascii() and base.isdecimal() and len(base) < 9 else 0,
        "reason": given.get("reason", "")[:2000],
    }
    if given.get("do") == "save":
        return _save(request, found, tried)
    try:
        return _page(request, EditPage(**tried, items=len(check_text(found.service, text).items)))
    except DefinitionInvalid as error:
        return _page(request, EditPage(**tried, problems=str(error).splitlines()), 400)


def _save(request: HttpRequest, found: Checklist, tried: dict[str, Any]) -> HttpResponseBase:
    try:
        made = save_version(
            from_request(request), found.service, found.slug, tried["text"], tried["reason"], based_on=tried["base"]
        )
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except DefinitionInvalid as error:
        return _page(request, EditPage(**tried, problems=str(error).splitlines()), 400)
    except InvalidRequest as error:
        return _page(request, EditPage(**tried, reason_error=str(error)), 400)
    except RunChanged as error:
        # The form is now compared with the newer version and would follow it: saving it again is a decision.
        newer = _find(request, found.slug)
        base = newer.current.number if newer.current else 0
        return _page(request, EditPage(**{**tried, "checklist": newer, "base": base}, refused=str(error)), 409)
    if found.current is not None and made.pk == found.current.pk:
        messages.info(request, f"Nothing differs: version {made.number} stays.")
    else:
        messages.info(request, f"Version {made.number} is saved. It applies to occurrences that open from now on.")
    return redirect("checklist", slug=found.slug)


def _page(request: HttpRequest, page: EditPage, status: int = 200) -> HttpResponse:
    is_checked = request.method == "POST"
    return render(request, "checklists/edit.html", {"page": page, "is_checked": is_checked}, status=status)


def _title(found: Checklist) -> str:
    return queries.definition(found.current).title if found.current else found.slug


def _find(request: HttpRequest, slug: str) -> Checklist:
    """A list that the person may edit.

    Raises:
        Http404: there is none that they may see.
        PermissionDenied: they may not configure every environment in which it is done.
    """
    try:
        found = queries.checklist(request.user, slug)
    except (Checklist.DoesNotExist, Checklist.MultipleObjectsReturned) as error:
        raise Http404(str(error)) from error
    assert found.current is not None
    said = queries.definition(found.current)
    try:
        for place in queries.environments_of(said, found.service.environments.all()):
            require(from_request(request), CONFIGURE, place)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    return found
