"""What the page of one run shows: each item with its expected response, its reading and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime
from guardian.shortcuts import get_users_with_perms

from accounts.roles import CHECKLISTS
from environments.evidence import Evidence, Verdict
from environments.permissions import permissions_of
from runbooks import checklist_queries as queries
from runbooks import checklist_words as words
from runbooks.checklist_format import Definition, Item
from runbooks.checklist_queries import OPEN, ItemState, RunView
from runbooks.checklist_readings import read_all
from runbooks.models import ChecklistRun, Tick

STOPPED_AFTER = timedelta(minutes=3)
"""A list that rests so long counts as interrupted: whoever goes on starts one item earlier."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried on this page and not done."""

    item: str = ""
    response: str = ""
    note: str = ""
    error: str = ""
    """What is wrong with the answer to the item."""
    refused: str = ""
    """Why something else was not done."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to whom the list can be given."""

    username: str
    name: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and what they may do with this run."""

    pk: int = 0
    may_run: bool = False
    """The person has work here, and the run is open."""
    has_it: bool = False
    """Besides, nobody else has the list: it can be answered."""
    people: Sequence[Person] = ()
    """Who else may have it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A reading as it is shown, of now or as it was kept with a tick."""

    title: str
    value: str
    verdict: str
    at: datetime | None
    link: str = ""
    detail: str = ""

    @property
    def verdict_words(self) -> str:
        """``not as expected``."""
        return words.verdict(self.verdict)


@dataclass(frozen=True, slots=True)
class ItemView:
    """One item."""

    of: ItemState
    reading: Evidence | None
    """Of now; None once it is answered, and when the product knows nothing."""
    is_open: bool
    """The run is open."""
    viewer: Viewer
    tried: Tried = field(default_factory=Tried)

    @property
    def number(self) -> int:
        """From 1, in the order of the work."""
        return self.of.number

    @property
    def item(self) -> Item:
        """What the list says."""
        return self.of.item

    @property
    def tick(self) -> Tick | None:
        """The answer."""
        return self.of.tick

    @property
    def others(self) -> Sequence[str]:
        """The answers that are deviations."""
        return tuple(answer for answer in self.item.responses if answer != self.item.expect)

    @property
    def may_tick(self) -> bool:
        """The person may answer it."""
        return self.viewer.has_it and self.tick is None

    @property
    def may_check(self) -> bool:
        """The person may confirm what somebody else saw."""
        return self.viewer.may_run and self.tick is not None and self.tick.ticked_by_id != self.viewer.pk

    @property
    def may_untick(self) -> bool:
        """The answer may be taken back."""
        return self.viewer.has_it and self.tick is not None

    @property
    def kept(self) -> Seen | None:
        """The reading that is kept with the tick."""
        found = self.tick.evidence if self.tick is not None else {}
        if not found:
            return None
        title, value, verdict = (str(found.get(name, "")) for name in ("title", "value", "verdict"))
        at = parse_datetime(str(found.get("at", "")))
        return Seen(title, value, verdict, at, str(found.get("link", "")), str(found.get("detail", "")))

    @property
    def shown(self) -> Seen | None:
        """The reading of the tick, or else of now."""
        if self.tick is not None:
            return self.kept
        if self.reading is None:
            return None
        found = self.reading.reading
        return Seen(self.reading.title, found.value, found.verdict, self.reading.at, found.link, found.detail)

    @property
    def speaks_against(self) -> bool:
        """The reading of now speaks against the expected response, so that even this one takes a note."""
        return self.reading is not None and self.reading.reading.verdict in (Verdict.FAIL, Verdict.NO_DATA)

    @property
    def wants_note(self) -> bool:
        """The note is drawn open at the expected response, or at the value."""
        return self.speaks_against or bool(self.error and not self.is_other)

    @property
    def is_other(self) -> bool:
        """An answer other than the expected one was tried."""
        return self.response in self.others

    @property
    def error(self) -> str:
        """What was wrong with the answer that was tried."""
        return self.tried.error if self._is_tried else ""

    @property
    def response(self) -> str:
        """The answer that was tried."""
        return self.tried.response if self._is_tried else ""

    @property
    def note(self) -> str:
        """The note that was typed."""
        return self.tried.note if self._is_tried else ""

    @property
    def _is_tried(self) -> bool:
        return self.tried.item == self.item.id

    @property
    def stamp(self) -> str:
        """Changes when the item must be drawn again."""
        tick = f"{self.tick.pk}.{self.tick.checked_by_id or 0}" if self.tick else "0"
        return f"{tick}.{len(self.of.taken_back)}.{self.is_open:d}"


@dataclass(frozen=True, slots=True)
class GroupView:
    """Items that belong together."""

    title: str
    items: Sequence[ItemView]


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the work rested, and where to begin again."""

    words: str
    again: int
    href: str

    @property
    def link(self) -> str:
        """The words of the link."""
        return f"Go to item {self.again}"


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run as a person sees it."""

    view: RunView
    groups: Sequence[GroupView]
    viewer: Viewer

    @property
    def run(self) -> ChecklistRun:
        """The run."""
        return self.view.run

    @property
    def definition(self) -> Definition:
        """The list, as it was in the run's version."""
        return self.view.definition

    @property
    def title(self) -> str:
        """The list's title."""
        return self.definition.title

    @property
    def slug(self) -> str:
        """Name of the list in addresses."""
        return self.run.checklist.slug

    @property
    def items(self) -> list[ItemView]:
        """Every item in its order."""
        return [one for group in self.groups for one in group.items]

    @property
    def missing(self) -> list[ItemView]:
        """Items without an answer, and those that wait for a second person."""
        return [one for one in self.items if not one.of.is_settled]

    @property
    def done(self) -> int:
        """How many items are settled."""
        return self.view.total - len(self.missing)

    @property
    def deviating(self) -> list[ItemView]:
        """Items whose answer differs from the expected one."""
        return [one for one in self.items if one.tick is not None and one.tick.is_deviation]

    @property
    def state_words(self) -> str:
        """``done late``."""
        return words.state(self.view.state)

    @property
    def lateness(self) -> str:
        """``Due 08:00 UTC, 25 min late``."""
        return words.lateness(self.view)

    @property
    def tone(self) -> str:
        """Of the band on top: grey unless it is late or missed."""
        return "warn" if self.view.state in ("late", "missed") else "normal"

    @property
    def is_mine(self) -> bool:
        """The person has taken it."""
        return self.run.assigned_to_id == self.viewer.pk

    @property
    def why_not(self) -> str:
        """Why it cannot be completed yet."""
        numbers = [str(one.number) for one in self.missing]
        more = " …" if len(numbers) > 6 else ""
        return f"Open: item{'' if len(numbers) == 1 else 's'} {', '.join(numbers[:6])}{more}." if numbers else ""

    @property
    def stop(self) -> Stop | None:
        """Where somebody stopped; None while the work goes on, before it began and after its end."""
        ticks = [one.tick for one in self.items if one.tick is not None]
        touched, missing = self.run.touched_at, self.missing
        if not self.viewer.may_run or not ticks or not missing or touched is None:
            return None
        if self.view.now - touched < STOPPED_AFTER:
            return None
        last = max(ticks, key=lambda tick: (tick.ticked_at, tick.pk))
        who = "You" if last.ticked_by_id == self.viewer.pk else last.ticked_by.display_name
        at = missing[0].number
        again = self.items[max(0, at - 2)]
        told = f"{who} stopped at item {at}, {words.span(self.view.now - touched)} ago."
        return Stop(told, again.number, f"#item-{again.item.id}")

    @property
    def stamp(self) -> str:
        """Changes when the head or the end of the page must be drawn again."""
        items = words.short_hash("-".join(one.stamp for one in self.items))
        return f"{self.run.status}.{self.run.assigned_to_id or 0}.{items}"


