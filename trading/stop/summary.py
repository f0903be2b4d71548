"""What a journal says in sum: the steps of the page, what is left, the outcome. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

STEPS = {
    "requested": "Requested",
    "halted": "Halt acknowledged",
    "cancelled": "Orders cancelled",
    "closed": "Positions closed",
    "flat": "Confirmed flat",
}
Status = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``at``: seconds since 1970 when it was done; ``ms``: the same since the press."""

    name: str
    label: str
    status: Status
    at: float | None = None
    ms: int | None = None
    detail: str = ""


@dataclass(slots=True)
class StopState:
    """One stop. Times are seconds since 1970, None for what has not happened."""

    id: str = ""
    environment: str = ""
    actor: str = ""
    via: str = ""
    reason: str = ""
    drill: bool = False
    pressed_at: float | None = None
    latched: bool = False
    steps: tuple[Step, ...] = ()
    remaining: dict[str, list[Any]] = field(default_factory=dict)
    """``orders`` and ``positions`` as last known, each with its last ``error``; ``unread``: what could not be read, and
    why; ``writers``: instances whose halt is not confirmed."""
    outcome: str = ""
    """Empty, FLAT, NOT_FLAT or UNCONFIRMED."""
    outcome_at: float | None = None
    halted_at: float | None = None
    clean_at: float | None = None
    flat_at: float | None = None
    ended_at: float | None = None
    last_read_at: float | None = None
    """The last time that everything could be read."""
    joined: tuple[Mapping[str, Any], ...] = ()
    rechecks: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def still_running(self) -> bool:
        """Whether it goes on; when the process that runs it died, somebody has to take it over."""
        return self.pressed_at is not None and self.ended_at is None

    def step(self, name: str) -> Step:
        """One of the steps. Raises KeyError."""
        return {step.name: step for step in self.steps}[name]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self) | {"still_running": self.still_running}


@dataclass(slots=True)
class _Sum:
    """What is collected on the way through the entries."""

    state: StopState = field(default_factory=StopState)
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    positions: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[int | str, str] = field(default_factory=dict)
    writers: dict[str, str] = field(default_factory=dict)
    confirmed: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    read: bool = False
    none_since: dict[str, float | None] = field(default_factory=lambda: {"orders": None, "positions": None})


def summary(entries: Iterable[Mapping[str, Any]]) -> StopState:
    """The state that these entries tell; a journal may end anywhere."""
    total = _Sum()
    for entry in entries:
        take = _TAKE.get(str(entry["event"]))
        if take is not None:
            take(total, entry)
    state = total.state
    state.steps = tuple(_steps(total))
    state.remaining = {
        "orders": [row | {"error": total.errors.get(oid, "")} for oid, row in total.orders.items()],
        "positions": [row | {"error": total.errors.get(coin, "")} for coin, row in total.positions.items()],
        "unread": list(total.unread),
        "writers": [{"instance": name, "error": why} for name, why in total.writers.items()],
    }
    return state


def _pressed(total: _Sum, entry: Mapping[str, Any]) -> None:
    state = total.state
    if state.pressed_at is not None:
        return
    state.id, state.environment = str(entry.get("id", "")), str(entry.get("environment", ""))
    state.actor, state.via = str(entry.get("actor", "")), str(entry.get("via", ""))
    state.reason, state.drill = str(entry.get("reason", "")), bool(entry.get("drill"))
    state.pressed_at = float(entry["at"])
    total.writers = dict.fromkeys(entry.get("instances", ()), "asked to halt")


