"""Following production is in the audit trail before anything is sent, and so is a refusal."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from accounts import live, subscriptions, topics
from accounts.topics import find
from audit.models import Record
from tests.ui.test_socket import ada, closed_with, connect, hear, server, session, session_of, world

__all__ = ["ada", "server", "session", "world"]
pytestmark = pytest.mark.django_db(transaction=True)
NAMES = ["production"]


@pytest.fixture
def shown(world):
    """Two more topics of the world: one shows production, the other says that it shows none."""
    topics.topic("live_money", world.may_see, world.view, production=lambda key: NAMES)
    topics.topic("paper", world.may_see, world.view, production=lambda key: [])
    return world


@sync_to_async
def recorded():
    kept = Record.objects.filter(action="live.subscribed").order_by("id")
    return [(one.environment, one.after["topic"], one.outcome, one.actor_name) for one in kept]


async def test_each_topic_of_production_is_recorded_once_for_each_socket(shown, server, session):
    for _ in range(2):
        async with connect(server, session, topics="live_money,paper,live_money") as socket:
            assert (await hear(socket))["type"] == "hello"
            assert (await recorded())[-1] == ("production", "live_money", "done", "ada")
            await socket.send("anything")
            await hear(socket)
    assert len(await recorded()) == 2


async def test_the_record_says_who_and_from_where(shown, server, session, ada):
    async with connect(server, session, topics="live_money") as socket:
        await hear(socket)
    kept = await Record.objects.aget(action="live.subscribed")
    assert (kept.actor_id, kept.via, kept.address) == (ada.pk, "session", "127.0.0.1") and len(kept.request_id) == 32


async def test_a_topic_that_does_not_say_what_it_shows_is_recorded_as_well(world, server, session):
    async with connect(server, session) as socket:
        await hear(socket)
    assert await recorded() == [("", "world", "done", "ada")]


@pytest.mark.parametrize(
    ("name", "environment"), [("live_money", "production"), ("world", ""), ("secrets.42", ""), ("x" * 200, "")]
)
async def test_a_refusal_is_recorded(shown, server, session, name, environment):
    shown.allowed = set()
    async with connect(server, session, topics=name) as socket:
        assert await closed_with(socket) == live.NOT_ALLOWED
    assert await recorded() == [(environment, name[:80], "denied", "ada")]
    assert shown.drawn == 0


async def test_a_right_taken_away_is_recorded(shown, server, session, monkeypatch):
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)
    async with connect(server, session, topics="live_money") as socket:
        await hear(socket)
        shown.allowed = set()
        assert await closed_with(socket) == live.NOT_ALLOWED
    assert [outcome for _, _, outcome, _ in await recorded()] == ["done", "denied"]


async def test_somebody_unknown_leaves_no_record_of_a_person(shown, server):
    async with connect(server, "no-session", topics="live_money") as socket:
        assert await closed_with(socket) == live.SIGNED_OUT
    assert await recorded() == []


async def test_what_cannot_be_recorded_is_not_sent(shown, server, session):
    await forbid("ALTER TABLE audit_record ADD CONSTRAINT none CHECK (action <> 'live.subscribed') NOT VALID")
    try:
        async with connect(server, session, topics="live_money") as socket:
            assert await closed_with(socket) == live.NOT_DRAWN
        assert shown.drawn == 0
        async with connect(server, session, topics="paper") as socket:
            assert (await hear(socket))["type"] == "hello"
    finally:
        await forbid("ALTER TABLE audit_record DROP CONSTRAINT none")


@sync_to_async
def forbid(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_topics_of_the_apps_say_what_they_show(production, staging):
    from accounts.topics import _topics
    from opsconsole import routing  # noqa: F401  registers them

    def shows(name: str) -> list[str]:
        topic, key = find(name)
        return [*topic.production(key)]

    assert shows(f"environment.{production.pk}") == ["production"] and shows(f"environment.{staging.pk}") == []
    assert shows("overview") == shows("environments") == ["production"]
    assert all(topic.production is not None for topic in _topics.values())


def test_a_deployment_shows_the_environment_it_is_made_to(production, staging, release):
    from deployments.live import production_of_deployment
    from deployments.models import Deployment

    made = {}
    for environment in (production, staging):
        made[environment.name] = Deployment.objects.create(
            environment=environment,
            to_release=release(f"v1.2.{environment.pk}"),
            to_slot=environment.slots.first(),
            strategy="blue_green",
            reason="Test",
            requested_by_name="Ada",
        )
    assert production_of_deployment(str(made["production"].pk)) == ["production"]
    assert production_of_deployment(str(made["staging"].pk)) == production_of_deployment("999999") == []


def test_it_takes_few_queries(shown, ada, django_assert_max_num_queries):
    key = session_of(ada)
    subscriptions.admit(key, ["live_money"], "")
    # session, person, role; the savepoint, the record
    with django_assert_max_num_queries(9):
        assert subscriptions.admit(key, ["live_money", "paper"], "") is None


async def test_many_pages_at_once_are_each_recorded(shown, server, session):
    async def one_page() -> None:
        async with connect(server, session, topics="live_money") as socket:
            await hear(socket)

    await asyncio.gather(*(one_page() for _ in range(12)))
    assert len(await recorded()) == 12
