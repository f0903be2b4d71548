"""What can be done to one person: the words, the effects, the use case, and whether it takes a fresh proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accounts import links, people_actions
from accounts.forms import ReasonForm, RoleForm
from accounts.models import User
from accounts.people_queries import Person
from accounts.roles import Role
from audit.actors import Actor


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done to one person."""

    action: str
    """The audited name; also what the confirmation is bound to."""
    title: str
    verb: str
    """What stands on the button."""
    icon: str
    effects: Callable[[Person], list[str]]
    do: Callable[[Actor, User, dict[str, Any]], Any]
    said: str
    form: type[ReasonForm] = ReasonForm
    confirmed: Callable[[Person], bool] = field(default=lambda person: True)
    """Whether it takes a fresh proof (level L3)."""
    style: str = "danger"
    """Of the button: ``primary`` where nothing is taken away."""


def _never(person: Person) -> bool:
    return False


def _role_effects(person: Person) -> list[str]:
    return [
        f"{person.name} is {person.role or 'without a role'} now; the new role holds at once.",
        "Their sessions and command line sign-ins end, so that they enter again with the new role.",
        "Their API keys stay, and can do no more than the new role.",
    ]


def _deactivate_effects(person: Person) -> list[str]:
    keys = f"{person.keys} API key{'' if person.keys == 1 else 's'}"
    return [
        "Their sessions and command line sign-ins end; open pages close within 5 s.",
        f"{keys if person.keys else 'API keys'} of theirs are refused from now on.",
        "Nothing is deleted: their acts stay in the audit trail, and an Admin can reactivate them.",
    ]


def _reactivate_effects(person: Person) -> list[str]:
    return [
        f"{person.name} may enter again as {person.role or 'somebody without a role'}.",
        "Their API keys that have not ended work again. Revoke those that should not, before or after.",
    ]


def _factor_effects(person: Person) -> list[str]:
    return [
        "Passkeys, authenticator app, recovery codes and SSH keys are removed: all that a lost device could hold.",
        "Their sessions and command line sign-ins end. API keys stay: revoke those that were on the device.",
        "After that they need a new enrolment link, which you hand over in person.",
    ]


def _link_effects(person: Person) -> list[str]:
    hours = links.lifetime_in_words(links.Kind.ENROL)
    return [
        f"The link works once, within {hours}. Whoever has it enters as {person.name}: hand it over in person.",
        "It leads to enrolling a passkey or an authenticator app. It is shown this once.",
    ]


def _sessions_effects(person: Person) -> list[str]:
    return [
        "Every browser session and command line sign-in ends now; open pages close within 5 s.",
        f"{person.name} may enter again at once. To keep somebody out, deactivate them.",
    ]


ACTS = {
    "role": Act(
        "user.role_changed",
        "Change the role",
        "Change the role",
        "user-cog",
        _role_effects,
        lambda actor, user, given: people_actions.change_role(actor, user, given["role"], given["reason"]),
        "The role is changed.",
        RoleForm,
    ),
    "deactivate": Act(
        "user.deactivated",
        "Deactivate",
        "Deactivate",
        "user-x",
        _deactivate_effects,
        lambda actor, user, given: people_actions.deactivate(actor, user, given["reason"]),
        "Deactivated. Nobody enters with this account any more.",
        confirmed=_never,
    ),
    "reactivate": Act(
        "user.reactivated",
        "Reactivate",
        "Reactivate",
        "user-check",
        _reactivate_effects,
        lambda actor, user, given: people_actions.reactivate(actor, user, given["reason"]),
        "Reactivated.",
    ),
    "second-factor": Act(
        "user.second_factor_removed",
        "Remove the second factor",
        "Remove the second factor",
        "shield-off",
        _factor_effects,
        lambda actor, user, given: people_actions.remove_second_factor(actor, user, given["reason"]),
        "Removed. They need a new enrolment link now.",
    ),
    "sessions": Act(
        "user.sessions_ended",
        "End all sessions",
        "End all sessions",
        "log-out",
        _sessions_effects,
        lambda actor, user, given: people_actions.end_sessions(actor, user, given["reason"]),
        "All sessions are ended.",
        confirmed=_never,
    ),
    "link": Act(
        "user.invited",
        "Issue an enrolment link",
        "Issue the link",
        "link",
        _link_effects,
        lambda actor, user, given: people_actions.invite_again(actor, user, given["reason"]),
        "",
        # Whoever opens the account of an Admin can do everything, as whoever makes one.
        confirmed=lambda person: person.role == Role.ADMIN,
        style="primary",
    ),
}

DIALOGS = ("deactivate", "sessions")
"""They go towards safety: on the page of the person they ask in a dialog."""
