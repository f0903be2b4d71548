"""A fixed cast: an admin, an operator and a developer; production and staging of the paper trader; releases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    """Tests need no collected static files."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def system(db, tmp_path):
    """The inventory of demo/system.yaml, applied; nothing of it runs."""
    from audit.actors import system as system_actor
    from environments.actions import apply_definition
    from environments.definition import load

    token = tmp_path / "token"
    token.write_text("test-token")
    variables = {
        "OPSC_DEMO_RUN": str(tmp_path),
        "OPSC_DEMO_HOSTS": str(tmp_path / "hosts"),
        "OPSC_DEMO_TOKEN": str(token),
    }
    definition = load(ROOT / "demo/system.yaml", {"127.0.0.1"}, variables)
    return apply_definition(system_actor("tests"), definition)


@pytest.fixture
def production(system):
    """The production environment."""
    return system.environments.get(name="production")


@pytest.fixture
def staging(system):
    """The staging environment."""
    return system.environments.get(name="staging")


@pytest.fixture
def person(db) -> Callable:
    """Make a person with a role: ``person("ada", "Admin")``."""
    from django.contrib.auth.models import Group

    from accounts.models import User

    def make(username: str, role: str | None):
        first, last = username.capitalize(), role or "Nobody"
        user = User.objects.create_user(username, first_name=first, last_name=last)
        if role:
            user.groups.add(Group.objects.get_or_create(name=role)[0])
        return user

    return make


@pytest.fixture
def admin(person, system):
    """May deploy everywhere."""
    return person("ada", "Admin")


@pytest.fixture
def operator(person, system):
    """May look everywhere."""
    return person("otto", "Operator")


@pytest.fixture
def developer(person, system):
    """May deploy to staging."""
    return person("dora", "Developer")


@pytest.fixture
def actor_of() -> Callable:
    """The Actor of a person."""
    from audit.actors import Actor

    return lambda user: Actor(name=user.display_name, via="session", user=user, role=user.role)


@pytest.fixture
def release(system, tmp_path) -> Callable:
    """Register a release with a real archive: ``release("v1.2.5")``."""
    import hashlib
    import tarfile

    from deployments.models import Release

    def make(version: str, **fields):
        source = tmp_path / "release.json"
        source.write_text(f'{{"version": "{version}"}}')
        archive = tmp_path / f"paper-trader-{version}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(source, "release.json")
        digest = "sha256:" + hashlib.sha256(archive.read_bytes()).hexdigest()
        return Release.objects.create(service=system, version=version, artifact=str(archive), digest=digest, **fields)

    return make
