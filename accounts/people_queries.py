"""Reading people: a list is one query, whatever the number of people, keys and sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest
from django.db.models.functions import Now as DatabaseNow

from accounts import queries
from accounts.limits import SCOPE_WORDS, SCOPES
from accounts.models import APIKey, AuthenticatorApp, Passkey, User, UserSession
from accounts.roles import VIEW, Role
from accounts.sessions import METHOD_WORDS

STATES = {
    "active": "Active",
    "invited": "Invited, not entered yet",
    "inactive": "Inactive",
}
"""State of a person and its word."""
HELPERS = 5
"""So many Admins are named where somebody is told who can help."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the list shows them."""

    user: User
    username: str
    name: str
    role: str
    state: str
    """A key of ``STATES``."""
    passkeys: int
    has_app: bool
    last_seen: datetime | None
    """The latest of sign-in, page and API key; None when there was none."""
    keys: int
    """API keys that can be used now."""
    keys_due: int
    """Those of them that end soon and have no newer one."""

    @property
    def factor(self) -> str:
        """``passkey``, ``app``, ``both`` or ``none``."""
        if self.passkeys:
            return "both" if self.has_app else "passkey"
        return "app" if self.has_app else "none"

    @property
    def is_unprotected(self) -> bool:
        """Whether an active Admin has no second factor, and so cannot act; in the demo one can."""
        missing = self.role == Role.ADMIN and self.state != "inactive" and self.factor == "none"
        return missing and not settings.DEMO


def people(search: str = "", role: str = "", state: str = "") -> QuerySet[User]:
    """People with what ``person`` reads of them, by name; one query."""
    found = User.objects.annotate(
        role_name=_role(),
        passkey_count=_count(Passkey.objects.all(), "user"),
        has_app=Exists(AuthenticatorApp.objects.filter(user=OuterRef("pk"), confirmed_at__isnull=False)),
        last_seen=Greatest(
            F("last_login"),
            _latest(UserSession.objects.all(), "user", "last_seen_at"),
            _latest(APIKey.objects.all(), "owner", "last_used_at"),
        ),
        key_count=_count(queries.all_keys().filter(revoked_at=None, expires_at__gt=DatabaseNow()), "owner"),
        key_due_count=_count(queries.keys_due(), "owner"),
    ).order_by("first_name", "last_name", "username")
    for word in search.split():
        found = found.filter(Q(username__icontains=word) | Q(first_name__icontains=word) | Q(last_name__icontains=word))
    if role:
        found = found.filter(role_name=role)
    if state:
        found = found.filter(**_STATE_FILTERS[state])
    return found


def person(user: Any) -> Person:
    """What the list shows of one row of ``people()``."""
    state = "inactive" if not user.is_active else "active" if user.last_login else "invited"
    return Person(
        user=user,
        username=user.username,
        name=user.display_name,
        role=user.role_name,
        state=state,
        passkeys=user.passkey_count,
        has_app=user.has_app,
        last_seen=user.last_seen,
        keys=user.key_count if user.is_active else 0,
        keys_due=user.key_due_count,
    )


def active_admins() -> list[str]:
    """Names of the active Admins, at most ``HELPERS``, whoever was here last first. One query."""
    admins = User.objects.filter(groups__name=Role.ADMIN.value, is_active=True)
    return [user.display_name for user in admins.order_by(F("last_login").desc(nulls_last=True), "pk")[:HELPERS]]


def every_key(search: str = "", state: str = "") -> QuerySet[APIKey]:
    """API keys of everybody: those that are due first, then those that work, then those that ended. One query.

    Args:
        state: ``due``, ``usable``, ``ended``, or nothing for all of them.
    """
    is_due = Exists(queries.keys_due().filter(pk=OuterRef("pk")).order_by())
    works = Q(revoked_at=None, expires_at__gt=DatabaseNow(), owner__is_active=True)
    rank = Case(When(is_due, then=0), When(works, then=1), default=2, output_field=IntegerField())
    found = queries.all_keys().annotate(rank=rank).order_by("rank", "expires_at", "pk")
    for word in search.split():
        owner = Q(owner__username__icontains=word) | Q(owner__first_name__icontains=word)
        found = found.filter(owner | Q(owner__last_name__icontains=word) | Q(name__icontains=word) | Q(prefix=word))
    ranks = {"due": (0,), "usable": (0, 1), "ended": (2,)}
    return found.filter(rank__in=ranks[state]) if state else found


def scopes_in_words(key: APIKey) -> list[str]:
    """What a key may do, as it reads after "may"; looking is always among it."""
    return [SCOPE_WORDS[scope] for scope in SCOPES if scope == VIEW or scope in key.scopes]


def methods_in_words(methods: list[str]) -> str:
    """How somebody proved who they are, as one text."""
    return ", ".join(METHOD_WORDS.get(method, method) for method in methods) or "Unknown"


_STATE_FILTERS: dict[str, dict[str, Any]] = {
    "active": {"is_active": True, "last_login__isnull": False},
    "invited": {"is_active": True, "last_login__isnull": True},
    "inactive": {"is_active": False},
}


def _role() -> Any:
    """The role as ``User.role`` has it: of several groups the first of the table."""
    order = Case(*[When(name=role.value, then=place) for place, role in enumerate(Role)], output_field=IntegerField())
    groups = Group.objects.filter(user=OuterRef("pk"), name__in=[role.value for role in Role]).order_by(order)
    return Coalesce(Subquery(groups.values("name")[:1]), Value(""), output_field=CharField())


def _count(rows: QuerySet[Any], owner: str) -> Any:
    """How many rows belong to each person, as a subquery: joins would multiply one another."""
    of_one = rows.filter(**{owner: OuterRef("pk")}).order_by().values(owner).annotate(number=Count("pk"))
    return Coalesce(Subquery(of_one.values("number")), 0, output_field=IntegerField())


def _latest(rows: QuerySet[Any], owner: str, column: str) -> Any:
    of_one = rows.filter(**{owner: OuterRef("pk")}).order_by().values(owner).annotate(latest=Max(column))
    return Subquery(of_one.values("latest"))