def build(user: Any, view: RunView, *, tried: Tried | None = None, live: bool = True, only: str = "") -> RunPage:
    """The page of a run that ``checklist_queries.run`` or ``view`` gave. A few queries, and those of the evidence.

    Args:
        user: None for nobody in particular, who may do nothing.
        tried: what was refused, so that nothing that was typed is lost.
        live: read the evidence of open items now.
        only: id of the one item whose evidence is read; empty: of all.
    """
    is_open = view.run.status == OPEN
    viewer = _viewer(user, view.run) if user is not None and is_open else Viewer(user.pk if user is not None else 0)
    unread = [one.item for one in view.items if one.tick is None and only in ("", one.item.id)]
    readings = read_all((item.evidence for item in unread), view.subject) if live and is_open else {}
    groups = [
        GroupView(
            group.title,
            [
                ItemView(one, None if one.tick else readings.get(one.item.evidence), is_open, viewer, tried or Tried())
                for one in group.items
            ],
        )
        for group in view.groups
    ]
    return RunPage(view, groups, viewer)


def drawn_for_all(pk: int) -> RunPage:
    """The page of a run for nobody in particular, without readings, as live pages compare it. Two queries.

    Raises:
        ChecklistRun.DoesNotExist: there is none of this number.
    """
    runs = ChecklistRun.objects.select_related("checklist", "version", "environment", "assigned_to", "completed_by")
    return build(None, queries.view(runs.prefetch_related("ticks__ticked_by").get(pk=pk)), live=False)


def _viewer(user: Any, run: ChecklistRun) -> Viewer:
    environment = run.environment
    if CHECKLISTS not in permissions_of(user, [environment])[environment.name]:
        return Viewer(user.pk)
    found: Any = get_users_with_perms(environment, only_with_perms_in=[CHECKLISTS], with_superusers=False)
    others = found.filter(is_active=True).exclude(pk__in=[pk for pk in (user.pk, run.assigned_to_id) if pk])
    people = [Person(one.username, one.display_name) for one in others.order_by("username")]
    return Viewer(user.pk, True, run.assigned_to_id in (None, user.pk), people)
