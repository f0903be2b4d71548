"""What a check before a deployment answers, and what whoever starts it says for what would block it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: ``ok`` false blocks the deployment, unless somebody who may has overridden it."""

    name: str
    title: str
    ok: bool
    detail: str
    """What it looked at, and what it saw."""
    todo: str = ""
    overridable: bool = False
    """Whether an Admin may let a deployment start all the same, with a reason."""
    overridden: bool = False
    link: str = ""
    """A path of the console that shows more, or where it can be mended."""
    asked: bool = True
    """Whether the environment asks for it at all; what is not asked does not block, and is not shown as passed."""

    @property
    def blocks(self) -> bool:
        """Whether it keeps the deployment from starting."""
        return not self.ok and not self.overridden

    def as_reason(self) -> dict[str, Any]:
        """As a member of ``reasons`` in the API's 422 answer."""
        return {"check": self.name, "reason": self.detail, "todo": self.todo, "overridable": self.overridable}

    def as_override(self) -> dict[str, str]:
        """As it is kept with the deployment whose starter overrode it."""
        return {"check": self.name, "title": self.title, "detail": self.detail}

    def after(self, overridden: frozenset[str]) -> CheckResult:
        """The same once the checks of these names are overridden; only what blocks and may be overridden changes."""
        given = self.overridable and not self.ok and self.name in overridden
        return replace(self, overridden=True) if given else self


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What a deployment is allowed beyond the gate: a reason for its size, and checks that an Admin overrode."""

    large_change_reason: str = ""
    override_reason: str = ""
    overrides: tuple[dict[str, str], ...] = ()
    """Each overridden check: ``check``, ``title``, and ``detail`` as it was then."""

    @property
    def names(self) -> frozenset[str]:
        """Names of the overridden checks."""
        return frozenset(one["check"] for one in self.overrides)


NOTHING = Exceptions()
"""The usual deployment."""


def not_asked(name: str, title: str) -> CheckResult:
    """A check that the environment's policy leaves out."""
    return CheckResult(name, title, True, "The policy of this environment leaves it out.", asked=False)
