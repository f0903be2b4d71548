"""The people of the demo: one a role, and a second Admin, since nobody approves their own request."""

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
    key: str
    """Under which name their API key stands in the file of the demo."""
    enter_as: str
    """Who one becomes by entering, on the button."""


PEOPLE = (
    DemoPerson("ada", "Ada Admin", Role.ADMIN, "deploys to production and staging", "admin", "Admin"),
    DemoPerson("otto", "Otto Operator", Role.OPERATOR, "sees everything, changes nothing", "operator", "Operator"),
    DemoPerson(
        "dora", "Dora Developer", Role.DEVELOPER, "deploys to staging, asks for production", "developer", "Developer"
    ),
    DemoPerson("alan", "Alan Admin", Role.ADMIN, "approves what Ada asked for", "second_admin", "second Admin"),
)
