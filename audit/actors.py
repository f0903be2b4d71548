"""Who acts. Every use case takes an Actor, the system included; there is no act by "nobody"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, an API key of a person, or the system itself."""

    name: str
    """Name as it is now; kept with each record."""
    via: str
    """How the act arrived: ``session``, ``key``, ``login`` (command line sign-in), ``cli`` or ``system``."""
    user: Any = None
    """The person; None for the system."""
    role: str = ""
    """Admin, Operator, Developer, or System."""
    request_id: str = ""
    address: str = ""
    """Network address of the caller."""

    @property
    def is_system(self) -> bool:
        """Whether the console itself acts (guard, reconciler, engine)."""
        return self.via == "system"


def system(part: str) -> Actor:
    """The console acting by itself; ``part`` names the part, for example ``guard``."""
    return Actor(name=part, via="system", role="System")
