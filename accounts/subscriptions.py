"""Who may follow a live topic, and the record of who did: every subscription to production is in the audit trail."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.db import transaction
from django.http import HttpRequest

import accounts.audit  # noqa: F401  registers the action names
from accounts import sessions
from accounts.topics import UnknownTopic, find
from audit.actions import record
from audit.actors import Actor
from audit.models import Outcome

SIGNED_OUT, NOT_ALLOWED = 4401, 4403
"""Close codes of a refusal; the page's script knows them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not follow what they ask for."""

    code: int
    topic: str = ""
    """The first topic that is refused."""
    reason: str = ""


def admit(session_key: str, topics: Sequence[str], address: str) -> int | None:
    """Decide on a new socket and record it, before anything is sent: the close code, or None to go on.

    One record for each topic that shows production, and one for a refusal. What cannot be recorded is not followed:
    the error of the database is raised.
    """
    user, refusal = decide(session_key, topics)
    if user is None:
        return SIGNED_OUT
    actor = _actor(user, address)
    with transaction.atomic():
        if refusal is None:
            for name in dict.fromkeys(topics):
                for environment in _shown(name):
                    record(actor, "live.subscribed", environment=environment, after={"topic": name})
        else:
            _record_refusal(actor, refusal)
    return refusal.code if refusal else None


def still(session_key: str, topics: Sequence[str], address: str) -> int | None:
    """Look again at an open socket: the close code when a right was taken away, which is recorded; else None."""
    user, refusal = decide(session_key, topics)
    if refusal is not None and user is not None:
        with transaction.atomic():
            _record_refusal(_actor(user, address), refusal)
    return refusal.code if refusal else None


def decide(session_key: str, topics: Sequence[str]) -> tuple[Any, Refusal | None]:
    """Whose session it is, read anew, and why they may not follow every topic; None when they may."""
    user, standing = _whose(session_key)
    if user is None:
        return None, Refusal(SIGNED_OUT)
    if standing == sessions.Standing.SECOND_FACTOR:
        return user, Refusal(NOT_ALLOWED, topics[0] if topics else "", "The second factor was not shown.")
    for name in topics:
        try:
            topic, key = find(name)
        except UnknownTopic:
            return user, Refusal(NOT_ALLOWED, name, "There is no such topic.")
        if not topic.may_see(user, key):
            return user, Refusal(NOT_ALLOWED, name, "May not see what it shows.")
    return user, None


def _whose(session_key: str) -> tuple[Any, sessions.Standing]:
    """The person of a session, and what the session is good for."""
    if not session_key:
        return None, sessions.Standing.ENDED
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    if not user.is_authenticated or not user.is_active:
        return None, sessions.Standing.ENDED
    standing = sessions.standing(request.session, user)
    return (None if standing == sessions.Standing.ENDED else user), standing


def _shown(name: str) -> Sequence[str]:
    """The production environments of a topic; an empty name for a topic that does not say what it shows."""
    topic, key = find(name)
    return [""] if topic.production is None else sorted(topic.production(key))


def _record_refusal(actor: Actor, refusal: Refusal) -> None:
    environments: Sequence[str] = [""]
    with suppress(UnknownTopic, ValueError):  # a made-up topic, or a made-up key of one
        environments = _shown(refusal.topic) or [""]
    kept = {"topic": refusal.topic[:80].replace("\x00", "")}
    record(
        actor,
        "live.subscribed",
        environment=environments[0],
        outcome=Outcome.DENIED,
        reason=refusal.reason,
        after=kept,
    )


def _actor(user: Any, address: str) -> Actor:
    """The person of a socket. The request id is the connection's: it holds its records together."""
    return Actor(user.display_name, "session", user, user.role, uuid.uuid4().hex, address)
