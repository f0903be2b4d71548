"""Browser sessions: how they are opened, what they prove, when they end.

``request.session`` carries ``methods`` (how the person proved who they are), ``opened_at`` and ``seen_at`` (Unix
seconds), ``open_id`` (the UserSession row, which stays the same when the session's key changes) and, after a first
factor of somebody who has a second one, ``second_factor = "needed"``.
"""

from __future__ import annotations

import time
from datetime import timedelta
from enum import Enum
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, prefetch_related_objects
from django.utils import timezone

import accounts.audit  # noqa: F401  registers the action names
from accounts.actors import from_request
from accounts.models import AuthenticatorApp, Passkey, User, UserSession
from accounts.roles import Role
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor

STRONG = frozenset({"passkey", "totp", "recovery", "oidc_mfa"})
"""Methods that prove more than one factor, or are the second one. A passkey takes the device and its PIN or finger."""
METHOD_WORDS = {
    "link": "One-time link",
    "passkey": "Passkey",
    "totp": "Authenticator app",
    "recovery": "Recovery code",
    "ssh": "SSH key",
    "oidc": "Single sign-on",
    "oidc_mfa": "Single sign-on with a second factor",
    "demo": "Demo button",
}
LONGEST = timedelta(hours=24)
"""After this a session ends, however busy it is. Idle ones end after ``SESSION_COOKIE_AGE``."""
SEEN_EVERY = timedelta(minutes=1)
_BACKEND = "django.contrib.auth.backends.ModelBackend"


class Standing(Enum):
    """What a session is good for."""

    GOOD = "good"
    ENDED = "ended"
    """Too old: sign in again."""
    SECOND_FACTOR = "second factor"
    """Nothing may be done before a second factor was shown."""


@transaction.atomic
def open(request: Any, user: User, method: str, *, also: tuple[str, ...] = ()) -> UserSession:
    """Sign a person in to the browser session: the one way in.

    Args:
        method: how it was proved; one of ``METHOD_WORDS``. It is kept in the session and in the audit trail.
        also: further methods that the same act proved.
    """
    forget(request)
    login(request, user, backend=_BACKEND)
    methods = [method, *also]
    now = time.time()
    request.session.update({"methods": methods, "opened_at": now, "seen_at": now})
    request.session.pop("second_factor", None)
    if not is_strong(request.session) and has_second_factor(user):
        request.session["second_factor"] = "needed"
    if not request.session.session_key:
        request.session.create()
    row = UserSession.objects.create(
        user=user,
        session_key=request.session.session_key,
        methods=methods,
        address=_text(request.META.get("REMOTE_ADDR"), 60),
        user_agent=_text(request.headers.get("User-Agent"), 300),
    )
    request.session["open_id"] = row.pk
    _prune(user)
    record(from_request(request), "account.signed_in", user, after={"how": method})
    return row


def forget(request: Any) -> None:
    """Remove the list entry of the session that a request carries, before it is closed or replaced."""
    UserSession.objects.filter(pk=request.session.get("open_id")).delete()


def is_strong(session: Any) -> bool:
    """Whether a session was proved by more than a first factor. The demo's button counts in the demo only."""
    methods = session.get("methods", ())
    return any(method in STRONG or (method == "demo" and settings.DEMO) for method in methods)


def has_second_factor(user: User) -> bool:
    """Whether a person has a passkey or a confirmed authenticator app. One query."""
    passkeys = Passkey.objects.filter(user=OuterRef("pk"))
    apps = AuthenticatorApp.objects.filter(user=OuterRef("pk"), confirmed_at__isnull=False)
    return User.objects.filter(Exists(passkeys) | Exists(apps), pk=user.pk).exists()


def standing(session: Any, user: User) -> Standing:
    """What the session of a person is good for now. No query for a strong session, else at most one."""
    if time.time() - float(session.get("opened_at") or 0) > LONGEST.total_seconds():
        return Standing.ENDED
    if is_strong(session):
        return Standing.GOOD
    if session.get("second_factor") == "needed":
        return Standing.SECOND_FACTOR
    prefetch_related_objects([user], "groups")  # whoever asks for the role after this asks no database
    return Standing.SECOND_FACTOR if user.role == Role.ADMIN else Standing.GOOD


def key_needs_second_factor(user: User) -> bool:
    """Whether API keys of a person are refused: an Admin's, until a second factor is enrolled (not in the demo)."""
    return not settings.DEMO and user.role == Role.ADMIN and not has_second_factor(user)


def add_method(request: Any, method: str) -> None:
    """Note that a second factor was shown, and give the session a new key."""
    methods = [*request.session.get("methods", ())]
    request.session["methods"] = methods if method in methods else [*methods, method]
    request.session.pop("second_factor", None)
    UserSession.objects.filter(pk=request.session.get("open_id")).update(methods=request.session["methods"])
    cycle(request)


def cycle(request: Any) -> None:
    """Give the session a new key: whoever knew the one before knows nothing any more."""
    request.session.cycle_key()
    UserSession.objects.filter(pk=request.session.get("open_id")).update(session_key=request.session.session_key)


def touch(request: Any) -> None:
    """Note that the session is in use; writes at most once a minute."""
    now = time.time()
    if now - float(request.session.get("seen_at") or 0) < SEEN_EVERY.total_seconds():
        return
    request.session["seen_at"] = now
    UserSession.objects.filter(pk=request.session.get("open_id")).update(last_seen_at=timezone.now())


def open_sessions(user: User) -> QuerySet[UserSession]:
    """The sessions of a person that are open now, the latest seen first."""
    alive = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=timezone.now())
    since = timezone.now() - LONGEST
    return UserSession.objects.filter(Exists(alive), user=user, created_at__gt=since).order_by("-last_seen_at", "-pk")


@use_case
def end(actor: Actor, session: UserSession) -> None:
    """End one session; its pages close within five seconds."""
    record(actor, "session.ended", session.user, after=_described(session))
    _delete([session])


@use_case
def end_others(actor: Actor, user: User, keep: int | None) -> int:
    """End every session of a person except one (``open_id``); how many ended."""
    others = [session for session in open_sessions(user) if session.pk != keep]
    for session in others:
        record(actor, "session.ended", user, after=_described(session))
    _delete(others)
    return len(others)


def end_all(user: User) -> int:
    """End every session of a person, as part of an act that is audited by itself; how many ended."""
    sessions = list(UserSession.objects.filter(user=user))
    _delete(sessions)
    return len(sessions)


def _delete(sessions: list[UserSession]) -> None:
    Session.objects.filter(session_key__in=[session.session_key for session in sessions]).delete()
    UserSession.objects.filter(pk__in=[session.pk for session in sessions]).delete()


def _prune(user: User) -> None:
    """Drop list entries whose session is gone: it expired, or was flushed by somebody else's sign-in."""
    alive = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=timezone.now())
    UserSession.objects.filter(~Exists(alive), user=user).delete()


def _described(session: UserSession) -> dict[str, Any]:
    return {
        "opened_at": session.created_at.isoformat(timespec="seconds"),
        "methods": session.methods,
        "address": session.address,
    }


def _text(value: str | None, length: int) -> str:
    return (value or "").replace("\x00", "")[:length]
