"""What the pages of the leave to trade show: asking for it, and one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accounts.roles import RESUME, roles_with
from environments.models import Environment
from environments.permissions import environments_with
from trading import clearances, evidence, questions, seen
from trading.breaker_pages import Asked, asked
from trading.clearance_checks import Check
from trading.clearance_subject import Change, in_words
from trading.models import Clearance, EmergencyStop
from trading.seen import Seen

Typed = dict[str, tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class AskPage:
    """Asking for leave, as a person sees it."""

    environment: Environment
    kind: str
    now: Seen
    checks: tuple[Check, ...]
    asked: tuple[Asked, ...]
    may_ask: bool
    who_can: str
    open: Clearance | None
    """A request of this kind that waits or is being carried out."""

    @property
    def blocks(self) -> list[Check]:
        """Checks that stand against it."""
        return [check for check in self.checks if not check.ok]

    @property
    def why_not(self) -> str:
        """Why it cannot be asked for just now; empty when it can."""
        if not self.may_ask:
            return f"It takes: {self.who_can}."
        return f"Not so yet: {', '.join(check.title for check in self.blocks)}." if self.blocks else ""

    @property
    def effects(self) -> list[str]:
        """What an approval would do, one sentence each."""
        return effects(self.kind, self.now)


@dataclass(frozen=True, slots=True)
class ClearancePage:
    """One request as a person sees it."""

    clearance: Clearance
    now: Seen | None
    """How it is; only while it waits."""
    checks: tuple[Check, ...]
    is_own: bool
    may_decide: bool
    who_can: str
    changes: tuple[str, ...]

    @property
    def answers(self) -> tuple[Asked, ...]:
        """The questions as they were answered; none for resuming."""
        return asked(questions.RELEASE, {}, self.clearance.answers, {}) if self.clearance.answers else ()

    @property
    def effects(self) -> list[str]:
        """What an approval does."""
        return effects(self.clearance.kind, self.now) if self.now else []

    @property
    def is_release(self) -> bool:
        """Whether it is about the kill switch: that takes a fresh proof."""
        return self.clearance.kind == Clearance.Kind.RELEASE

    @property
    def why_not(self) -> str:
        """Why it cannot be approved just now; empty when it can."""
        blocks = [check.title for check in self.checks if not check.ok]
        return f"Not so yet: {', '.join(blocks)}." if blocks else ""

    @property
    def stamp(self) -> str:
        """Changes when the decision must be drawn again."""
        return stamp(self.clearance)

    @property
    def tone(self) -> str:
        """Of the box that says where it stands."""
        if self.clearance.failed_at:
            return "crit"
        if self.clearance.status in (Clearance.Status.FELL, Clearance.Status.EXPIRED):
            return "warn"
        return "info" if self.clearance.is_waiting else "normal"


def effects(kind: str, now: Seen) -> list[str]:
    """What leave does, with the names that it concerns."""
    if kind == Clearance.Kind.RELEASE:
        return [
            f"The latch of {now.environment.name} is released, in the console and at every instance.",
            "Nothing starts: every instance stays HALTED until trading is resumed, which is asked for separately.",
        ]
    slot = now.environment.writer_slot
    name = f"{slot.name} ({slot.version})" if slot else "The slot with the trading role"
    again = [one.instance.name for one in now.writers if one.state is None or one.state.restart_required]
    restarted = [f"{', '.join(again)} is restarted first, as a stop asks for."] if again else []
    return [
        *restarted,
        "The positions are compared with the exchange; where they differ, the exchange's are taken over.",
        f"{name} trades again, under a new epoch. The other slot does not.",
    ]


def stamp(clearance: Clearance) -> str:
    """Changes with what the decision on a request shows."""
    return f"{clearance.status}.{bool(clearance.done_at)}.{bool(clearance.failed_at)}.{len(clearance.detail)}"


def resume_page(user: Any, environment: Environment) -> AskPage:
    """Asking to resume. Asks every instance (bounded)."""
    return _ask_page(user, environment, Clearance.Kind.RESUME, ())


def release_page(user: Any, stop: EmergencyStop, typed: Typed) -> AskPage:
    """Asking to release the kill switch, with its four questions. Asks every instance (bounded)."""
    return _ask_page(user, stop.environment, Clearance.Kind.RELEASE, questions.RELEASE, typed)


def _ask_page(user: Any, environment: Environment, kind: Any, wanted: Any, typed: Typed | None = None) -> AskPage:
    now = seen.look(environment)
    beside = evidence.for_release(now) if wanted else {}
    found = Clearance.objects.filter(environment=environment, kind=kind, status__in=clearances.OPEN_STATUSES)
    return AskPage(
        environment=environment,
        kind=kind,
        now=now,
        checks=tuple(clearances.checks(kind, now)),
        asked=asked(wanted, beside, (), typed or {}),
        may_ask=_may(user, environment),
        who_can=_who(environment),
        open=found.filter(done_at=None, failed_at=None).select_related("requested_by").first(),
    )


def load(user: Any, pk: int) -> Clearance:
    """A request.

    Raises:
        Clearance.DoesNotExist: there is none that the person may see.
    """
    return clearances.loaded().filter(pk__in=Clearance.objects.visible_to(user).values("pk")).get(pk=pk)


def page(user: Any, clearance: Clearance) -> ClearancePage:
    """The page of a request. While it waits: looks at how things are, and lets one that holds no longer end."""
    now = seen.look(clearance.environment) if clearance.is_waiting else None
    if now is not None:
        clearance = clearances.settle(clearances.REVIEW, clearance, now)
    waiting, is_own = clearance.is_waiting, clearance.is_own(user)
    return ClearancePage(
        clearance=clearance,
        now=now if waiting else None,
        checks=tuple(clearances.checks(clearance.kind, now)) if waiting and now else (),
        is_own=is_own,
        may_decide=waiting and not is_own and _may(user, clearance.environment),
        who_can=_who(clearance.environment),
        changes=tuple(in_words(Change(one["member"], one["from"], one["to"])) for one in clearance.changes),
    )


def _may(user: Any, environment: Environment) -> bool:
    return environments_with(Environment.objects.filter(pk=environment.pk), user, RESUME).exists()


def _who(environment: Environment) -> str:
    return " or ".join(role.value for role in roles_with(RESUME, production=environment.is_production))
