"""Domain errors: each says what is wrong, where, and what to do, and carries its HTTP status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.domain import DomainError


class Blocked(DomainError):
    """Another deployment of the environment is not finished. HTTP 409."""

    status = 409
    code = "deployment_in_progress"

    def __init__(self, message: str, blocking_id: int | None) -> None:
        self.blocking_id = blocking_id
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"blocking_deployment": self.blocking_id}


class WrongState(DomainError):
    """The act does not fit the deployment's status; nothing was done. HTTP 409."""

    status = 409
    code = "wrong_state"

    def __init__(self, message: str, current: str) -> None:
        self.current = current
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"current_status": self.current}


class PreflightFailed(DomainError):
    """Checks before the start block it. HTTP 422 with every reason."""

    status = 422
    code = "preflight_failed"

    def __init__(self, reasons: Sequence[dict[str, Any]]) -> None:
        self.reasons = list(reasons)
        super().__init__("The deployment cannot start: " + " ".join(reason["reason"] for reason in self.reasons))

    def extra(self) -> dict[str, Any]:
        return {"reasons": self.reasons}


class ReleaseExists(DomainError):
    """A release is immutable; this version is already registered. HTTP 409."""

    status = 409
    code = "release_exists"


class FreezeOver(DomainError):
    """The freeze was lifted before, or its time is over; nothing was done. HTTP 409."""

    status = 409
    code = "freeze_over"


class ReportChanged(DomainError):
    """Somebody changed the rollback report since it was read; nothing was done. HTTP 409."""

    status = 409
    code = "report_changed"

    def __init__(self, message: str, revision: int) -> None:
        self.revision = revision
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"revision": self.revision}


class ReportIncomplete(DomainError):
    """Questions of a rollback report have no answer; each is named. HTTP 400."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__(" ".join(self.errors.values()))

    def extra(self) -> dict[str, Any]:
        return {"errors": {name: [text] for name, text in self.errors.items()}}
