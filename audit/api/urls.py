"""Addresses of the audit trail below ``/api/v1/``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.urls import URLPattern, path

from audit.api.views import RecordViewSet


def routes(environments_of: Callable[[Any], Collection[str] | None]) -> list[URLPattern]:
    """The addresses; ``environments_of(user)`` names the environments whose records somebody may read, None means all."""
    view = RecordViewSet.as_view({"get": "list"}, environments_of=environments_of)
    return [path("audit/", view, name="record-list")]
