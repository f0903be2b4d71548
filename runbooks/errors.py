"""What a person or a script can act on. HTTP statuses are mapped once, in ``opsconsole/api.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.domain import DomainError
from accounts.errors import OwnRequest
from audit.actors import Actor


class RunClosed(DomainError):
    """The run is complete, missed, finished or abandoned; nothing was done. HTTP 409."""

    status = 409
    code = "run_closed"


class RunChanged(DomainError):
    """Somebody else changed the run since the page was drawn; nothing was done. HTTP 409."""

    status = 409
    code = "run_changed"


class NotInControl(DomainError):
    """Another person has control of the run; take over first. HTTP 409."""

    status = 409
    code = "not_in_control"


class DefinitionInvalid(DomainError):
    """A checklist or a runbook cannot be used; the message names each place and what is wrong there. HTTP 400."""

    code = "definition_invalid"

    def extra(self) -> dict[str, Any]:
        return {"errors": {"text": str(self).splitlines()}}


class ChecklistIncomplete(DomainError):
    """Items have no answer, or wait for a second person; nothing was done. HTTP 409."""

    status = 409
    code = "checklist_incomplete"

    def __init__(self, message: str, items: Sequence[str]) -> None:
        self.items = list(items)
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"items": self.items}


class OwnTick(OwnRequest):
    """Who ticked an item for two does not confirm it, too. HTTP 403."""

    def __init__(self, actor: Actor, permission: str, environment: str, challenge: str) -> None:
        super().__init__(actor, permission, environment)
        self.args = (f"You ticked “{challenge}” yourself; another person has to look and confirm it.",)
