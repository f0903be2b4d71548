"""Production with a real database, people who act on it, and instances that answer what a test wants."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

import pytest

from environments.models import Instance
from tests.environments.answers import STATE, answer, serve
from tests.trading.database_world import making, reset
from trading import database_runs, databases


@pytest.fixture(scope="module")
def made():
    with making() as book:
        yield book


@pytest.fixture
def book(made, production, tmp_path):
    """The book of production, with its backups in a folder of the test."""
    reset(made)
    secret = tmp_path / "database.url"
    secret.write_text(made.url)
    folder = tmp_path / "backups"
    production.database = {"url": f"file:{secret}", "schema_name": "book", "folder": str(folder), "keep": 2}
    production.writer_slot = production.slots.get(name="blue")
    production.save()
    return made


@contextmanager
def saying(**roles):
    """Both instances answer, each with a role: ``saying(blue="HALTED", green="STANDBY")``."""
    with ExitStack() as stack:
        for slot, role in roles.items():
            server = stack.enter_context(serve({"GET /v1/state": answer({**STATE, "role": role})}))
            Instance.objects.filter(name=f"production-{slot}-1").update(base_url=server.url)
        yield


@pytest.fixture
def halted():
    with saying(blue="HALTED", green="STANDBY"):
        yield


@pytest.fixture
def ada(actor_of, admin):
    return actor_of(admin)


def done(run):
    """Carry it out as a worker does; the row afterwards."""
    database_runs.work(run.pk)
    run.refresh_from_db()
    return run


@pytest.fixture
def backup(book, production, ada):
    run = done(databases.back_up(ada, production, "Before the migration"))
    assert run.status == "succeeded", run.detail
    return run
