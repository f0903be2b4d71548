"""Read queries of the kill switch: the page, one stop, the button in the header and the banner of every page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.roles import RESUME, STOP, roles_with
from environments.models import Environment
from environments.permissions import Reach, permissions_of
from trading import stop_files
from trading.models import EmergencyStop
from trading.stop import journal
from trading.stop.journal import StopState
from trading.stop.latch import Latch
from trading.stop_view import StopPage, does, moment, page_of, seconds

REASON_WITHIN = timedelta(minutes=15)
LAST_USES = 10
REASONS = (
    ("", "Not stated yet"),
    ("Losses beyond the limit", "Losses beyond the limit"),
    ("Orders that should not be there", "Orders that should not be there"),
    ("Prices or data are wrong", "Prices or data are wrong"),
    ("Trouble at the exchange", "Trouble at the exchange"),
    ("A system is not under control", "A system is not under control"),
    ("Security incident", "Security incident"),
)
"""Value and words of each reason that is offered."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An environment that the person may stop."""

    name: str
    is_production: bool
    does: str

    @property
    def action(self) -> str:
        """Where its form is sent."""
        return reverse("kill-switch-press", args=[self.name])


@dataclass(frozen=True, slots=True)
class Engaged:
    """A kill switch that is engaged."""

    environment: str
    at: datetime
    actor: str
    reason: str
    drill: bool
    stop: UUID | None
    headline: str = ""
    """How the stop stands."""
    asks_why: bool = False
    """The reason was not stated yet, and may still be."""
    problem: str = ""

    @property
    def href(self) -> str:
        """Address of the stop, or of the page."""
        return reverse("stop", args=[self.stop]) if self.stop else reverse("kill-switch")


@dataclass(frozen=True, slots=True)
class KillFrame:
    """What every page shows of the kill switch."""

    choices: tuple[Choice, ...] = ()
    engaged: tuple[Engaged, ...] = ()
    reasons: Sequence[tuple[str, str]] = REASONS


@dataclass(frozen=True, slots=True)
class Place:
    """One environment on the page."""

    name: str
    is_production: bool
    is_set_up: bool
    engaged: Engaged | None
    does: str
    may_stop: bool = False

    @property
    def may_drill(self) -> bool:
        """Never in production, nor while it is engaged for real."""
        return self.may_stop and not self.is_production and (self.engaged is None or self.engaged.drill)

    @property
    def action(self) -> str:
        """Where its form is sent."""
        return reverse("kill-switch-press", args=[self.name])

    @property
    def outcome(self) -> str:
        """How the stop stands."""
        return self.engaged.headline if self.engaged else ""

    @property
    def who_can(self) -> str:
        """Roles that may stop it."""
        return " or ".join(role.value for role in roles_with(STOP, production=self.is_production))


@dataclass(frozen=True, slots=True)
class Use:
    """A line of the list of past stops."""

    row: EmergencyStop
    environment: str
    page: StopPage

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    @property
    def halted(self) -> str:
        """Seconds from the press to the halt."""
        return _after(self.row.pressed_at, self.row.halted_at)

    @property
    def flat(self) -> str:
        """Seconds from the press to FLAT."""
        return _after(self.row.pressed_at, self.row.flat_at)

    @property
    def released(self) -> bool:
        """Whether it was released."""
        return self.row.released_at is not None


@dataclass(frozen=True, slots=True)
class Overview:
    """The page of the kill switch."""

    places: tuple[Place, ...]
    uses: tuple[Use, ...]
    reasons: Sequence[tuple[str, str]] = REASONS

    @property
    def first(self) -> str:
        """The environment that the hints name."""
        return self.places[0].name if self.places else ""


@dataclass(frozen=True, slots=True)
class Found:
    """A stop that the person may see."""

    stop: EmergencyStop
    """Its row; not saved yet when only the journal knows the stop."""
    environment: Environment
    page: StopPage


@dataclass(frozen=True, slots=True)
class StopActs:
    """What a person may do about a stop."""

    reason_until: datetime | None = None
    typed: str = ""
    error: str = ""
    release: str = ""
    """``drill``, ``clearance`` or nothing."""
    release_href: str = ""
    release_note: str = ""
    presets: Sequence[str] = tuple(words for value, words in REASONS if value)


