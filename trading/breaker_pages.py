"""What the pages of the circuit breaker show, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch

from accounts.roles import RESUME, STOP, roles_with
from environments.models import Environment, Instance, Slot
from environments.permissions import permissions_of
from environments.readings import Reading, reading, with_samples
from trading import breakers, clearances, evidence, latch, questions, seen
from trading.breaker_words import bar, measure, measured, title
from trading.models import BreakerTrip, Clearance
from trading.questions import VALIDATION, Question
from trading.seen import InstanceSeen

LAST = 3
"""Earlier trips that a card shows."""
HISTORY = 50


@dataclass(frozen=True, slots=True)
class Bar:
    """What was measured against the threshold; lengths in percent of the whole width."""

    length: float
    mark: float
    measure: str
    observed: str
    threshold: str

    @property
    def words(self) -> str:
        """The bar as a sentence, for those who do not see it."""
        return f"{self.measure}: {self.observed}, limit {self.threshold}"


@dataclass(frozen=True, slots=True)
class Shown:
    """One trip as it is drawn."""

    trip: BreakerTrip

    @property
    def title(self) -> str:
        """The reason in words."""
        return title(self.trip.reason_code)

    @property
    def bar(self) -> Bar | None:
        """None when the trading system named no numbers."""
        trip = self.trip
        lengths = bar(trip.observed, trip.threshold)
        if lengths is None:
            return None
        code = trip.reason_code
        return Bar(*lengths, measure(code), measured(code, trip.observed), measured(code, trip.threshold))

    @property
    def ended_by(self) -> str:
        """Who reset it."""
        return self.trip.reset_by.display_name if self.trip.reset_by else "by itself"


@dataclass(frozen=True, slots=True)
class Card:
    """The breaker of one instance."""

    instance: Instance
    is_writer: bool
    reading: Reading
    open: Shown | None
    """The trip that is not reset."""

    @property
    def state(self) -> str:
        """``open``, ``closed`` or ``no_data``: what is not read freshly is not called closed."""
        if self.open is not None:
            return "open"
        said = self.reading.values.get("breaker_open") if self.reading.is_fresh else None
        return "no_data" if said is None else "open" if said else "closed"

    @property
    def says_open(self) -> bool:
        """The instance says that it is open, and nobody has asked for the reason yet."""
        return self.state == "open" and self.open is None


@dataclass(frozen=True, slots=True)
class Place:
    """One environment with its breakers."""

    environment: Environment
    cards: tuple[Card, ...]
    last: tuple[Shown, ...]
    may_trip: bool
    may_reset: bool
    who_can: str
    """Who may resume here, for somebody who may not."""

    @property
    def is_open(self) -> bool:
        """Whether any is open."""
        return any(card.state == "open" for card in self.cards)

    @property
    def why_not(self) -> str:
        """Why it cannot be opened by hand; empty when it can."""
        if self.environment.writer_slot_id is None:
            return "No slot has the trading role, so nothing trades."
        writers = [card for card in self.cards if card.is_writer]
        if writers and all(card.open for card in writers):
            return "It is open already."
        return ""

    @property
    def writers(self) -> str:
        """The instances that a trip would halt."""
        return ", ".join(card.instance.name for card in self.cards if card.is_writer)


def places(user: Any) -> list[Place]:
    """Every environment that a person may see, production first; seven queries for any number."""
    found = _with_instances(Environment.objects.visible_to(user))
    return _places(found, permissions_of(user, found))


def places_of(environments: Sequence[Environment], may: Any) -> list[Place]:
    """Some environments, with the permissions of who looks by name."""
    return _places(_with_instances(Environment.objects.filter(pk__in=[one.pk for one in environments])), may)


def everywhere() -> list[Place]:
    """Every environment, for the live hub, which draws nothing that depends on who looks."""
    return _places(_with_instances(Environment.objects.all()), {})


def _with_instances(queryset: Any) -> list[Environment]:
    instances = Prefetch("instances", with_samples(Instance.objects.all()))
    slots = Prefetch("slots", Slot.objects.prefetch_related(instances))
    found = list(queryset.prefetch_related(slots))
    return sorted(found, key=lambda one: not one.is_production)


def _places(found: Sequence[Environment], may: Any) -> list[Place]:
    keys = [one.pk for one in found]
    trips = BreakerTrip.objects.filter(environment__in=keys).select_related("reset_by", "tripped_by")
    opened = {one.instance_name: one for one in trips.open()}
    last: dict[int, list[BreakerTrip]] = {}
    for trip in trips.exclude(reset_at=None).order_by("-tripped_at")[: HISTORY * max(1, len(keys))]:
        last.setdefault(trip.environment_id, []).append(trip)
    return [_place(one, opened, last.get(one.pk, []), may.get(one.name, frozenset())) for one in found]


def _place(
    environment: Environment, opened: dict[str, BreakerTrip], last: Sequence[BreakerTrip], may: frozenset[str]
) -> Place:
    cards = [
        _card(instance, opened, is_writer=slot.pk == environment.writer_slot_id)
        for slot in environment.slots.all()
        for instance in slot.instances.all()
        if slot.role != Slot.Role.STOPPED or slot.pk == environment.writer_slot_id or instance.name in opened
    ]
    who = " or ".join(role.value for role in roles_with(RESUME, production=environment.is_production))
    return Place(
        environment=environment,
        cards=tuple(sorted(cards, key=lambda card: (card.state != "open", not card.is_writer, card.instance.name))),
        last=tuple(Shown(trip) for trip in last[:LAST]),
        may_trip=STOP in may,
        may_reset=RESUME in may,
        who_can=who,
    )


def _card(instance: Instance, opened: dict[str, BreakerTrip], *, is_writer: bool) -> Card:
    trip = opened.get(instance.name)
    return Card(instance, is_writer, reading(instance), Shown(trip) if trip else None)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with what is seen beside it now, and the answer that is kept or was typed."""

    question: Question
    seen: tuple[str, ...]
    answer: str
    note: str
    error: str
    by: str = ""
    at: datetime | None = None
    seen_then: tuple[str, ...] = ()
    """What was seen when it was answered."""


