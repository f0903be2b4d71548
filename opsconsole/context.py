"""What the frame of every page shows: navigation, role, theme, and deployments in trouble. At most nine queries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest
from django.utils import timezone

from accounts import queries, sessions
from accounts.roles import Role
from alerts import queries as alert_queries
from deployments.approvals import count_waiting_for
from deployments.models import Deployment, VerdictRow
from deployments.states import ACTIVE, Status
from environments.models import Environment
from environments.permissions import Reach, reach
from runbooks import runbook_queries
from trading import stop_pages

VERSION = "0.1.0"
THEMES = (("auto", "Auto", "sun-moon"), ("light", "Light", "sun"), ("dark", "Dark", "moon"))
THEME_COOKIE = "opsc_theme"
NAV = (
    ("Overview", "/", "layout-dashboard", "o"),
    ("Deployments", "/deployments/", "rocket", "d"),
    ("Trading", "/positions/", "chart-candlestick", "t"),
    ("Breakers", "/breakers/", "zap", "b"),
    ("Alerts", "/alerts/", "bell", "w"),
    ("Checklists", "/checklists/", "list-checks", "l"),
    ("Runbooks", "/runbooks/", "book-open-check", "k"),
    ("Approvals", "/approvals/", "stamp", "a"),
    ("Environments", "/environments/", "server", "e"),
    ("Releases", "/releases/", "package", "r"),
    ("Databases", "/databases/", "database", ""),
    ("Audit", "/audit/", "scroll-text", "u"),
    ("People", "/people/", "users", ""),
    ("Docs", "/docs/", "book-open", ""),
)
"""Word, address, icon, and the key after ``g``; the first four stand in the bar of a phone."""
ALSO = {
    "/deployments/": ("/rollback-reports/",),
    "/positions/": ("/orders/",),
    "/checklists/": ("/checklist-runs/",),
    "/runbooks/": ("/runbook-runs/",),
    "/approvals/": ("/clearances/",),
    "/docs/": ("/changelog", "/api/docs/"),
}
"""Further addresses that belong to an entry."""
ADMINS_ONLY = frozenset({"/people/"})
SHOWN_TROUBLES = 3


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the navigation."""

    word: str
    href: str
    icon: str
    key: str
    current: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """A deployment that failed, is failing, or runs with a failed verdict."""

    pk: int
    environment: str
    title: str
    text: str
    tone: str
    href: str