def frame(seen: Reach) -> KillFrame:
    """What every page shows to somebody who sees and may do this: a small file or two of each environment. No query."""
    environments, granted = ordered(seen.environments), seen.granted
    choices = [
        Choice(one.name, one.is_production, does(stop_files.warm(one.name)))
        for one in environments
        if one.exchange and STOP in granted[one.name]
    ]
    engaged = [found for one in environments if (found := engaged_in(one, STOP in granted[one.name])) is not None]
    return KillFrame(tuple(choices), tuple(engaged))


def ordered(environments: Iterable[Environment]) -> list[Environment]:
    """Production first, then in the order of the definition."""
    return sorted(environments, key=lambda one: (not one.is_production, one.position, one.name))


def engaged_in(environment: Environment, may_stop: bool = False) -> Engaged | None:
    """The kill switch of an environment when it is engaged, by the file or the database. No query."""
    held = stop_files.held_latch(environment.name)
    if held is None and environment.latched_at is None:
        return None
    if held is None:
        held = Latch("", environment.name, environment.latched_at.timestamp() if environment.latched_at else 0.0, "")
    # The newest stop tells how it stands, also when the latch is an earlier one's.
    newest = journal.latest(stop_files.folder(environment.name))
    stop = (_uuid(newest.stem) if newest else None) or _uuid(held.stop)
    page = _from_file(stop, environment.name) or (_from_latch(stop, environment.name) if stop else None)
    at = moment(held.at) if held.at else environment.latched_at or timezone.now()
    reason = page.reason if page else held.reason
    asks_why = may_stop and not reason and stop is not None and timezone.now() < at + REASON_WITHIN
    headline = page.headline if page else ""
    drill = page.drill if page else held.drill
    return Engaged(
        environment.name, at, held.actor or "somebody", reason, drill, stop, headline, asks_why, held.problem
    )


def place(environment: Environment, may_stop: bool = False) -> Place:
    """One environment of the page. No query."""
    return Place(
        environment.name,
        environment.is_production,
        bool(environment.exchange),
        engaged_in(environment, may_stop),
        does(stop_files.warm(environment.name)),
        may_stop,
    )


def overview(user: Any) -> Overview:
    """The page for a person. Three queries."""
    environments = ordered(Environment.objects.visible_to(user))
    granted = permissions_of(user, environments)
    places = tuple(place(one, STOP in granted[one.name]) for one in environments)
    return Overview(places, uses(visible(user)))


def overview_everywhere() -> Overview:
    """The page for somebody who may see everything, without what depends on who looks."""
    places = tuple(place(one) for one in ordered(Environment.objects.all()))
    return Overview(places, uses(EmergencyStop.objects.select_related("environment")))


def uses(rows: QuerySet[EmergencyStop]) -> tuple[Use, ...]:
    """The last stops of a queryset. One query."""
    found = list(rows.defer("journal")[:LAST_USES])
    running = running_of(found)
    return tuple(Use(row, row.environment.name, _from_row(row, running)) for row in found)


def visible(user: Any) -> QuerySet[EmergencyStop]:
    """Stops of environments that a person may see, newest first."""
    seen = Environment.objects.visible_to(user)
    return EmergencyStop.objects.filter(environment__in=seen.values("pk")).select_related("environment")


def running_of(rows: Iterable[EmergencyStop]) -> frozenset[UUID]:
    """Of the environments of these rows: the stops that go on. No query."""
    found = {stop_files.running(name) for name in {row.environment.name for row in rows}}
    return frozenset(stop for stop in found if stop is not None)


def summary_of(row: EmergencyStop, running: frozenset[UUID]) -> dict[str, Any]:
    """A stop as the API lists it: one that goes on as its journal tells it, which is ahead of the row."""
    shown = page(row) if row.pk in running else _from_row(row, running)
    names = ("id", "environment", "drill", "actor", "via", "reason", "pressed_at", "outcome", "running")
    times = ("halted_at", "clean_at", "flat_at", "released_at", "released_by")
    return {name: getattr(shown, name) for name in (*names, *times)}


def find(user: Any, pk: UUID) -> Found | None:
    """A stop that a person may see: as its journal tells it now, or as the row keeps it."""
    row = visible(user).filter(pk=pk).first()
    if row is not None:
        return Found(row, row.environment, page(row))
    # Pressed a moment ago, or by opsctl while the database was away: the row follows.
    file = stop_files.locate(pk)
    name = file.environment if file else _latched_by(user, pk)
    environment = Environment.objects.visible_to(user).filter(name=name).first() if name else None
    if environment is None:
        return None
    shown = _from_file(pk, environment.name) or _from_latch(pk, environment.name)
    if shown is None:
        return None
    stop = EmergencyStop(pk=pk, environment=environment, pressed_at=shown.pressed_at, drill=shown.drill)
    stop.actor_name, stop.reason, stop.via = shown.actor, shown.reason, shown.via
    return Found(stop, environment, shown)


