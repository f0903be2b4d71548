"""The three people of the demo, one a role."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.roles import Role


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Somebody as whom the demo is entered with one click."""

    username: str
    full_name: str
    role: Role
    may: str
    """What the role is for, in half a sentence."""


PEOPLE = (
    DemoPerson("ada", "Ada Admin", Role.ADMIN, "deploys to production and staging"),
    DemoPerson("otto", "Otto Operator", Role.OPERATOR, "sees everything, changes nothing"),
    DemoPerson("dora", "Dora Developer", Role.DEVELOPER, "deploys to staging, reads production"),
)