class Frame:
    """The values of the frame; each is computed only when a template asks for it."""

    version = VERSION
    themes = THEMES

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.now = timezone.now()

    @cached_property
    def theme(self) -> str:
        """``auto``, ``light`` or ``dark``; chosen in the user menu and kept in a cookie, so that no page flashes."""
        chosen = self._request.COOKIES.get(THEME_COOKIE, "auto")
        return chosen if chosen in {value for value, *_ in THEMES} else "auto"

    @cached_property
    def entered(self) -> bool:
        """Whether this person is signed in and owes no second factor; until then the frame shows nothing of it."""
        user = self._request.user
        return user.is_authenticated and sessions.standing(self._request.session, user) == sessions.Standing.GOOD

    @cached_property
    def nav(self) -> list[NavItem]:
        """The entries, the one of this page marked."""
        path = self._request.path
        return [
            NavItem(word, href, icon, key, path == "/" if href == "/" else path.startswith((href, *ALSO.get(href, ()))))
            for word, href, icon, key in NAV
            if href not in ADMINS_ONLY or self.role == Role.ADMIN
        ]

    @cached_property
    def approvals_waiting(self) -> int:
        """How many requests wait for this person's approval. One query."""
        return count_waiting_for(self._request.user) if self.entered else 0

    @cached_property
    def nav_rest_current(self) -> bool:
        """Whether this page is one of those under "More" on a phone."""
        return any(item.current for item in self.nav[4:])

    @cached_property
    def role(self) -> str:
        """Admin, Operator or Developer; empty without a role or when nobody is signed in. One query."""
        return getattr(self._request.user, "role", "")

    @cached_property
    def troubles(self) -> list[Trouble]:
        """Deployments in trouble that this person may see, newest first. One query, a second if there are any."""
        return in_trouble(self._request.user) if self.entered else []

    @cached_property
    def keys_due(self) -> int:
        """How many API keys of this person end soon and have no newer one yet. One query."""
        return queries.count_keys_due(self._request.user.pk) if self.entered else 0

    @cached_property
    def _reach(self) -> Reach:
        """What this person sees and may do. Two queries."""
        return reach(self._request.user, Environment.objects.all()) if self.entered else Reach()

    @cached_property
    def alerts(self) -> alert_queries.Waiting:
        """How many alerts that this person sees nobody has acknowledged. One query."""
        return alert_queries.waiting_in([one.pk for one in self._reach.environments])

    @cached_property
    def kill(self) -> stop_pages.KillFrame:
        """The kill switch: where this person may press it, and where it is engaged."""
        return stop_pages.frame(self._reach)

    @cached_property
    def runbooks(self) -> list[runbook_queries.Brief]:
        """Runs of runbooks that this person has control of, without the one of this page. One query."""
        found = runbook_queries.running_of(self._request.user, [one.pk for one in self._reach.environments])
        return [one for one in found if not self._request.path.startswith(f"/runbook-runs/{one.run.pk}/")]

    @cached_property
    def oidc_label(self) -> str:
        """What single sign-on is called here; empty when it is not set up."""
        return settings.OIDC_LABEL if settings.OIDC_ISSUER else ""


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context processor: ``frame`` of every template."""
    return {"frame": Frame(request)}


def in_trouble(user: Any) -> list[Trouble]:
    """Deployments that a person may see and that are failing, failed and not followed, or have a failed verdict."""
    # Who may see it is asked only when there is any: this runs for every page, and mostly all is well.
    with connection.cursor() as cursor:
        cursor.execute(*_trouble_statement())
        ids = [pk for (pk,) in cursor.fetchall()]
    if not ids:
        return []
    seen = Deployment.objects.visible_to(user).filter(pk__in=ids)
    found = seen.select_related("environment", "to_release", "from_release").order_by("-id")[:SHOWN_TROUBLES]
    return [_trouble(deployment) for deployment in found]


@cache
def _trouble_statement() -> tuple[str, tuple[Any, ...]]:
    """The SQL of ``in_trouble`` with its values, built once: to build it takes four times as long as to ask it."""
    failed_verdict = VerdictRow.objects.filter(deployment=OuterRef("pk"), is_current=True, verdict="fail")
    # By their starts, not their numbers: a request gets its number long before it starts, if it ever does.
    newer = Deployment.objects.filter(
        Q(started_at__gt=OuterRef("started_at")) | Q(status=Status.PENDING), environment=OuterRef("environment")
    )
    trouble = Deployment.objects.filter(
        Q(status=Status.FAILING)
        | Q(Exists(failed_verdict), status__in=sorted(ACTIVE))
        | Q(~Exists(newer), status=Status.FAILED)
    )
    statement: tuple[str, tuple[Any, ...]] = trouble.values_list("pk").query.sql_with_params()
    return statement


def _trouble(deployment: Deployment) -> Trouble:
    version = deployment.to_release.version
    if deployment.status == Status.FAILING:
        back = deployment.from_release.version if deployment.from_release else "the earlier release"
        title, text, tone = f"{version} failed, going back to {back}.", deployment.failure_reason, "crit"
    elif deployment.status == Status.FAILED:
        title, text, tone = f"deployment of {version} failed.", deployment.failure_reason, "crit"
    else:
        title, text, tone = f"{version} is beyond a limit.", "It asks for a decision.", "warn"
    return Trouble(deployment.pk, deployment.environment.name, title, text, tone, f"/deployments/{deployment.pk}/")
