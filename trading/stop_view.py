"""How a stop is shown: words, tones and times, from what its journal says. No database, no Django."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from trading.stop.journal import StopState
from trading.stop.snapshot import Snapshot

CONFIRMED_WITHIN = 5.0
"""Seconds after the press: a stop that is not confirmed by then is shown as NOT CONFIRMED."""
OLD_SECONDS = 10.0
"""A snapshot older than this says so in words."""
TITLES = {"FLAT": "flat", "NOT_FLAT": "not_flat", "UNCONFIRMED": "unconfirmed"}
CRITICAL = frozenset({"late", "not_flat", "unconfirmed", "ended"})
_SHOWN_LINES = 200


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. ``status``: waiting, running, late (not confirmed in time), done or failed."""

    key: str
    title: str
    status: str
    at: datetime | None
    ms: int | None
    detail: str

    @property
    def took(self) -> str:
        """Time since the press."""
        return "" if self.ms is None or self.key == "requested" else seconds(self.ms / 1000)

    @property
    def word(self) -> str:
        """Another word than the usual one of its status."""
        return "Under way" if self.status == "running" else ""


@dataclass(frozen=True, slots=True)
class Remaining:
    """An order or a position that was there at the last read."""

    kind: str
    symbol: str
    size: str
    order: str
    error: str
    href: str

    @property
    def what(self) -> str:
        """Order or Position."""
        return self.kind.capitalize()

    @property
    def act(self) -> str:
        """The verb of its button."""
        return "Close" if self.kind == "position" else "Cancel"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the journal."""

    at: float
    event: str
    text: str

    @property
    def clock(self) -> str:
        """14:02:11.204"""
        return f"{moment(self.at):%H:%M:%S.%f}"[:-3]

    @property
    def iso(self) -> str:
        """ISO 8601."""
        return moment(self.at).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class StopPage:
    """One stop as it is shown now."""

    id: UUID
    environment: str
    found: StopState
    journal: tuple[Line, ...] = ()
    released_at: datetime | None = None
    released_by: str = ""
    now: float = 0.0

    @property
    def drill(self) -> bool:
        """Whether it is a rehearsal."""
        return self.found.drill

    @property
    def actor(self) -> str:
        """Who pressed."""
        return self.found.actor

    @property
    def via(self) -> str:
        """page, api, opsctl or monitor."""
        return self.found.via

    @property
    def reason(self) -> str:
        """Why; empty when it was not stated."""
        return self.found.reason

    @property
    def title(self) -> str:
        """For the heading."""
        return f"{'Drill' if self.drill else 'Emergency stop'} of {self.environment}"

    @property
    def pressed_at(self) -> datetime:
        """The press."""
        return moment(self.found.pressed_at or self.now)

    @property
    def halted_at(self) -> datetime | None:
        """The writer's halt was read back."""
        return _moment(self.found.halted_at)

    @property
    def clean_at(self) -> datetime | None:
        """First read with nothing left."""
        return _moment(self.found.clean_at)

    @property
    def flat_at(self) -> datetime | None:
        """Second such read, with the writer halted."""
        return _moment(self.found.flat_at)

    @property
    def read_at(self) -> datetime | None:
        """The last time that everything could be read."""
        return _moment(self.found.last_read_at)

    @property
    def outcome(self) -> str | None:
        """FLAT, NOT_FLAT or UNCONFIRMED; None while there is none, also when a look after FLAT found something."""
        found = self.found.outcome
        return None if not found or (found == "FLAT" and self.found.flat_at is None) else found

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.found.still_running

    is_running = running

    @property
    def state(self) -> str:
        """As in ``opsconsole/vocabulary.py``, "stop"."""
        if self.outcome:
            return TITLES.get(self.outcome, "ended")
        if not self.running:
            return "ended"
        return "late" if self.elapsed >= CONFIRMED_WITHIN else "stopping"

    @property
    def elapsed(self) -> float:
        """Seconds since the press."""
        return max(0.0, self.now - (self.found.pressed_at or self.now))

    @property
    def tone(self) -> str:
        """``crit`` when somebody has to do something."""
        return "crit" if self.state in CRITICAL else "plain"

    @property
    def stamp(self) -> str:
        """Changes when what may be done about it changes."""
        return f"{self.state}.{self.running}.{bool(self.reason)}.{self.drill}.{self.released_at is not None}"

    @property
    def steps(self) -> list[StepRow]:
        """The five steps."""
        late = self.elapsed >= CONFIRMED_WITHIN
        return [
            StepRow(
                step.name,
                step.label,
                "late" if step.status == "running" and late else step.status,
                _moment(step.at),
                step.ms,
                step.detail,
            )
            for step in self.found.steps
        ]

    @property
    def remaining(self) -> list[Remaining]:
        """What was left at the last read, positions first; empty once it is flat."""
        if self.outcome == "FLAT":
            return []
        left = self.found.remaining
        positions = [_position(self.environment, row) for row in left.get("positions", ())]
        return positions + [_order(self.environment, row) for row in left.get("orders", ())]

    @property
    def is_unread(self) -> bool:
        """Whether nobody knows what is left."""
        return bool(self.found.remaining.get("unread")) and self.outcome != "FLAT"

    @property
    def read_error(self) -> str:
        """Why the exchange could not be read."""
        return "; ".join(map(str, self.found.remaining.get("unread", ())))

    @property
    def says(self) -> str:
        """What is known, in a sentence or two."""
        if self.state == "flat":
            taken = seconds((self.found.flat_at or 0) - (self.found.pressed_at or 0))
            return f"0 orders, 0 positions, and the writer is halted: {taken} after the press."
        goes_on = " It goes on by itself." if self.running else " It has given up: act by hand."
        if self.state == "stopping":
            return "Under way. Nothing is confirmed yet."
        begun = f"Not confirmed after {seconds(self.elapsed)}. " if self.running else ""
        return f"{begun}{self._left_in_words()}{goes_on}"

    @property
    def notes(self) -> list[str]:
        """What else happened: other presses, looks after FLAT, troubles of the stop itself."""
        again = [f"Pressed again by {one.get('actor')} at {_clock(one['at'])}." for one in self.found.joined]
        looks = [_recheck(one, self.found.flat_at) for one in self.found.rechecks]
        return [*self.found.notes, *again, *looks]

    @property
    def headline(self) -> str:
        """The state and what is left, for the banner of other pages."""
        if self.state == "flat":
            return "Confirmed flat."
        return "Stopping now." if self.state == "stopping" else f"NOT CONFIRMED. {self._left_in_words()}"

    def _left_in_words(self) -> str:
        left = self.found.remaining
        if self.is_unread:
            return f"The exchange cannot be read, so nobody knows what is left ({self.read_error})."
        positions, orders = len(left.get("positions", ())), len(left.get("orders", ()))
        if positions or orders:
            return f"Left: {counted(positions, 'position')}, {counted(orders, 'order')}."
        writers = [f"{row['instance']} ({row['error']})" for row in left.get("writers", ())]
        if writers:
            return f"The halt is not confirmed by {', '.join(writers)}."
        return "Nothing was left at the last read; it is looked at again."


