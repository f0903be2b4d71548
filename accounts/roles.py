"""The three roles and what each may do in an environment (specification, part 11)."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Roles are groups of the same name."""

    ADMIN = "Admin"
    OPERATOR = "Operator"
    DEVELOPER = "Developer"


VIEW = "view_environment"
DEPLOY = "deploy_environment"
"""Start, promote, hold, resume, abort and roll back a deployment."""

_PRODUCTION: dict[Role, frozenset[str]] = {
    Role.ADMIN: frozenset({VIEW, DEPLOY}),
    Role.OPERATOR: frozenset({VIEW}),
    Role.DEVELOPER: frozenset({VIEW}),
}
_OTHER: dict[Role, frozenset[str]] = {**_PRODUCTION, Role.DEVELOPER: frozenset({VIEW, DEPLOY})}

PERMISSION_WORDS = {VIEW: "see this environment", DEPLOY: "deploy to this environment"}


def granted(role: Role, *, production: bool) -> frozenset[str]:
    """Permission code names that a role has on an environment; production is stricter for Developers."""
    return (_PRODUCTION if production else _OTHER)[role]


def roles_with(permission: str, *, production: bool) -> list[Role]:
    """Roles that have a permission, for messages that say who can help."""
    return [role for role in Role if permission in granted(role, production=production)]
