"""When and what: the times of a stop, what is known of the exchange, and what the next round sends. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from trading.exchange.base import CancelResult, CloseResult, OpenOrder, Position

Part = tuple[Literal["orders", "positions"], str]
"""What one request reads: the orders or the positions of one section."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, counted from the press unless said otherwise. ``design/trading.md``, "Kill switch"."""

    rounds: tuple[float, ...] = (0.0, 0.3, 0.8, 1.8, 3.8)
    every: float = 5.0
    """Between two rounds after these."""
    slippage: tuple[Decimal, ...] = (Decimal("0.02"), Decimal("0.05"), Decimal("0.10"), Decimal("0.25"))
    halt: float = 3.0
    """Without a confirmed halt by then, the slots are stopped."""
    apart: float = 1.0
    """Between two clean reads that count as two."""
    first_outcome: float = 30.0
    give_up: float = 600.0
    rechecks: tuple[float, ...] = (10.0, 30.0, 60.0)
    """After FLAT."""
    read_pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """After a read that failed."""
    request: float = 1.5
    patient_request: float = 4.0
    """For one request, in the rounds given above and in those after them: an exchange under stress answers late."""

    def round_at(self, number: int) -> float:
        """When round ``number`` (from 0) is due."""
        last = len(self.rounds) - 1
        return self.rounds[number] if number <= last else self.rounds[last] + (number - last) * self.every

    def slippage_of(self, number: int) -> Decimal:
        """How much worse than the price a close of this round may be, as a fraction."""
        return self.slippage[min(number, len(self.slippage) - 1)]

    def request_of(self, number: int) -> float:
        """How long a request of this round may take."""
        return self.request if number < len(self.rounds) else self.patient_request


@dataclass(frozen=True, slots=True)
class Round:
    """What is sent at once: batches of cancels and batches of closes."""

    number: int
    slippage: Decimal
    cancels: tuple[tuple[OpenOrder, ...], ...]
    closes: tuple[tuple[Position, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.cancels or self.closes)


@dataclass(slots=True)
class View:
    """What is known of the account: as last read, or from the snapshot, and what was answered to writes since."""

    orders: dict[str, dict[int, OpenOrder]] = field(default_factory=dict)
    positions: dict[str, dict[str, Position]] = field(default_factory=dict)
    begun: dict[Part, float] = field(default_factory=dict)
    """When the read began that a part is known from."""
    settled: set[int | str] = field(default_factory=set)
    """Orders (oid) and coins whose write was answered as done: not sent again unless a read shows them."""
    seen: set[int] = field(default_factory=set)
    """Every order that was ever there."""
    refused_batches: dict[str, int] = field(default_factory=dict)
    """How often a whole batch (cancel, close) was refused: something in it may spoil the rest."""

    def take_snapshot(self, orders: Iterable[OpenOrder], positions: Iterable[Position]) -> None:
        """Start from what was known before the press."""
        for order in orders:
            self.orders.setdefault(order.section, {})[order.oid] = order
            self.seen.add(order.oid)
        for position in positions:
            self.positions.setdefault(position.section, {})[position.coin] = position

    def take_orders(self, section: str, begun: float, found: Sequence[OpenOrder]) -> list[OpenOrder]:
        """The orders of a section as read; those that were never seen before. An older read changes nothing."""
        if begun < self.begun.get(("orders", section), 0.0):
            return []
        self.begun[("orders", section)] = begun
        self.orders[section] = {order.oid: order for order in found}
        self.settled -= {order.oid for order in found}
        fresh = [order for order in found if order.oid not in self.seen]
        self.seen |= {order.oid for order in found}
        return fresh

    def take_positions(self, section: str, begun: float, found: Sequence[Position]) -> None:
        """The positions of a section as read. An older read changes nothing."""
        if begun < self.begun.get(("positions", section), 0.0):
            return
        self.begun[("positions", section)] = begun
        self.positions[section] = {position.coin: position for position in found}
        self.settled -= {position.coin for position in found}

    def take_results(self, results: Iterable[CancelResult | CloseResult]) -> None:
        """What was answered to a batch. A refused cancel is settled: the order is gone, or a read shows it again."""
        for result in results:
            if isinstance(result, CancelResult):
                if result.status in ("done", "refused"):
                    self.settled.add(result.oid)
            elif result.status == "done":
                self.settled.add(result.coin)

    def left_orders(self) -> list[OpenOrder]:
        """Orders that may still be there."""
        return [one for held in self.orders.values() for one in held.values() if one.oid not in self.settled]

    def left_positions(self) -> list[Position]:
        """Positions that may still be there."""
        return [one for held in self.positions.values() for one in held.values() if one.coin not in self.settled]


def next_round(number: int, view: View, timing: Timing, rung: int | None = None) -> Round:
    """What round ``number`` sends: everything that may still be there. Sending it twice is harmless.

    A cancelled order cannot be cancelled again, and reduce-only cannot open a position. ``rung``: of the slippage
    ladder, the round's number without it.
    """
    return Round(
        number,
        timing.slippage_of(number if rung is None else rung),
        _batches(view.left_orders(), view.refused_batches.get("cancel", 0)),
        _batches(view.left_positions(), view.refused_batches.get("close", 0)),
    )


def _batches(items: Sequence[OpenOrder] | Sequence[Position], refused: int) -> tuple[tuple, ...]:  # type: ignore[type-arg]
    """One batch; twice as many after each time that a whole batch was refused, so that what spoils it is found."""
    count = min(2**refused, len(items))
    return tuple(tuple(items[start::count]) for start in range(count))


@dataclass(slots=True)
class Unit:
    """One read of everything: all sections, orders and positions. Times by the monotonic clock."""

    number: int
    begun: float
    waiting: set[Part]
    recheck: float | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"orders": 0, "positions": 0})
    errors: dict[Part, str] = field(default_factory=dict)
    ended: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every part was answered, or failed."""
        return not self.waiting

    @property
    def clean(self) -> bool:
        """Whether all of it was read, and nothing is there."""
        return self.complete and not self.errors and not any(self.counts.values())

    def unread(self, what: str) -> bool:
        """Whether something of the orders, or of the positions, could not be read."""
        return any(kind == what for kind, _ in self.errors)


@dataclass(slots=True)
class Streak:
    """Consecutive clean reads."""

    first: Unit | None = None
    last: Unit | None = None
    newest: float = 0.0
    """When the newest finished read began: one that began earlier says nothing about now."""

    def take(self, unit: Unit) -> None:
        """A read that is complete."""
        if unit.begun < self.newest:
            return
        self.newest = unit.begun
        if not unit.clean:
            self.first = self.last = None
        elif self.first is None:
            self.first = unit
        else:
            self.last = unit

    def second_due(self, apart: float) -> float | None:
        """When the read may begin that makes two of one; None without a first, or when there are two."""
        if self.first is None or self.confirmed(apart):
            return None
        return self.first.ended + apart

    def confirmed(self, apart: float) -> bool:
        """Whether there are two clean reads, far enough apart."""
        return self.first is not None and self.last is not None and self.last.begun >= self.first.ended + apart

    def flat(self, apart: float, halted_at: float | None) -> bool:
        """Confirmed, and the last one began when the writer was known to be halted."""
        if halted_at is None or self.last is None or not self.confirmed(apart):
            return False
        return self.last.begun >= halted_at
