"""Completion of names that only the console knows. Quick or silent: a Tab never waits and never complains."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

LIMIT_SECONDS = 1.0
"""Unless ``OPSCTL_COMPLETION_SECONDS`` says otherwise, for a console that is far away."""


def _asked(ctx: click.Context, path: str, **query: Any) -> list[dict[str, Any]]:
    """The entries of a list; none when the console does not answer at once, or would want a new sign-in."""
    try:
        from opsctl.api import Client
        from opsctl.commands.common import app_of
        from opsctl.session import Credentials

        app = app_of(ctx)
        credentials = Credentials(app.settings, app.store, os.environ, interactive=False)
        if credentials.kept is not None and not credentials.kept.is_usable():
            return []
        limit = float(os.environ.get("OPSCTL_COMPLETION_SECONDS") or LIMIT_SECONDS)
        found = Client(app.settings.url, credentials, lambda text: None, seconds=limit).get(path, **query)
        return list(found["results"])
    except Exception:
        return []


def _items(pairs: list[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(value, help=words) for value, words in pairs if value.startswith(incomplete)]


def environments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of environments, with what is live there."""
    pairs = []
    for found in _asked(ctx, "environments/"):
        live = next((slot["version"] for slot in found["slots"] if slot["is_live"]), "nothing live")
        pairs.append((found["name"], f"{found['kind']}, {live}"))
    return _items(pairs, incomplete)


def versions(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Versions of releases, the newest first."""
    found = _asked(ctx, "releases/", page_size=50)
    return _items([(one["version"], f"built {(one['released_at'] or '')[:10]}".strip()) for one in found], incomplete)


def deployments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of the newest deployments."""
    found = _asked(ctx, "deployments/", page_size=20)
    pairs = [(str(one["id"]), f"{one['environment']}, {one['to_release']}, {one['status']}") for one in found]
    return _items(pairs, incomplete)


def approvals(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of the approvals that wait."""
    return _items([(str(one["id"]), str(one.get("state", ""))) for one in _waiting(ctx)], incomplete)


def _waiting(ctx: click.Context) -> list[dict[str, Any]]:
    return _asked(ctx, "approvals/", state="waiting")


def alerts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of the alerts that nobody has acknowledged."""
    found = _asked(ctx, "alerts/", state="waiting", page_size=20)
    return _items([(str(one["id"]), f"{one['severity']}: {one['title']}") for one in found], incomplete)


def keys(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Prefixes of one's own keys."""
    return _items([(one["prefix"], one["name"]) for one in _asked(ctx, "keys/")], incomplete)