@dataclass(frozen=True, slots=True)
class TripPage:
    """One trip as a person sees it."""

    trip: BreakerTrip
    now: InstanceSeen | None
    latched: bool
    asked: tuple[Asked, ...]
    objections: tuple[str, ...]
    may_reset: bool
    who_can: str
    clearance: Clearance | None
    """The request to resume that waits or is being carried out."""

    @property
    def shown(self) -> Shown:
        """The trip as it is drawn."""
        return Shown(self.trip)

    @property
    def is_answered(self) -> bool:
        """Whether each question has an answer."""
        return len(self.trip.answers) == len(VALIDATION)

    @property
    def why_not(self) -> str:
        """Why it cannot be reset just now; empty when it can."""
        if self.latched:
            return "The kill switch is engaged. It is released first."
        return " ".join(self.objections)


def load(user: Any, pk: int) -> BreakerTrip:
    """A trip.

    Raises:
        BreakerTrip.DoesNotExist: there is none that the person may see.
    """
    found = BreakerTrip.objects.visible_to(user)
    return found.select_related("environment", "instance__slot__environment", "reset_by", "tripped_by").get(pk=pk)


def page(user: Any, trip: BreakerTrip, typed: dict[str, tuple[str, str, str]] | None = None) -> TripPage:
    """The page of a trip. While it is open: asks the instance (bounded to a second each).

    Args:
        typed: by question, the answer, the note and the mistake of a form that was refused.
    """
    environment, instance = trip.environment, trip.instance
    now = seen.see(instance, instance.slot) if instance is not None else None
    beside = evidence.for_validation(trip, now) if trip.is_open else {}
    may = permissions_of(user, [environment])[environment.name]
    waiting = Clearance.objects.filter(environment=environment, kind=Clearance.Kind.RESUME)
    return TripPage(
        trip=trip,
        now=now,
        latched=latch.engaged(environment),
        asked=asked(questions.VALIDATION, beside, trip.answers, typed or {}),
        objections=tuple(breakers.objections(trip)) if trip.is_open else (),
        may_reset=RESUME in may,
        who_can=" or ".join(role.value for role in roles_with(RESUME, production=environment.is_production)),
        clearance=waiting.filter(status__in=clearances.OPEN_STATUSES, done_at=None, failed_at=None).first(),
    )


def asked(
    wanted: Sequence[Question],
    beside: dict[str, list[str]],
    kept: Sequence[dict[str, Any]],
    typed: dict[str, tuple[str, str, str]],
) -> tuple[Asked, ...]:
    """The questions as they are drawn; what was typed goes before what is kept."""
    answers = {one["key"]: one for one in kept}
    found = []
    for question in wanted:
        before = answers.get(question.key, {})
        answer, note, error = typed.get(question.key, (before.get("answer", ""), before.get("note", ""), ""))
        found.append(
            Asked(
                question=question,
                seen=tuple(beside.get(question.key, ())),
                answer=answer,
                note=note,
                error=error,
                by=before.get("by", ""),
                at=datetime.fromisoformat(before["at"]) if before.get("at") else None,
                seen_then=tuple(before.get("seen", ())),
            )
        )
    return tuple(found)
