"""Who may do what with people and keys: acts that belong to no environment."""

from __future__ import annotations

from accounts.errors import Forbidden, InsufficientScope
from accounts.limits import MANAGE_PEOPLE
from accounts.models import User
from accounts.roles import Role
from audit.actors import Actor

NO_ENVIRONMENT = ""
"""What a refusal names for an act that belongs to no environment."""


def is_at_the_machine(actor: Actor) -> bool:
    """Whether the console itself acts, or somebody at its machine's own command line."""
    return actor.is_system or actor.via == "cli"


def require_admin(actor: Actor, words: str) -> None:
    """The role table's "users, roles, keys of others": Admin, or somebody at the machine itself.

    Raises:
        Forbidden: the actor is no Admin.
        InsufficientScope: the actor is one, but the API key is not made for this.
    """
    if is_at_the_machine(actor):
        return
    user = actor.user
    if user is None or not user.is_active or actor.role != Role.ADMIN:
        raise Forbidden(actor, MANAGE_PEOPLE, words, NO_ENVIRONMENT, Role.ADMIN.value)
    if user.limits is not None and not user.limits.permits(MANAGE_PEOPLE):
        raise InsufficientScope(actor, MANAGE_PEOPLE, words, NO_ENVIRONMENT)


def require_self(actor: Actor, owner: User, words: str) -> None:
    """Only the person concerned, or somebody at the machine itself: whoever holds a key of somebody acts as them.

    Raises:
        Forbidden: the actor is somebody else, an Admin included.
    """
    if is_at_the_machine(actor) or (actor.user is not None and actor.user.pk == owner.pk and actor.user.is_active):
        return
    raise Forbidden(actor, "own", words, NO_ENVIRONMENT, f"{owner.display_name} in person")
