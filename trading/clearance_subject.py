"""What somebody gives leave to: the facts of a request, their hash, and what differs between two. No Django here.

Leave holds for exactly one state of things. What cannot be read just now is no change, for it may come back; but it is
no ground for leave either (``clearances.py`` refuses then).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One instance of the slot that has the trading role; None where it does not answer."""

    name: str
    role: str | None
    latched: bool | None
    breaker: str | None
    """``open`` or ``closed``."""
    version: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One member that is not what was asked for."""

    member: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """As it is kept and as the API shows it."""
        return {"member": self.member, "from": self.before, "to": self.after}


def facts(
    *,
    kind: str,
    environment: str,
    stop: str,
    latched: bool,
    slot: str,
    version: str,
    instances: Sequence[InstanceFacts],
    mismatches: Sequence[str] | None,
) -> Facts:
    """Plain data, the same for the same state of things.

    Args:
        stop: id of the emergency stop that is in force; empty without one.
        latched: whether the kill switch is engaged.
        slot: the slot that has the trading role, and ``version`` its release.
        mismatches: symbols whose positions differ from the exchange; None when nobody knows.
    """
    return {
        "kind": kind,
        "environment": environment,
        "stop": stop,
        "latched": latched,
        "writer": {"slot": slot, "version": version},
        "instances": {
            one.name: {"role": one.role, "latched": one.latched, "breaker": one.breaker, "version": one.version}
            for one in instances
        },
        "mismatches": None if mismatches is None else sorted(mismatches),
    }


def subject_hash(given: Facts) -> str:
    """SHA-256 of the canonical JSON (sorted members, no spaces), 64 hexadecimal digits."""
    text = json.dumps(given, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def changes(asked: Facts, now: Facts) -> list[Change]:
    """Every member in which two states differ and that is known in both."""
    before, after = dict(_leaves(asked)), dict(_leaves(now))
    found = []
    for place in [*before, *(place for place in after if place not in before)]:
        old, new = before.get(place), after.get(place)
        gone = place not in after or place not in before
        if gone or (old is not None and new is not None and json.dumps(old) != json.dumps(new)):
            found.append(Change(".".join(place), old, new))
    return found


def _leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for name in sorted(value):
            yield from _leaves(value[name], (*place, name))
    else:
        yield place, value


_WORDS = {
    "latched": "the kill switch",
    "stop": "the emergency stop in force",
    "writer.slot": "the slot that has the trading role",
    "writer.version": "the version",
    "mismatches": "positions that differ from the exchange",
}


def in_words(found: Change) -> str:
    """``the role of production-blue-1: HALTED, now ACTIVE``."""
    name = _WORDS.get(found.member)
    if name is None and found.member.startswith("instances."):
        _, _, rest = found.member.partition(".")
        instance, _, what = rest.rpartition(".")
        word = {"breaker": "circuit breaker", "latched": "emergency latch"}.get(what, what)
        name = f"the {word} of {instance}" if instance else f"the instance {rest}"
    return f"{name or f'the {found.member}'}: {_value(found, found.before)}, now {_value(found, found.after)}"


def all_in_words(found: Sequence[Change]) -> str:
    """One sentence about every change: ``What was asked for has changed: …``."""
    return f"What was asked for has changed: {'; '.join(in_words(one) for one in found)}."


def _value(found: Change, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, bool):
        return "engaged" if value else "not engaged"
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
