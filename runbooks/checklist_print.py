"""A run on paper: the same page with a QR code that leads back to it."""

from __future__ import annotations

from dataclasses import dataclass

import segno
from django.http import HttpRequest
from django.urls import reverse

from runbooks.checklist_run_pages import RunPage


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a print view shows."""

    page: RunPage
    address: str
    """Of the run, in full: whoever holds the paper gets back to it."""

    @property
    def qr(self) -> str:
        """The address as an inline SVG without styles, so that the content security policy lets it pass."""
        code = segno.make(self.address, error="m")
        return code.svg_inline(
            scale=5, border=2, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None
        )


def sheet(request: HttpRequest, page: RunPage) -> Sheet:
    """The sheet of a run."""
    return Sheet(page, request.build_absolute_uri(reverse("checklist-run", args=[page.run.pk])))
