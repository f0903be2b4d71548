"""Every live topic × caller × thing against ``sockets.yaml``, through the console's own consumer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client
from guardian.shortcuts import assign_perm, remove_perm

from accounts import live, people_actions, topics
from accounts.models import User
from opsconsole.routing import websockets
from tests.accounts.factors import enter, give_second_factor
from tests.api.matrix_things import MISSING, make_deployment
from tests.cast import make_person

pytestmark = pytest.mark.django_db(transaction=True)
SOCKETS = yaml.safe_load((Path(__file__).parent / "sockets.yaml").read_text())
PEOPLE = {
    "ended": ("ella", "Admin"),
    "inactive": ("igor", "Admin"),
    "nobody": ("nemo", None),
    "visitor": ("vera", None),
    "weak": ("wim", "Admin"),
    "admin": ("ada", "Admin"),
    "operator": ("otto", "Operator"),
    "developer": ("dora", "Developer"),
    "second": ("alan", "Admin"),
}
OPEN = "open"


class Socket(ApplicationCommunicator):
    """A page's end of a socket, straight at the consumer (Channels' own would need a web server that we do not use)."""

    def __init__(self, names: str, headers: list[tuple[bytes, bytes]]) -> None:
        query = f"topics={quote(names)}".encode()
        scope = {
            "type": "websocket",
            "path": "/ws/live/",
            "query_string": query,
            "headers": headers,
            "subprotocols": [],
        }
        super().__init__(websockets, scope)

    async def opens(self) -> bool:
        """Ask to open; whether it was accepted."""
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(10))["type"] == "websocket.accept"

    async def say(self, **message: Any) -> None:
        """Send ``text`` or ``bytes``."""
        await self.send_input({"type": "websocket.receive", **message})

    async def leave(self) -> None:
        """Close it from the page's side."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(10)


class Scene:
    """The people with their sessions, and one thing of each kind in each environment."""

    def __init__(self, production: Any, staging: Any, release: Any) -> None:
        self.sockets: list[Socket] = []
        self.people = {caller: make_person(*who) for caller, who in PEOPLE.items()}
        self.environments = {"production": production, "staging": staging}
        assign_perm("view_environment", self.people["visitor"], staging)
        self.clients = {caller: enter(user, strong=caller != "weak") for caller, user in self.people.items()}
        give_second_factor(self.people["admin"])
        _too_old(self.clients["ended"])
        User.objects.filter(pk=self.people["inactive"].pk).update(is_active=False)
        admin = self.people["admin"]
        self.deployments = {
            name: make_deployment("watching", environment, release, admin)
            for name, environment in self.environments.items()
        }
        self.clearances = {name: _clearance(environment, admin) for name, environment in self.environments.items()}
        self.database_runs = {name: _database_run(place) for name, place in self.environments.items()}
        self.checklist_runs = {name: _checklist_run(place) for name, place in self.environments.items()}
        self.runbook_runs = {name: _runbook_run(place, admin) for name, place in self.environments.items()}
        self.stops = {name: _stop(environment) for name, environment in self.environments.items()}
        self.approvals = {name: _approval(deployment, admin) for name, deployment in self.deployments.items()}

    def topic(self, prefix: str, thing: str) -> str:
        """The name of a topic, say ``deployment.42``."""
        if thing == "any":
            return prefix
        if thing == "missing":
            return f"{prefix}.{MISSING}"
        if prefix == "databases":
            return f"databases.{self.environments[thing].pk}"
        if prefix == "database":
            return f"database.{self.database_runs[thing].pk}"
        if prefix == "stop":
            return f"stop.{self.stops[thing].pk}"
        if prefix == "clearance":
            return f"clearance.{self.clearances[thing].pk}"
        if prefix == "checklist":
            return f"checklist.{self.checklist_runs[thing].pk}"
        if prefix == "runbook":
            return f"runbook.{self.runbook_runs[thing].pk}"
        kinds = {"environment": self.environments, "deployment": self.deployments, "approval": self.approvals}
        return f"{prefix}.{kinds[prefix][thing].pk}"

    def socket(self, caller: str, names: str, origin: str | None = "http://testserver") -> Socket:
        """A page's socket of a caller."""
        headers = [(b"host", b"testserver")]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        if caller in self.clients:
            headers.append((b"cookie", f"sessionid={self.clients[caller].cookies['sessionid'].value}".encode()))
        self.sockets.append(Socket(names, headers))
        return self.sockets[-1]


