"""A fixed cast: an admin, an operator and a developer; production and staging of the paper trader; releases."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests import cast

# Nothing here is timed: on a busy machine a test takes as long as it takes.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


SHARED = {"audit", "demo", "deployments", "environments", "exchange", "trading/stop"}
"""Folders whose tests share something that takes seconds to start: one process runs them all."""


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not in what is there for good: a tenth of the time of these tests."""
    gc.set_threshold(100_000, 50, 100)
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a folder of ``SHARED``, else those of a file, run in one process, unless they say otherwise."""
    here = Path(__file__).parent
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            path = item.path.relative_to(here)
            folder = path.parent.as_posix()
            item.add_marker(pytest.mark.xdist_group(folder if folder in SHARED else path.as_posix()))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """In the tests' own database the audit trail may be truncated, because that is how Django clears it after a test.

    A change or a deletion is refused here as everywhere.
    """
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in ("audit_record", "audit_chain", "audit_checkpoint"):
            cursor.execute(f"DROP TRIGGER {table}_refuse_truncate ON {table}")


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    """Tests need no collected static files."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def _stops_of_its_own(settings, tmp_path_factory, request):
    """No test finds the kill switch engaged by another one."""
    settings.OPSC_STOPS = tmp_path_factory.getbasetemp() / "stops" / str(abs(hash(request.node.nodeid)))


@pytest.fixture(scope="session", autouse=True)
def _force_login_is_strong():
    """``Client.force_login`` signs in as with a passkey: an Admin's weaker session may do nothing at all.

    A test of weaker sessions sets ``session["methods"]`` to another list, for example ``["link"]``.
    """
    from django.test import Client

    plain = Client.force_login

    def force_login(client, user, backend=None):
        plain(client, user, backend)
        session = client.session
        session.update({"methods": ["passkey"], "opened_at": time.time(), "seen_at": time.time()})
        session.save()

    Client.force_login = force_login
    yield
    Client.force_login = plain


@pytest.fixture
def system(db, tmp_path):
    """The inventory of demo/system.yaml, applied; nothing of it runs."""
    return cast.apply_system(tmp_path)


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
    return cast.make_person


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
    return functools.partial(cast.make_release, system, tmp_path)
