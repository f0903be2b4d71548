"""Pages of the project itself: the style guide."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from opsconsole.styleguide_sample import sample


def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in each of its states; for staff, and for everybody in the demo and while developing."""
    if not (settings.DEBUG or settings.DEMO or getattr(request.user, "is_staff", False)):
        raise PermissionDenied("The style guide is for staff.")
    return render(request, "styleguide.html", sample())
