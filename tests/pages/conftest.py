"""Signed-in browsers without a script, and deployments in every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.pages import stories


@pytest.fixture
def browser() -> Callable[[Any], Client]:
    """A client in which a person is signed in."""

    def make(user: Any) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def versions(release: Callable[..., Any]) -> dict[str, Any]:
    """The releases that the stories deploy."""
    notes = "## v1.2.5 - 2026-02-17\n\n### Added\n- Kinematics strategy\n\n<script>alert(1)</script>\n"
    changes = {"files": 4, "insertions": 120, "deletions": 37}
    return {name: release(name, notes=notes, changes=changes) for name in ("v1.2.4", "v1.2.5", "v1.2.6", "v1.3.0")}


@pytest.fixture
def story(production: Any, versions: dict[str, Any]) -> Callable[..., Any]:
    """A deployment to production in a state: ``story("watching")`` of v1.2.5, or of another release."""

    def make(name: str, version: str = "v1.2.5", environment: Any = None) -> Any:
        found = getattr(stories, name)(environment or production, versions["v1.2.4"], versions[version])
        return found[0] if isinstance(found, tuple) else found

    return make
