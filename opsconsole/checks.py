"""System checks of the whole: every action of the API has a declared permission."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import Error, register
from django.urls import URLPattern, URLResolver, get_resolver

_METHODS = ("get", "post", "put", "patch", "delete")


def api_views(patterns: Sequence[Any] | None = None, prefix: str = "") -> Iterator[tuple[str, type, dict[str, str]]]:
    """Each REST framework view below a list of URL patterns, as (route, class, {method: action})."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from api_views(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and (view := getattr(pattern.callback, "cls", None)):
            methods = getattr(pattern.callback, "actions", None)
            yield route, view, methods or {name: name for name in _METHODS if hasattr(view, name)}


@register("security")
def permissions_are_mapped(app_configs: object, **kwargs: object) -> list[Error]:
    """E001: an action without an entry in its view's ``permission_map`` would be nobody's decision."""
    return unmapped(api_views())


def unmapped(views: Iterator[tuple[str, type, dict[str, str]]]) -> list[Error]:
    """One error for each action that no map names."""
    found = []
    for route, view, methods in views:
        for method, action in methods.items():
            if action not in getattr(view, "permission_map", {}):
                found.append(
                    Error(
                        f"{view.__name__}.{action} ({method.upper()} {route}) has no permission.",
                        hint=f"Add {action!r} to {view.__name__}.permission_map (accounts/permissions.py).",
                        obj=view,
                        id="opsconsole.E001",
                    )
                )
    return found