def page(row: EmergencyStop) -> StopPage:
    """A stop as its journal file tells it now; without the file as the row keeps it. No query."""
    entries = stop_files.journal_of(row.environment.name, row.pk).entries() or row.journal
    if not entries:
        return _from_row(row, frozenset())
    return page_of(
        row.pk,
        row.environment.name,
        journal.summary(entries),
        entries,
        released_at=row.released_at,
        released_by=row.released_by,
    )


def drawn(pk: UUID) -> StopPage | None:
    """A stop as everybody sees it who follows it. From the file alone; one query when there is none."""
    file = stop_files.locate(pk)
    shown = _from_file(pk, file.environment) if file else None
    if shown is not None and shown.running:
        return shown
    row = EmergencyStop.objects.select_related("environment").filter(pk=pk).first()
    return page(row) if row is not None else shown


def acts(user: Any, found: Found, *, typed: str = "", error: str = "") -> StopActs:
    """What a person may do about a stop. One query."""
    granted = permissions_of(user, [found.environment])[found.environment.name]
    shown, may_stop = found.page, STOP in granted
    until = shown.pressed_at + REASON_WITHIN
    asks = may_stop and not shown.reason and timezone.now() < until
    held = stop_files.held_latch(found.environment.name)
    in_force = shown.released_at is None and (held is not None or found.environment.latched_at is not None)
    release, note = "", ""
    goes_on = stop_files.running(found.environment.name) is not None
    if in_force and shown.drill and may_stop and (held is None or held.drill):
        release = "" if goes_on else "drill"
        note = "The drill can be ended when it has looked again, often a minute after it was flat." if goes_on else ""
    elif in_force and goes_on:
        note = "It can be released when it has ended: often a minute after it was flat, else after ten."
    elif in_force and RESUME in granted:
        release = "clearance"
    elif in_force:
        who = " or ".join(role.value for role in roles_with(RESUME, production=found.environment.is_production))
        note = f"Releasing the kill switch takes: {who}, and a second person."
    elif shown.released_at is not None:
        note = f"Released by {shown.released_by or 'somebody'} at {shown.released_at:%Y-%m-%d %H:%M:%S} UTC."
    href = f"/kill-switch/stops/{shown.id}/release/"
    return StopActs(until if asks else None, typed, error, release, href, note)


def _from_file(stop: UUID | None, name: str) -> StopPage | None:
    entries = stop_files.journal_of(name, stop).entries() if stop else []
    found = journal.summary(entries)
    return page_of(stop, name, found, entries) if stop and found.pressed_at is not None else None


def _from_latch(stop: UUID, name: str) -> StopPage | None:
    """The journal is written a moment after the latch."""
    held = stop_files.held_latch(name)
    if held is None or _uuid(held.stop) != stop:
        return None
    pressed = {"event": "pressed", "at": held.at, "id": str(stop), "environment": name, "actor": held.actor}
    given = {"via": held.via, "reason": held.reason, "drill": held.drill}
    return page_of(stop, name, journal.summary([pressed | given]))


def _from_row(row: EmergencyStop, running: frozenset[UUID]) -> StopPage:
    """From the columns alone; ``running``: the stops that go on."""
    ended = row.finished_at or row.pressed_at

    def at(value: datetime | None) -> float | None:
        return None if value is None else value.timestamp()

    state = StopState(
        id=str(row.pk),
        environment=row.environment.name,
        actor=row.actor_name,
        via=row.via,
        reason=row.reason,
        drill=row.drill,
        pressed_at=row.pressed_at.timestamp(),
        remaining=row.remaining,
        outcome=row.outcome,
        halted_at=at(row.halted_at),
        clean_at=at(row.clean_at),
        flat_at=at(row.flat_at),
        ended_at=None if row.pk in running else at(ended),
    )
    return page_of(row.pk, row.environment.name, state, released_at=row.released_at, released_by=row.released_by)


def _latched_by(user: Any, stop: UUID) -> str | None:
    for one in Environment.objects.visible_to(user):
        held = stop_files.held_latch(one.name)
        if held is not None and _uuid(held.stop) == stop:
            return one.name
    return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _after(start: datetime, end: datetime | None) -> str:
    return "–" if end is None else seconds((end - start).total_seconds())
