"""Who wrote when: reads the exchange's log and proves (or disproves) that two slots never traded at once.

A slot is the writer's name without its instance number (`production-blue-1` → `production-blue`). Orders carry the
fencing epoch of the tenure they were sent in, so an order is a violation when its epoch is lower than one the account
has already seen, or when a slot comes back within the epoch in which another slot has already taken over. A handover
back (rollback) has a higher epoch and is legitimate.

    python -m demo.exchange.writers LOG --account production --since 1790000000 --until 1790000600
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demo.exchange.journal import read_log


@dataclass(frozen=True, slots=True)
class Change:
    """One change of writer. Times are unix seconds, `gap_ms` is the time without any writer."""

    from_writer: str
    to_writer: str
    last_order_at: float
    first_order_at: float
    gap_ms: float
    from_epoch: int
    to_epoch: int


@dataclass(slots=True)
class Writers:
    """The verdict over a log: changes in order, number of violating orders, and the first of them."""

    orders: int = 0
    changes: list[Change] = field(default_factory=list)
    overlaps: int = 0
    violations: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain data; a change has the keys from, to, last_order_at, first_order_at, gap_ms, from_epoch, to_epoch."""
        changes = []
        for change in self.changes:
            row = asdict(change)
            changes.append({"from": row.pop("from_writer"), "to": row.pop("to_writer"), **row})
        return {
            "orders": self.orders,
            "changes": changes,
            "overlaps": self.overlaps,
            "violations": self.violations,
            "max_gap_ms": max((change.gap_ms for change in self.changes), default=None),
        }


KEPT_VIOLATIONS = 20


def slot_of(writer: str) -> str:
    """The slot of an instance name: everything before the trailing number."""
    return re.sub(r"-\d+$", "", writer)


def find_writers(
    entries: Iterable[Mapping[str, Any]], account: str, since: float = 0.0, until: float = float("inf")
) -> Writers:
    """Judges the orders of one account. Entries before `since` still set epochs and writer, but are not counted.

    Only orders of a writer with an epoch count: a person's own close at the exchange belongs to no slot.
    """
    result = Writers()
    current: Mapping[str, Any] | None = None
    highest = -1
    seen: set[tuple[int, str]] = set()
    for entry in entries:
        of_a_slot = entry["action"] == "order" and entry["writer"] is not None and entry["epoch"] is not None
        if entry["account"] != account or not of_a_slot:
            continue
        slot, epoch, counted = slot_of(entry["writer"]), entry["epoch"], since <= entry["at"] <= until
        result.orders += counted
        moved = current is not None and slot != slot_of(current["writer"])
        if epoch < highest or (moved and (epoch, slot) in seen):
            _note_violation(result, entry, counted)
            continue
        if moved and current is not None and counted:
            result.changes.append(_change(current, entry))
        highest, current = epoch, entry
        seen.add((epoch, slot))
    return result


def _note_violation(result: Writers, entry: Mapping[str, Any], counted: bool) -> None:
    if counted:
        result.overlaps += 1
        if len(result.violations) < KEPT_VIOLATIONS:
            result.violations.append(dict(entry))


def _change(last: Mapping[str, Any], first: Mapping[str, Any]) -> Change:
    gap = round((first["at"] - last["at"]) * 1000, 3)
    return Change(last["writer"], first["writer"], last["at"], first["at"], gap, last["epoch"], first["epoch"])


def main(arguments: list[str] | None = None) -> int:
    """Prints the verdict as JSON; exit status 1 when there is a violation, 2 when the log cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m demo.exchange.writers", description="Changes of writer in a log.")
    parser.add_argument("log", type=Path)
    parser.add_argument("--account", required=True)
    parser.add_argument("--since", type=float, default=0.0, help="unix seconds")
    parser.add_argument("--until", type=float, default=float("inf"), help="unix seconds")
    options = parser.parse_args(arguments)
    try:
        entries = read_log(options.log)
    except OSError as error:
        print(f"cannot read the log: {error}", file=sys.stderr)
        return 2
    result = find_writers(entries, options.account, options.since, options.until)
    print(json.dumps(result.as_json(), indent=2))
    return 1 if result.overlaps else 0


if __name__ == "__main__":
    sys.exit(main())