def page_of(
    stop: UUID,
    environment: str,
    found: StopState,
    entries: Sequence[Mapping[str, Any]] = (),
    *,
    released_at: datetime | None = None,
    released_by: str = "",
    now: float | None = None,
) -> StopPage:
    """How a stop looks at a moment (``now``: seconds since 1970)."""
    lines = tuple(_line(entry) for entry in entries[-_SHOWN_LINES:][::-1])
    return StopPage(stop, environment, found, lines, released_at, released_by, time.time() if now is None else now)


def does(found: Snapshot | None) -> str:
    """What a press would do now, as the end of a sentence that begins with "It"."""
    if found is None:
        return "reads the exchange first: what is open there is not known here yet."
    age = found.age(time.time())
    old = f", {seconds(age)} ago: what is open may differ" if age > OLD_SECONDS else ""
    as_read = f"as read at {moment(found.at):%H:%M:%S} UTC{old}."
    if not found.orders and not found.positions:
        return f"finds no open orders and no positions, {as_read}"
    coins = sorted({position.coin for position in found.positions})
    names = f" ({', '.join(coins[:6])}{', …' if len(coins) > 6 else ''})" if coins else ""
    closes = f"closes {counted(len(found.positions), 'position')}{names}"
    return f"cancels {counted(len(found.orders), 'open order')} and {closes}, {as_read}"


def counted(number: int, noun: str) -> str:
    """``1 order``, ``2 orders``, ``no orders``."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """``0.41 s`` below ten, ``42 s`` above."""
    value = max(0.0, value)
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def moment(at: float) -> datetime:
    """Seconds since 1970 as an aware time."""
    return datetime.fromtimestamp(at, UTC)


def _moment(at: float | None) -> datetime | None:
    return None if at is None else moment(at)


def _clock(at: Any) -> str:
    return f"{moment(float(at)):%H:%M:%S} UTC"


def _position(environment: str, row: Mapping[str, Any]) -> Remaining:
    coin = str(row.get("coin", ""))
    href = f"/positions/{environment}/{quote(coin, safe='')}/close/"
    return Remaining("position", coin, str(row.get("size", "")), "", str(row.get("error", "")), href)


def _order(environment: str, row: Mapping[str, Any]) -> Remaining:
    oid, coin = str(row.get("oid", "")), str(row.get("coin", ""))
    size = " ".join(str(row[key]) for key in ("side", "size") if row.get(key))
    return Remaining("order", coin, size, oid, str(row.get("error", "")), f"/orders/?environment={environment}")


def _recheck(entry: Mapping[str, Any], flat_at: float | None) -> str:
    words = {True: "still nothing there", False: "something was there again"}.get(entry.get("clean"), "not read")  # type: ignore[arg-type]
    return f"Looked again at {_clock(entry['at'])}: {words}."


def _line(entry: Mapping[str, Any]) -> Line:
    rest = {name: value for name, value in entry.items() if name not in ("at", "event") and value not in ("", None)}
    text = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in rest.items())
    return Line(float(entry["at"]), str(entry["event"]).replace("_", " "), text[:600])


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        told = {name: inner for name, inner in value.items() if inner not in ("", None)}
        return "(" + ", ".join(f"{name} {_short(inner)}" for name, inner in told.items()) + ")"
    if isinstance(value, list | tuple):
        return "; ".join(_short(inner) for inner in value) or "none"
    return str(value)
