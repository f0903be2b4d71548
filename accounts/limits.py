"""What an API key leaves of its owner's rights: a key can do less than its owner, never more."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.roles import PERMISSION_WORDS, VIEW

MANAGE_PEOPLE = "manage_people"
"""Users, roles and keys of others. It belongs to no environment: Admins have it."""
SCOPES = (*PERMISSION_WORDS, MANAGE_PEOPLE)
"""What a key can be made for: each permission of the role table is a scope. Every key may look (``VIEW``)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one API key."""

    scopes: frozenset[str]
    """Permissions that the key may use, as far as its owner has them."""
    environments: frozenset[str] | None
    """Names of the environments it reaches; None for every one that its owner reaches."""

    def permits(self, permission: str) -> bool:
        """Whether the key may use a permission at all."""
        return permission == VIEW or permission in self.scopes
