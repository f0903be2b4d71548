"""The form for a new API key: what was given, as it is drawn again when something is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from accounts.limits import SCOPE_WORDS, SCOPES
from accounts.models import APIKey
from accounts.roles import DEPLOY, REQUEST, STOP, VIEW

DAYS = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Preset:
    """A usual kind of key; choosing it fills the form."""

    name: str
    title: str
    words: str
    scopes: tuple[str, ...]
    environment: str = ""


@dataclass
class KeyForm:
    """The fields of the page "New API key"."""

    name: str = ""
    scopes: set[str] = field(default_factory=lambda: {VIEW})
    environments: list[str] | None = None
    networks: str = ""
    days: str = "90"
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: QueryDict) -> KeyForm:
        """What a browser sent."""
        chosen = given.getlist("environments") if given.get("reach") == "some" else None
        return cls(
            name=given.get("name", "").replace("\x00", "")[:200],
            scopes={VIEW, *given.getlist("scopes")},
            environments=chosen,
            networks=given.get("networks", "").replace("\x00", "")[:4000],
            days=given.get("days", ""),
        )

    @classmethod
    def from_preset(cls, preset: Preset) -> KeyForm:
        """The form as a preset fills it."""
        return cls(
            name=preset.title,
            scopes={VIEW, *preset.scopes},
            environments=[preset.environment] if preset.environment else None,
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """What ``create_api_key`` takes; a number of days that is none becomes 0, which it refuses in words."""
        return {
            "name": self.name,
            "scopes": self.scopes,
            "environments": self.environments,
            "networks": self.networks.replace(",", " ").split(),
            "days": int(self.days) if self.days.isascii() and self.days.isdecimal() and len(self.days) < 6 else 0,
        }

    @property
    def scope_choices(self) -> list[tuple[str, str, bool]]:
        """Each scope that can be chosen: name, words, whether it is chosen. Looking is always in."""
        return [(name, SCOPE_WORDS[name], name in self.scopes) for name in SCOPES if name != VIEW]

    @property
    def longest(self) -> int:
        """Days that a key lives at most."""
        return APIKey.LIFETIME.days


def presets(places: Sequence[Any]) -> list[Preset]:
    """Usual keys for somebody who sees these environments."""
    found = [Preset("read", "Read only", "Sees everything, changes nothing. For dashboards.", ())]
    for place in places:
        if place.kind == "production":
            words = "Asks for deployments that somebody else approves. For a build."
            found.append(Preset(f"request-{place.name}", f"Ask for {place.name}", words, (REQUEST,), place.name))
        else:
            words = "Registers releases and deploys them. For a build."
            found.append(Preset(f"deploy-{place.name}", f"Deploy to {place.name}", words, (DEPLOY,), place.name))
    found.append(Preset("stop", "Emergency stop", "Stops trading, and nothing else. For a watchdog.", (STOP,)))
    return found
