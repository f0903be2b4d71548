"""The socket, through a real web server: who may listen, what arrives, and what a dead doorbell costs."""

import asyncio
import json
import time

import pytest
import uvicorn
import websockets
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from accounts import doorbell, live
from tests.ui.live_world import register

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(monkeypatch):
    from opsconsole import routing  # noqa: F401  registers the topics of the apps first

    return register(monkeypatch)


@pytest.fixture
async def server(world):
    from opsconsole.routing import websockets as application

    config = uvicorn.Config(application, port=0, lifespan="off", log_level="warning", ws="websockets-sansio")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


def session_of(user) -> str:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client.cookies["sessionid"].value


@pytest.fixture
def ada(django_user_model):
    return django_user_model.objects.create_user("ada")


@pytest.fixture
def session(ada):
    return session_of(ada)


def connect(server, session="", topics="world", since="", origin=None):
    return websockets.connect(
        f"ws://{server}/ws/live/?topics={topics}&since={since}",
        origin=f"http://{server}" if origin is None else origin,
        additional_headers={"Cookie": f"sessionid={session}"},
    )


async def hear(socket, seconds=5.0):
    return json.loads(await asyncio.wait_for(socket.recv(), seconds))


async def closed_with(socket, seconds=8.0):
    with pytest.raises(ConnectionClosed) as ended:
        async with asyncio.timeout(seconds):
            while True:
                await socket.recv()
    return ended.value.rcvd.code


async def test_a_ring_reaches_the_page_well_within_a_second(world, server, session):
    async with connect(server, session) as socket:
        assert (await hear(socket))["mode"] == "snapshot" and (await hear(socket))["p"][0]["html"] == "one"
        await asyncio.sleep(0.4)  # between two looks, so that it is the ring that counts
        world.regions["a"], started = "two", time.monotonic()
        doorbell.ring(["world"])
        patch = await hear(socket)
        assert patch["p"] == [{"id": "a", "html": "two"}] and time.monotonic() - started < 0.9


async def test_it_works_while_the_doorbell_is_dead(world, server, session, settings):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    async with connect(server, session) as socket:
        await hear(socket), await hear(socket)
        for text in ("two", "three"):
            world.regions["a"], started = text, time.monotonic()
            assert (await hear(socket))["p"] == [{"id": "a", "html": text}]
            assert time.monotonic() - started < 1.6


async def test_a_page_that_comes_back_catches_up(world, server, session):
    async with connect(server, session) as socket:
        hello = await hear(socket)
        seen = (await hear(socket))["seq"]
    world.regions["a"] = "two"
    async with connect(server, session, since=f"{hello['hub']}:{seen}") as socket:
        assert (await hear(socket))["mode"] == "delta"
        assert (await hear(socket))["p"] == [{"id": "a", "html": "two"}]


async def test_the_heart_beats_with_the_age_of_what_is_shown(world, server, session, monkeypatch):
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)
    async with connect(server, session) as socket:
        hello, patch, beat = [await hear(socket) for _ in range(3)]
        assert beat["type"] == "hb" and beat["topics"]["world"]["seq"] == patch["seq"]
        assert beat["topics"]["world"]["hub"] == hello["hub"] and abs(beat["server_time"] - time.time()) < 2
        world.fails = True
        await asyncio.sleep(1.5)
        while (beat := await hear(socket))["topics"]["world"]["age"] < 1.4:
            pass


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1", "null", ""])
async def test_a_foreign_origin_is_refused_before_the_socket_opens(world, server, session, origin):
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server, session, origin=origin):
            pass
    assert refused.value.response.status_code == 403 and world.drawn == 0


async def test_without_a_session_nothing_is_sent(world, server):
    for cookie in ("", "unknown-session"):
        async with connect(server, cookie) as socket:
            assert await closed_with(socket) == live.SIGNED_OUT
    assert world.drawn == 0


async def test_topics_that_may_not_be_seen_are_refused_as_unknown_ones_are(world, server, session):
    world.allowed = set()
    for topics in ("world", "nothing.42"):
        async with connect(server, session, topics=topics) as socket:
            assert await closed_with(socket) == live.NOT_ALLOWED


@pytest.mark.parametrize("loss", ["right", "activity", "session"])
async def test_a_right_taken_away_ends_the_socket(world, server, ada, session, loss, monkeypatch):
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)
    from django.contrib.sessions.models import Session

    async with connect(server, session) as socket:
        await hear(socket), await hear(socket)
        if loss == "right":
            world.allowed = set()
        elif loss == "activity":
            ada.is_active = False
            await ada.asave()
        else:
            await Session.objects.all().adelete()
        assert await closed_with(socket) == (live.NOT_ALLOWED if loss == "right" else live.SIGNED_OUT)


async def test_what_a_page_says_makes_its_right_be_checked_at_once(world, server, session):
    async with connect(server, session) as socket:
        await hear(socket), await hear(socket)
        world.allowed = set()
        await socket.send("anything")
        assert await closed_with(socket, 2.0) == live.NOT_ALLOWED


async def test_an_unknown_address_is_refused(server, session):
    with pytest.raises(InvalidStatus):
        async with websockets.connect(f"ws://{server}/ws/else/", origin=f"http://{server}"):
            pass
