"""What somebody approves: the subject of a request, its hash, and what differs between two subjects. No Django here.

The subject is everything that decides what will happen: release, digest, configuration, strategy, plan, what is live,
and the policy. An approval holds for exactly one subject; when any member differs, it falls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deployments.strategies.base import StepSpec

Subject = dict[str, Any]
SHORT = 12
"""Digits of a hash that are shown where there is little room."""
LONGEST_VALUE = 60
_LEFT_OUT = frozenset({"approval", "gate"})


@dataclass(frozen=True, slots=True)
class LiveSide:
    """What serves when a deployment is asked for; every member empty before the first deployment."""

    release: str = ""
    digest: str = ""
    slot: str = ""
    deployment: int | None = None
    """The deployment that made it live, so that "away and back again" is a change, too."""


@dataclass(frozen=True, slots=True)
class NewRelease:
    """What would be brought live."""

    service: str
    version: str
    digest: str
    config_revision: str


@dataclass(frozen=True, slots=True)
class Change:
    """One member that is not what was asked for."""

    member: str
    """Its place, for example ``live.release``."""
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """As it is kept and as the API shows it."""
        return {"member": self.member, "from": self.before, "to": self.after}


def subject(
    *,
    environment: str,
    release: NewRelease,
    strategy: str,
    slot: str,
    plan: Sequence[StepSpec],
    live: LiveSide,
    policy: Mapping[str, Any],
    exceptions: Mapping[str, Any] | None = None,
) -> Subject:
    """The subject of a request: plain data, the same for the same facts.

    Args:
        slot: the slot that gets the release.
        policy: the environment's policy as JSON data; how long a request waits, and the gate, are left out: they change
            nothing that will happen, and the gate is asked again at the approval.
        exceptions: what it is allowed beyond the gate: reasons and overridden checks; none for the usual request.
    """
    found = {
        "environment": environment,
        "release": asdict(release),
        "strategy": strategy,
        "slot": slot,
        "plan": [asdict(step) for step in plan],
        "live": asdict(live),
        "policy": {name: value for name, value in policy.items() if name not in _LEFT_OUT},
    }
    return found | ({"exceptions": dict(exceptions)} if exceptions else {})


def canonical(given: Subject) -> str:
    """The one text of a subject: JSON with sorted members, without spaces. The order of members does not matter."""
    return json.dumps(given, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def subject_hash(given: Subject) -> str:
    """SHA-256 of the canonical text, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(given).encode()).hexdigest()


def changes(asked: Subject, now: Subject) -> list[Change]:
    """Every member in which two subjects differ, by its place; none exactly when the hashes are equal."""
    before, after = dict(_leaves(asked)), dict(_leaves(now))
    places = [*before, *(place for place in after if place not in before)]
    differ = [place for place in places if _text(before, place) != _text(after, place)]
    return [Change(".".join(place), before.get(place), after.get(place)) for place in differ]


def _leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value that is no mapping, with its place; a list is one value: its order is part of it."""
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from _leaves(value[name], (*place, name))
    else:
        yield place, value


def _text(leaves: Mapping[tuple[str, ...], Any], place: tuple[str, ...]) -> str:
    """Text against text: 1, 1.0 and True are equal in Python, and a missing member is not one without a value."""
    return json.dumps(leaves[place], sort_keys=True) if place in leaves else ""


_WORDS = {
    "live.release": "the live release",
    "live.digest": "the digest of the live release",
    "live.slot": "the live slot",
    "live.deployment": "the deployment that is live",
    "release.version": "the release",
    "release.digest": "the digest of the release",
    "release.config_revision": "the configuration revision",
    "release.service": "the service",
    "archive": "the archive on disk",
    "slot": "the slot that gets the release",
    "exceptions.large_change_reason": "the reason for the size of the change",
    "exceptions.override_reason": "the reason to override checks",
    "exceptions.overrides": "the list of overridden checks",
}


def in_words(found: Change) -> str:
    """``the live release: v1.2.4, now v1.2.6``; a long value is only said to differ."""
    name = _WORDS.get(found.member) or f"the {found.member.replace('.', ' ').replace('_', ' ')}"
    before, after = _value(found.before), _value(found.after)
    if isinstance(found.before, list | dict) or isinstance(found.after, list | dict):
        return f"{name} is another one"
    return f"{name}: {before}, now {after}"


def _value(value: Any) -> str:
    if value is None or value == "":
        return "none"
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def all_in_words(found: Sequence[Change]) -> str:
    """One sentence about every change: ``What was asked for has changed: …``."""
    return f"What was asked for has changed: {'; '.join(in_words(one) for one in found)}."