def _latched(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.latched = bool(entry.get("ok"))
    if not total.state.latched:
        total.state.notes += (f"The latch is not on the disk: {entry.get('problem', '')}",)


def _joined(total: _Sum, entry: Mapping[str, Any]) -> None:
    state = total.state
    state.joined += (dict(entry),)
    state.reason = state.reason or str(entry.get("reason", ""))
    state.drill = state.drill and bool(entry.get("drill"))


def _reason(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.reason = str(entry.get("reason", ""))


def _note(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.notes += (str(entry.get("text", "")),)


def _taken_over(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.notes += ("The process that ran it ended; another one took over.",)


def _accepted(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.accepted.add(str(entry["instance"]))
    if entry["instance"] in total.writers:
        total.writers[str(entry["instance"])] = "acknowledged the halt, which was not read back yet"


def _refused(total: _Sum, entry: Mapping[str, Any]) -> None:
    if entry["instance"] in total.writers:
        total.writers[str(entry["instance"])] = str(entry.get("error", ""))


def _halted(total: _Sum, entry: Mapping[str, Any]) -> None:
    name = str(entry["instance"])
    total.writers.pop(name, None)
    total.confirmed[name] = "halted" if entry.get("by") == "state" else "has no process"


def _writer_halted(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.halted_at = total.state.halted_at or float(entry["at"])


def _round(total: _Sum, entry: Mapping[str, Any]) -> None:
    if total.read:
        return
    # Before the first read, the snapshot is what is known.
    total.orders = {row["oid"]: dict(row) for row in entry.get("cancels", ())}
    total.positions = {row["coin"]: dict(row) for row in entry.get("closes", ())}


def _written(total: _Sum, entry: Mapping[str, Any]) -> None:
    for result in entry.get("results", ()):
        key = result["oid"] if entry.get("what") == "cancel" else result["coin"]
        if result["status"] == "done":
            (total.orders if entry.get("what") == "cancel" else total.positions).pop(key, None)
        total.errors[key] = _words(result)


def _words(result: Mapping[str, Any]) -> str:
    detail = str(result.get("detail", ""))
    if result["status"] == "lost":
        return f"no answer: {detail}" if detail else "no answer"
    return f"only {detail} closed" if result["status"] == "partial" else detail


def _read(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.unread = [str(text) for text in entry.get("errors", ())]
    left = entry.get("left", {})
    for what, key in (("orders", "oid"), ("positions", "coin")):
        if entry.get(what) is None:
            total.none_since[what] = None
            continue
        total.read = True
        rows = {row[key]: dict(row) for row in left.get(what, ())}
        if what == "orders":
            total.orders = rows
        else:
            total.positions = rows
        if entry[what]:
            total.none_since[what] = None
        elif total.none_since[what] is None:
            total.none_since[what] = float(entry["at"])
    if not total.unread:
        total.state.last_read_at = float(entry["at"])


def _clean(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.clean_at = total.state.clean_at or float(entry["at"])


def _flat(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.flat_at = float(entry["at"])


def _recheck(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.rechecks += (dict(entry),)
    if entry.get("clean") is False:
        total.state.flat_at = None


def _outcome(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.outcome, total.state.outcome_at = str(entry.get("outcome", "")), float(entry["at"])


def _end(total: _Sum, entry: Mapping[str, Any]) -> None:
    total.state.ended_at = float(entry["at"])


_TAKE = {
    "pressed": _pressed,
    "latched": _latched,
    "joined": _joined,
    "reason": _reason,
    "note": _note,
    "taken_over": _taken_over,
    "halt_accepted": _accepted,
    "halt_refused": _refused,
    "slot_failed": _refused,
    "halted": _halted,
    "writer_halted": _writer_halted,
    "round": _round,
    "written": _written,
    "read": _read,
    "clean": _clean,
    "flat": _flat,
    "recheck": _recheck,
    "outcome": _outcome,
    "end": _end,
}


def _steps(total: _Sum) -> Iterable[Step]:
    state = total.state
    halt = f"not confirmed: {', '.join(total.writers)}" if total.writers else ""
    halt = halt or ", ".join(f"{name} {how}" for name, how in total.confirmed.items())
    moments = {
        "requested": (state.pressed_at, ""),
        "halted": (state.halted_at, halt),
        "cancelled": (total.none_since["orders"], _left(len(total.orders), "order")),
        "closed": (total.none_since["positions"], _left(len(total.positions), "position")),
        "flat": (state.flat_at, "0 orders, 0 positions" if state.flat_at else ""),
    }
    over = state.outcome in ("NOT_FLAT", "UNCONFIRMED")
    for name, (at, detail) in moments.items():
        status: Status = "waiting" if state.pressed_at is None else "running"
        status = "done" if at is not None else "failed" if over else status
        ms = None if at is None or state.pressed_at is None else round((at - state.pressed_at) * 1000)
        yield Step(name, STEPS[name], status, at, ms, detail)


def _left(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'} left" if count else ""
