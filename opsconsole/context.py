"""What the frame of every page shows: navigation, role, theme, and deployments in trouble. At most eight queries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest
from django.utils import timezone

from accounts import queries, sessions
from accounts.roles import Role
from alerts import queries as alert_queries
from deployments.approvals import count_waiting_for
from deployments.models import Deployment, VerdictRow
from deployments.states import ACTIVE, Status
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
    ("Environments", "/environments/", "server", "e"),
    ("Approvals", "/approvals/", "stamp", "a"),
    ("Releases", "/releases/", "package", "r"),
    ("Databases", "/databases/", "database", ""),
    ("Audit", "/audit/", "scroll-text", "u"),
    ("People", "/people/", "users", ""),
    ("API", "/api/docs/", "braces", ""),
)
"""Word, address, icon, and the key after ``g``; the first four stand in the bar of a phone."""
ALSO = {"/positions/": ("/orders/",), "/approvals/": ("/clearances/",)}
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
        return queries.keys_due().filter(owner=self._request.user.pk).count() if self.entered else 0

    @cached_property
    def alerts(self) -> alert_queries.Waiting:
        """How many alerts that this person sees nobody has acknowledged. One query."""
        return alert_queries.waiting_for(self._request.user) if self.entered else alert_queries.Waiting()

    @cached_property
    def kill(self) -> stop_pages.KillFrame:
        """The kill switch: where this person may press it, and where it is engaged. Two queries."""
        return stop_pages.frame(self._request.user) if self.entered else stop_pages.KillFrame()

    @cached_property
    def oidc_label(self) -> str:
        """What single sign-on is called here; empty when it is not set up."""
        return settings.OIDC_LABEL if settings.OIDC_ISSUER else ""


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context processor: ``frame`` of every template."""
    return {"frame": Frame(request)}


def in_trouble(user: Any) -> list[Trouble]:
    """Deployments that a person may see and that are failing, failed and not followed, or have a failed verdict."""
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
    # Who may see it is asked only when there is any: this runs for every page, and mostly all is well.
    ids = list(trouble.values_list("pk", flat=True))
    if not ids:
        return []
    seen = Deployment.objects.visible_to(user).filter(pk__in=ids)
    found = seen.select_related("environment", "to_release", "from_release").order_by("-id")[:SHOWN_TROUBLES]
    return [_trouble(deployment) for deployment in found]


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