def _too_old(client: Client) -> None:
    session = client.session
    session["opened_at"] -= 25 * 3600
    session.save()


def _clearance(environment: Any, admin: Any) -> Any:
    from datetime import timedelta

    from django.utils import timezone

    from trading.models import Clearance

    ends = timezone.now() + timedelta(minutes=5)
    return Clearance.objects.create(environment=environment, kind="resume", requested_by=admin, expires_at=ends)


def _checklist_run(environment: Any) -> Any:
    from django.utils import timezone

    from runbooks.models import Checklist, ChecklistRun, ChecklistVersion

    text = "{title: Look, schedule: {every: day}, groups: [{title: All, items: []}]}"
    found, _ = Checklist.objects.get_or_create(service=environment.service, slug="look")
    values = {"digest": "0" * 64, "text": text.replace("[]", "[{id: look, challenge: Look, value: {min: 0}}]")}
    version, _ = ChecklistVersion.objects.get_or_create(checklist=found, number=1, defaults=values)
    defaults = {"version": version, "opens_at": timezone.now()}
    made, _ = ChecklistRun.objects.get_or_create(
        checklist=found, environment=environment, period="2026-11-23", defaults=defaults
    )
    return made


def _runbook_run(environment: Any, admin: Any) -> Any:
    from runbooks.models import RunbookRun, RunbookText

    values = {"slug": "look", "title": "Look", "text": "---\n"}
    text, _ = RunbookText.objects.get_or_create(digest="0" * 64, defaults=values)
    people = {"started_by": admin, "operator": admin}
    return RunbookRun.objects.get_or_create(text=text, environment=environment, defaults=people)[0]


def _database_run(environment: Any) -> Any:
    from trading.models import DatabaseRun

    return DatabaseRun.objects.create(
        environment=environment, kind="backup", status="succeeded", actor_name="Otto", reason="Test"
    )


def _stop(environment: Any) -> Any:
    from django.utils import timezone

    from trading.models import EmergencyStop

    return EmergencyStop.objects.create(
        environment=environment, actor_name="Otto", via="page", pressed_at=timezone.now(), reason="Test"
    )


def _approval(deployment: Any, admin: Any) -> Any:
    from datetime import timedelta

    from django.utils import timezone

    from deployments.models import Approval

    return Approval.objects.create(
        deployment=deployment,
        subject={},
        subject_hash="0" * 64,
        reason="Test",
        requested_by=admin,
        requested_by_name=admin.display_name,
        expires_at=timezone.now() + timedelta(hours=1),
        state="approved",
    )


@pytest.fixture
def stage(production, staging, release) -> Scene:
    return Scene(production, staging, release)


@pytest.fixture
async def scene(stage) -> AsyncIterator[Scene]:
    yield stage
    for socket in stage.sockets:
        await socket.leave()


async def answer(socket: Socket) -> int | str:
    """``open`` once the first message came, the code with which it was closed, or ``refused`` before it opened."""
    if not await socket.opens():
        return "refused"
    first = await socket.receive_output(timeout=10)
    if first["type"] == "websocket.close":
        return first["code"]
    assert json.loads(first["text"])["type"] == "hello"
    return OPEN


async def closed_with(socket: Socket) -> int:
    """The code with which an open socket is closed, within ten seconds."""
    async with asyncio.timeout(10):
        while True:
            message = await socket.receive_output(timeout=10)
            if message["type"] == "websocket.close":
                return message["code"]


def test_every_topic_is_listed():
    registered = {(found.prefix, found.has_key) for found in topics._topics.values()}
    assert registered == {(prefix, "any" not in things) for prefix, things in SOCKETS["topics"].items()}
    for things in SOCKETS["topics"].values():
        assert set(things) in ({"any"}, {"production", "staging", "missing"})
    for row in SOCKETS["answers"].values():
        assert set(row) == {"anonymous", *PEOPLE}


