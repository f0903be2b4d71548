"""One world for all cases of the matrix: made once, and after each question put back as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import APIKey, User
from tests import cast
from tests.accounts.factors import enter, give_second_factor, make_key
from tests.api import matrix_checklists, matrix_gate, matrix_runbooks, matrix_things  # noqa: F401  registers its things

PEOPLE = {
    "nobody": ("nemo", None),
    "admin": ("ada", "Admin"),
    "second": ("alan", "Admin"),
    "operator": ("otto", "Operator"),
    "developer": ("dora", "Developer"),
    "inactive": ("igor", "Admin"),
    "expired": ("ella", "Admin"),
    "weak": ("wim", "Admin"),
}
"""Who asks, with user name and role; ``weak`` has no second factor."""
KEYS: dict[str, dict[str, Any]] = {
    "scopeless": {"scopes": []},
    "elsewhere": {"environments": ["staging"]},
    "outside": {"networks": ["192.0.2.0/24"]},
}
"""Keys of the Admin that are bounded; there is nothing like it in a browser."""

BY_KEY = ("api/", "admin/")
"""Below these a caller sends a key, elsewhere there is a session."""


@dataclass
class World:
    """Two environments, the people, and a key or a session of each."""

    folder: Path
    system: Any
    people: dict[str, User]
    environments: dict[str, Any] = field(default_factory=dict)
    _bearers: dict[str, str] = field(default_factory=dict)
    _cookies: dict[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> User:
        """Whose key or session acts as ``admin``."""
        return self.people["admin"]

    def release(self, version: str, **fields: Any) -> Any:
        """Register a release with a real archive; the one that is there when it is there."""
        found = self.system.releases.filter(version=version).first()
        return found or cast.make_release(self.system, self.folder, version, **fields)

    def client(self, caller: str, route: str) -> Client:
        """A fresh client of a caller: with a key below ``api/``, else with a session."""
        if caller == "anonymous":
            return Client()
        if route.startswith(BY_KEY) or caller == "expired":
            return Client(headers={"Authorization": f"Bearer {self._bearers[caller]}"})
        client = Client()
        client.cookies["sessionid"] = self._cookies[caller]
        return client

    @contextmanager
    def case(self, method: str, route: str, thing: str) -> Iterator[Callable[[str], int]]:
        """A function that asks as a caller and gives the status; what was made or changed is taken back."""
        with transaction.atomic():
            shared = None if thing in ("own", "others") else matrix_things.make(self, route, thing, self.admin)
            yield lambda caller: self._ask(caller, method, route, thing, shared)
            transaction.set_rollback(True)

    def _ask(self, caller: str, method: str, route: str, thing: str, shared: Any) -> int:
        with transaction.atomic():
            values, body = shared or matrix_things.make(self, route, thing, self.people.get(caller, self.admin))
            url = "/" + re.sub(r"<(\w+)>", lambda found: str(values[found.group(1)]), route)
            client = self.client(caller, route)
            if method == "GET":
                status = client.get(url, values.get("query")).status_code
            elif route.startswith(BY_KEY):
                status = client.generic(method, url, json.dumps(body), content_type="application/json").status_code
            else:
                status = getattr(client, method.lower())(url, body).status_code
            transaction.set_rollback(True)
        return status


def build(folder: Path, outside: Any) -> World:
    """Make the world inside of the transaction that is open."""
    system = cast.apply_system(folder)
    people = {caller: cast.make_person(*who) for caller, who in PEOPLE.items()}
    world = World(folder, system, people)
    for name in ("production", "staging"):
        world.environments[name] = system.environments.get(name=name)
        outside.connect(world.environments[name])
    for caller, user in people.items():
        if caller != "weak":
            give_second_factor(user)
        world._bearers[caller] = make_key(user)
        world._cookies[caller] = enter(user, strong=caller != "weak").cookies["sessionid"].value
    for caller, limits in KEYS.items():
        world._bearers[caller] = make_key(world.admin, **limits)
    User.objects.filter(pk=people["inactive"].pk).update(is_active=False)
    APIKey.objects.filter(owner=people["expired"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    return world
