"""Runs one stop: a loop that takes what the channels post, and starts what is due. Only this thread keeps state.

No channel waits for another, and the loop waits for none: a request that hangs costs a thread, nothing else.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from trading.exchange.base import Exchange, ExchangeRefused
from trading.stop import hands, slots, system
from trading.stop.journal import Journal
from trading.stop.plan import Part, Streak, Timing, Unit, View, next_round
from trading.stop.settings import InstanceSettings, StopSettings
from trading.stop.snapshot import Snapshot
from trading.stop.tasks import start

TICK = 0.02
"""Seconds after which the loop looks at the clock when nothing was posted."""
OLD_SNAPSHOT = 10.0
IN_FLIGHT, OVERTAKE = 4, 0.25
"""So many reads may hang at once; another one may begin so many seconds after the last one did."""
GRACE = 1.0
"""Seconds beyond a request's own time after which its read is given up."""
RECHECK_PATIENCE = 60.0
"""Seconds after the last re-check was due, after which one that cannot be read is given up."""
DEAD_MAN_AFTER = 0.1
"""Seconds after the first writes: it must not be in their way, nor in that of the first read."""
NEVER = float("inf")
Event = tuple[Callable[..., None], tuple[Any, ...]]


class Runner:
    """One stop from its press to its end. ``run`` blocks; everything is told to the journal."""

    def __init__(
        self, settings: StopSettings, stop_id: str, who: dict[str, Any], journal: Journal, timing: Timing
    ) -> None:
        self.settings, self.stop_id, self.who, self.journal, self.timing = settings, stop_id, who, journal, timing
        self.over = threading.Event()
        self.disk_works = True
        self.outcome = ""
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._base = time.monotonic()
        self._exchange: Exchange | None = None
        self._opening = False
        self._open_due = 0.0
        self._view, self._streak = View(), Streak()
        self._round_due, self._rounds_base = NEVER, self._base
        self._round, self._index, self._rung = 0, 0, 0
        """Of the next round: its number, its place in the times, its rung of the slippage ladder."""
        self._sent_any = False
        self._dead_man_due = NEVER
        self._writes_open: dict[int, int] = {}
        self._units: list[Unit] = []
        self._unit_count, self._last_unit = 0, None  # type: int, Unit | None
        self._read_wanted, self._read_fails, self._read_after = False, 0, 0.0
        self._halted: set[str] = set()
        self._halted_at: float | None = None
        self._slots_asked = False
        self._flat_at: float | None = None
        self._rechecks: list[float] = []
        self._was_clean = False

    def run(self) -> str:
        """The outcome: FLAT, NOT_FLAT or UNCONFIRMED."""
        # Without the lock the disk may hang: then a thread waits for it, not this loop.
        self._safely(self._open, self.disk_works)
        self._take_all()
        for instance in self.settings.instances:
            start(self._halt, instance, name=f"stop-halt-{instance.name}")
        if not self.settings.instances:
            self._writer_halted()
        while not self.over.is_set():
            with suppress(queue.Empty):
                call, arguments = self._inbox.get(timeout=TICK)
                self._safely(call, *arguments)
            self._take_all()
            self._safely(self._step, time.monotonic())
        return self.outcome

    def _take_all(self) -> None:
        while not self._inbox.empty():
            call, arguments = self._inbox.get()
            self._safely(call, *arguments)

    def _safely(self, call: Callable[..., None], *arguments: Any) -> None:
        """An error of our own must not end a stop."""
        try:
            call(*arguments)
        except Exception as error:
            self._note(f"an error of the stop itself in {getattr(call, '__name__', call)}: {error!r}")

    def _post(self, name: str, *arguments: Any, **fields: Any) -> None:
        """From any thread: let the loop take it."""
        self._inbox.put((partial(getattr(self, f"_on_{name}"), **fields), arguments))

    def _note(self, text: str) -> None:
        if not any(entry.get("text") == text for entry in self.journal.entries):
            self.journal.add("note", text=text)

    def _step(self, now: float) -> None:
        if self._exchange is None:
            if not self._opening and now >= self._open_due:
                self._open()
        else:
            self._expire(now)
            if now >= self._round_due:
                self._send(now)
            if now >= self._dead_man_due:
                self._dead_man_due = NEVER
                hands.arm_dead_man(self._exchange, self._post)
            if self._read_is_due(now):
                self._begin_read(now)
        if not self._slots_asked and self._halted_at is None and now >= self._base + self.timing.halt:
            self._stop_slots("the halt was not confirmed in time")
        self._judge(now)

    # Channels A and C: the writer

    def _halt(self, instance: InstanceSettings) -> None:
        body = {"close_positions": True, "cancel_orders": True, "disconnect": True, **self.who}
        system.halt(
            instance,
            body,
            f"{self.stop_id}-{instance.name}",
            has_no_process=partial(slots.has_no_process, self.settings, instance),
            over=self.over,
            post=partial(self._post_of, instance.name),
        )

    def _post_of(self, name: str, event: str, **fields: Any) -> None:
        self._post("writer", name, event, fields)

    def _on_writer(self, name: str, event: str, fields: dict[str, Any]) -> None:
        if event == "halted" and name in self._halted:
            return
        self.journal.add(event, instance=name, **fields)
        if event == "halted":
            self._halted.add(name)
            if len(self._halted) == len(self.settings.instances):
                self._writer_halted()

    def _writer_halted(self) -> None:
        self._halted_at = time.monotonic()
        self.journal.add("writer_halted")
        # Two clean reads may have been made before: the last one has to begin after this.
        self._read_wanted = self._read_wanted or self._streak.confirmed(self.timing.apart)
        if self._slots_asked and self._flat_at is None and self._exchange is not None:
            self._begin_rounds(self._halted_at)  # what it did until its end is cleared away at once

    def _stop_slots(self, why: str) -> None:
        self._slots_asked = True
        self.journal.add("stopping_slots", why=why)
        for instance in self.settings.instances:
            post = partial(self._post_of, instance.name)
            start(slots.stop, self.settings, instance, self.over, post, name=f"stop-slot-{instance.name}")

    # Channel B: the exchange

    def _open(self, at_once: bool = False) -> None:
        self._opening = True
        hands.open_account(self.settings, self.timing.request, self._post, at_once=at_once)

    def _on_not_opened(self, error: str) -> None:
        self._opening = False
        self._open_due = time.monotonic() + self.timing.read_pauses[0]
        self._note(f"The exchange cannot be used: {error}")

    def _on_opened(self, exchange: Exchange, snapshot: Snapshot | None) -> None:
        now = time.monotonic()
        self._exchange, self._rounds_base, self._round_due = exchange, now, now
        if snapshot is None:
            self._note("There is no warm snapshot: the exchange is read before anything is sent.")
            self._read_wanted, self._round_due = True, NEVER
            self._begin_read(now)
        else:
            self._view.take_snapshot(snapshot.orders, snapshot.positions)
            age = snapshot.age(time.time())
            if age > OLD_SNAPSHOT:
                self._note(f"The warm snapshot is {age:.0f} s old: it is used, and the exchange is read at once.")
                self._read_wanted = True
            self._send(now)
        self._dead_man_due = now + DEAD_MAN_AFTER

    def _on_dead_man(self, error: str) -> None:
        self.journal.add("dead_man", ok=not error, **({"error": error} if error else {}))

    def _begin_rounds(self, now: float) -> None:
        """Start the times of the rounds anew."""
        self._index, self._rounds_base, self._round_due = 0, now, now

    def _send(self, now: float) -> None:
        """The round that is due."""
        assert self._exchange is not None
        number, timing = self._round, self.timing
        self._exchange.timeout = timing.request_of(self._index)
        plan = next_round(number, self._view, timing, self._rung)
        self._round, self._index, self._rung = number + 1, self._index + 1, self._rung + 1
        self._round_due = max(now, self._rounds_base + timing.round_at(self._index))
        if plan:
            cancels = [order for batch in plan.cancels for order in batch]
            closes = [position for batch in plan.closes for position in batch]
            self._writes_open[number] = hands.write(self._exchange, plan, self._post)
            self.journal.add(
                "round",
                n=number,
                source="read" if self._view.begun else "snapshot",
                slippage=str(plan.slippage),
                cancels=[hands.order_row(order) for order in cancels[: hands.LISTED]],
                closes=[hands.position_row(position) for position in closes[: hands.LISTED]],
                sent={"cancels": len(cancels), "closes": len(closes)},
            )
            self._sent_any = True
        hangs = any(count for earlier, count in self._writes_open.items() if earlier < number)
        waits_for_second = self._streak.second_due(timing.apart) is not None
        self._read_wanted = self._read_wanted or hangs or (not plan and not waits_for_second)

    def _on_written(self, number: int, what: str, ms: int, items: Any, results: Any, error: Exception | None) -> None:
        self._writes_open[number] -= 1
        if error is None:
            self._view.take_results(results)
        elif isinstance(error, ExchangeRefused) and not error.busy:
            refused = self._view.refused_batches
            refused[what] = min(refused.get(what, 0) + 1, 8)
        rows = hands.result_rows(items, results, error)
        self.journal.add("written", n=number, what=what, ms=ms, results=rows[: hands.LISTED])
        if not self._writes_open[number]:
            self._read_wanted = True

    def _read_is_due(self, now: float) -> bool:
        if now < self._read_after or len(self._units) >= IN_FLIGHT:
            return False
        if self._units and now < max(unit.begun for unit in self._units) + OVERTAKE:
            return False
        second = self._streak.second_due(self.timing.apart)
        if self._flat_at is not None:
            return not self._units and bool(self._rechecks) and now >= self._flat_at + self._rechecks[0]
        return self._read_wanted or (second is not None and now >= second and not self._units)

    def _begin_read(self, now: float) -> None:
        assert self._exchange is not None
        self._unit_count += 1
        sections = self._exchange.sections()
        parts: set[Part] = {(kind, name) for name in sections for kind in ("orders", "positions")}
        unit = Unit(self._unit_count, now, parts)
        if self._flat_at is not None and self._rechecks:
            unit.recheck = self._rechecks[0]
        self._units.append(unit)
        self._read_wanted = False
        hands.read(self._exchange, unit, self._post)

    def _on_part(self, unit: Unit, part: Part, found: Any, error: str, busy: bool) -> None:
        if part not in unit.waiting:
            return  # it was given up meanwhile
        unit.waiting.discard(part)
        kind, section = part
        if error:
            unit.errors[part] = error
        elif kind == "orders":
            unit.counts[kind] += len(found)
            fresh = self._view.take_orders(section, unit.begun, found)
            self._look_for_a_live_writer(unit, len(fresh))
        else:
            unit.counts[kind] += len(found)
            self._view.take_positions(section, unit.begun, found)
        if unit.complete:
            self._finish(unit)

    def _look_for_a_live_writer(self, unit: Unit, fresh: int) -> None:
        """New orders although every instance said that it is halted: its word is not enough."""
        if fresh and not self._slots_asked and self._halted_at is not None and unit.begun > self._halted_at + 1.0:
            self._stop_slots(f"{fresh} new orders after the halt")

    def _expire(self, now: float) -> None:
        assert self._exchange is not None
        for unit in [one for one in self._units if now > one.begun + self._exchange.timeout + GRACE]:
            for part in sorted(unit.waiting):
                self._on_part(unit, part, None, "no answer", False)

    def _finish(self, unit: Unit) -> None:
        now = time.monotonic()
        unit.ended = now
        self._units.remove(unit)
        self._streak.take(unit)
        if self._last_unit is None or unit.begun >= self._last_unit.begun:
            self._last_unit = unit
        orders = [hands.order_row(one) for held in self._view.orders.values() for one in held.values()]
        positions = [hands.position_row(one) for held in self._view.positions.values() for one in held.values()]
        self.journal.add(
            "read",
            n=unit.number,
            ms=round((now - unit.begun) * 1000),
            orders=None if unit.unread("orders") else unit.counts["orders"],
            positions=None if unit.unread("positions") else unit.counts["positions"],
            left={"orders": orders[: hands.LISTED], "positions": positions[: hands.LISTED]},
            errors=[f"{kind}{f' of {name}' if name else ''}: {why}" for (kind, name), why in unit.errors.items()],
        )
        if unit.errors:
            pauses = self.timing.read_pauses
            self._read_after = now + pauses[min(self._read_fails, len(pauses) - 1)]
            self._read_fails, self._read_wanted = self._read_fails + 1, True
        else:
            self._read_fails = 0
        if unit.clean and not self._was_clean:
            self.journal.add("clean", n=unit.number)
            self._was_clean = True
        if not self._sent_any and self._flat_at is None and any(unit.counts.values()):
            self._begin_rounds(now)
        if unit.recheck is not None and self._flat_at is not None:
            self._rechecked(unit, now)

    # What it means

    def _judge(self, now: float) -> None:
        if self._flat_at is not None:
            if not self._rechecks:
                self._end("FLAT, and checked again")
            elif now > self._flat_at + self._rechecks[-1] + RECHECK_PATIENCE:
                self._note("It was FLAT, but the exchange could not be read again.")
                self._end("FLAT, and not checked again")
            return
        if self._streak.flat(self.timing.apart, self._halted_at):
            self._flat_at, self._rechecks = now, list(self.timing.rechecks)
            self._round_due, self._read_wanted = NEVER, False
            self.journal.add("flat")
            self._tell("FLAT")
        elif self.outcome or now >= self._base + self.timing.first_outcome:
            # What is known to be left counts more than what could not be read.
            left = self._last_unit is not None and any(self._last_unit.counts.values())
            almost = self._streak.first is not None and self._halted_at is not None
            if not (self.outcome and almost):  # else the second clean read says it in a second
                self._tell("NOT_FLAT" if left else "UNCONFIRMED")
        if self._flat_at is None and now >= self._base + self.timing.give_up:
            self._end("given up")

    def _rechecked(self, unit: Unit, now: float) -> None:
        if unit.errors and not any(unit.counts.values()):
            return  # it is read again after a pause
        self.journal.add("recheck", after=unit.recheck, clean=unit.clean)
        if unit.clean:
            self._rechecks.pop(0)
            return
        self._flat_at, self._streak = None, Streak()
        self._tell("NOT_FLAT")
        self._base, self._rung = now, 0
        self._begin_rounds(now)
        if not self._slots_asked:
            self._stop_slots("something was found after FLAT")

    def _tell(self, outcome: str) -> None:
        if outcome != self.outcome:
            self.outcome = outcome
            self.journal.add("outcome", outcome=outcome)

    def _end(self, why: str) -> None:
        self.journal.add("end", why=why)
        self.over.set()