@pytest.mark.parametrize("prefix", SOCKETS["topics"])
async def test_who_may_follow_a_topic(prefix, scene):
    found, wanted = {}, {}
    for thing, answers in SOCKETS["topics"][prefix].items():
        for caller, code in SOCKETS["answers"][answers].items():
            socket = scene.socket(caller, scene.topic(prefix, thing))
            found[thing, caller], wanted[thing, caller] = await answer(socket), code
    assert {case: code for case, code in found.items() if code != wanted[case]} == {}


async def test_what_is_no_topic_is_refused_as_what_may_not_be_seen(scene):
    for name in SOCKETS["unknown"]:
        for names in (name, f"overview,{name}"):
            assert await answer(scene.socket("admin", names)) == live.NOT_ALLOWED, names


async def test_one_forbidden_topic_closes_the_whole_socket(scene):
    both = f"{scene.topic('environment', 'staging')},{scene.topic('environment', 'production')}"
    assert await answer(scene.socket("visitor", both)) == live.NOT_ALLOWED
    assert await answer(scene.socket("operator", both)) == OPEN


async def test_nothing_that_a_page_sends_is_an_order(scene, monkeypatch):
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.1)
    name, vera, staging = scene.topic("environment", "staging"), scene.people["visitor"], scene.environments["staging"]
    sockets = [scene.socket("visitor", name) for _ in SOCKETS["messages"]]
    for socket, message in zip(sockets, SOCKETS["messages"], strict=True):
        assert await answer(socket) == OPEN
        text = "x" * 1_000_000 if message == "long" else message
        await socket.say(**{"bytes": bytes(range(256))} if message == "binary" else {"text": text})
        for _ in range(4):
            heard = json.loads((await socket.receive_output(timeout=10))["text"])
            assert heard["type"] in ("patch", "hb"), message
            assert set(heard["topics"] if heard["type"] == "hb" else [heard["topic"]]) == {name}, message
    monkeypatch.setattr(live, "BEAT_SECONDS", 60.0)
    await sync_to_async(remove_perm)("view_environment", vera, staging)
    for socket, message in zip(sockets, SOCKETS["messages"], strict=True):
        await socket.say(text=message)
        assert await closed_with(socket) == live.NOT_ALLOWED, message


async def test_only_the_exact_origin_opens(scene):
    assert await answer(scene.socket("admin", "overview", SOCKETS["own origin"])) == OPEN
    for origin in SOCKETS["foreign origins"]:
        assert await answer(scene.socket("admin", "overview", origin)) == "refused", origin


async def test_the_origin_is_compared_with_a_host_that_is_this_console(scene):
    socket = scene.socket("admin", "overview", "http://evil.example")
    socket.scope["headers"][0] = (b"host", b"evil.example")
    assert await answer(socket) == "refused", "a page of another name that leads here is not ours (DNS rebinding)"


async def test_what_an_admin_does_to_people_ends_their_sockets(scene, actor_of, monkeypatch):
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)
    acts = {"deactivate": ("second", ()), "change_role": ("developer", ("Operator",)), "end_sessions": ("operator", ())}
    sockets = {act: [scene.socket(caller, "overview") for _ in range(2)] for act, (caller, _) in acts.items()}
    bystander = scene.socket("visitor", scene.topic("environment", "staging"))
    for socket in (*chain(*sockets.values()), bystander):
        assert await answer(socket) == OPEN
    actor = await sync_to_async(actor_of)(scene.people["admin"])
    for act, (caller, given) in acts.items():
        await sync_to_async(getattr(people_actions, act))(actor, scene.people[caller], *given, "Because")
        assert [await closed_with(socket) for socket in sockets[act]] == [live.SIGNED_OUT] * 2, act
    for _ in range(3):
        assert (await bystander.receive_output(timeout=10))["type"] == "websocket.send"


async def test_a_permission_taken_away_ends_the_socket(scene, monkeypatch):
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)
    socket = scene.socket("visitor", scene.topic("environment", "staging"))
    assert await answer(socket) == OPEN
    await sync_to_async(remove_perm)("view_environment", scene.people["visitor"], scene.environments["staging"])
    assert await closed_with(socket) == live.NOT_ALLOWED


def test_the_right_is_looked_at_every_five_seconds():
    assert live.BEAT_SECONDS <= 5
