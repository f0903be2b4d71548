"""What a person or a script can act on. HTTP statuses are mapped once, in ``opsconsole/api.py``."""

from __future__ import annotations

from accounts.domain import DomainError


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
