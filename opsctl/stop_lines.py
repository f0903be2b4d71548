"""The lines of an emergency stop in a terminal, from the entries of its journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opsctl.output import Output

SHOWN = 20
"""So many of what is left are listed."""


def moment(at: float | None) -> str:
    """``14:02:11.204 UTC`` of seconds since 1970; with the date when it is not today."""
    if at is None:
        return "at an unknown time"
    when = datetime.fromtimestamp(at, UTC)
    shown = "%H:%M:%S" if when.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S"
    return f"{when.strftime(shown)}.{when.microsecond // 1000:03d} UTC"


class Lines:
    """Says each entry that matters, as it comes."""

    def __init__(self, output: Output, environment: str) -> None:
        self._output, self._environment = output, environment
        self._at: float | None = None
        self._drill = ""
        self._none: set[str] = set()

    def joined(self, stop_id: str) -> None:
        """This press joined a stop that runs already."""
        self._output.say(f"Joined: a stop of {self._environment} runs already ({stop_id}).", "info")

    def tell(self, entry: Mapping[str, Any]) -> None:
        """One entry."""
        say = getattr(self, f"_{entry['event']}", None)
        if say is not None:
            say(entry)

    def end(self, state: Any) -> None:
        """How it ended, or stands; ``state``: a StopState, which only the command's own file may import."""
        say, left = self._output.say, state.remaining
        drill = "DRILL " if state.drill else ""
        if state.outcome == "FLAT" and state.flat_at is not None and state.pressed_at is not None:
            taken = f"{state.flat_at - state.pressed_at:.2f} s"
            say(f"✓ {drill}FLAT in {taken}: 0 orders, 0 positions, the writer is halted.")
        elif state.outcome == "NOT_FLAT":
            say(f"✗ {drill}NOT FLAT: this is left at the exchange.", "crit")
        elif state.still_running and not state.outcome:
            say(f"● {drill}It runs.", "info")
        else:
            say(f"? {drill}NOT CONFIRMED: whether something is left is not known.", "crit")
        for row in left["positions"][:SHOWN]:
            say(f"  position {row['coin']} {row['size']}{_because(row)}", "crit")
        for row in left["orders"][:SHOWN]:
            say(
                f"  order {row['oid']} {row['coin']} {row['side']} {row['size']} at {row['price']}{_because(row)}",
                "crit",
            )
        more = sum(max(0, len(left[what]) - SHOWN) for what in ("positions", "orders"))
        if more:
            say(f"  and {more} more", "crit")
        for text in left["unread"]:
            say(f"  not read: {text}", "crit")
        for row in left["writers"]:
            say(f"  {row['instance']}: its halt is not confirmed{_because(row)}", "crit")

    def _pressed(self, entry: Mapping[str, Any]) -> None:
        self._at, self._drill = float(entry["at"]), "DRILL: " if entry.get("drill") else ""
        self._output.say(f"{self._drill}Requested {moment(self._at)}: emergency stop of {self._environment}.", "info")

    def _latched(self, entry: Mapping[str, Any]) -> None:
        if not entry.get("ok"):
            self._output.say(f"  The latch is not on the disk: {entry.get('problem', '')}", "warn")

    def _note(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"  {entry['text']}", "warn")

    def _halt_accepted(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"Halt acknowledged by {entry['instance']} after {self._since(entry)}.")

    def _halt_refused(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"  {entry['instance']} did not take the halt: {entry['error']}", "warn")

    def _writer_halted(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"Halt confirmed after {self._since(entry)}: the trading system sends nothing any more.")

    def _stopping_slots(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"  Ending the processes of the slots: {entry['why']}.", "warn")

    def _slot_stopped(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"  {entry['instance']}: its process is gone.")

    def _slot_failed(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"  {entry['instance']}: its process could not be ended: {entry['error']}", "warn")

    def _round(self, entry: Mapping[str, Any]) -> None:
        sent, share = entry["sent"], float(entry["slippage"])
        what = f"{sent['cancels']} cancels, {sent['closes']} closes at up to {share:.0%}"
        origin = "" if entry["source"] == "read" else ", from the warm snapshot"
        self._output.say(f"  Round {entry['n'] + 1}: {what}{origin}")

    def _read(self, entry: Mapping[str, Any]) -> None:
        for what, done in (("orders", "Cancelled"), ("positions", "Closed")):
            if entry[what] == 0 and what not in self._none:
                self._none.add(what)
                self._output.say(f"{done} after {self._since(entry)}: 0 {what} left.")
            elif entry[what]:
                self._none.discard(what)
                self._output.say(f"  {entry[what]} {what} left after {self._since(entry)}")
        for text in entry["errors"]:
            self._output.say(f"  not read: {text}", "warn")

    def _flat(self, entry: Mapping[str, Any]) -> None:
        self._output.say(f"{self._drill}FLAT in {self._since(entry)}.")

    def _outcome(self, entry: Mapping[str, Any]) -> None:
        if entry["outcome"] != "FLAT":
            words = {"NOT_FLAT": "NOT FLAT", "UNCONFIRMED": "NOT CONFIRMED"}[entry["outcome"]]
            self._output.say(f"✗ {words} after {self._since(entry)}. It goes on trying, for ten minutes.", "crit")

    def _recheck(self, entry: Mapping[str, Any]) -> None:
        found = "still flat" if entry["clean"] else "SOMETHING IS THERE AGAIN"
        tone = "plain" if entry["clean"] else "crit"
        self._output.say(f"Checked again after {entry['after']:g} s: {found}.", tone)

    def _since(self, entry: Mapping[str, Any]) -> str:
        return f"{float(entry['at']) - (self._at or float(entry['at'])):.2f} s"


def _because(row: Mapping[str, Any]) -> str:
    return f": {row['error']}" if row.get("error") else ""
