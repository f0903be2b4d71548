"""The role table of the specification (part 11) as a page shows it: from what is granted, not from a copy."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.limits import MANAGE_PEOPLE
from accounts.roles import APPROVE, PERMISSION_WORDS, RESUME, Role, granted

NOTES = {
    APPROVE: "Requests of somebody else only.",
    RESUME: "Together with a second person.",
    MANAGE_PEOPLE: "Nobody changes their own role. The last active Admin stays one.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One act."""

    words: str
    note: str
    cells: list[tuple[str, str]]
    """For each role: the role, and ``yes``, ``production``, ``elsewhere`` or ``no``."""


def rows() -> list[Row]:
    """Every act of the table; the last one belongs to no environment."""
    found = [
        Row(_sentence(words), NOTES.get(permission, ""), [(role.value, _cell(role, permission)) for role in Role])
        for permission, words in PERMISSION_WORDS.items()
    ]
    people = [(role.value, "yes" if role == Role.ADMIN else "no") for role in Role]
    return [*found, Row("Look after people, their roles and their keys", NOTES[MANAGE_PEOPLE], people)]


def _cell(role: Role, permission: str) -> str:
    in_production = permission in granted(role, production=True)
    elsewhere = permission in granted(role, production=False)
    if in_production and elsewhere:
        return "yes"
    return "production" if in_production else "elsewhere" if elsewhere else "no"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
