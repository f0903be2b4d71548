"""Domain errors: each says what is wrong, where, and what to do, and carries its HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.domain import DomainError
from accounts.errors import Forbidden
from audit.actors import Actor


class DeploymentError(DomainError):
    """Base of the errors of this app."""


class NotFound(DeploymentError):
    """A named thing does not exist or may not be seen. HTTP 404."""

    status = 404
    code = "not_found"


class InvalidRequest(DeploymentError):
    """A field of the request is missing or wrong. HTTP 400."""

    status = 400
    code = "invalid_request"

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"errors": {self.field: [str(self)]}}


class Blocked(DeploymentError):
    """Another deployment of the environment is not finished. HTTP 409."""

    status = 409
    code = "deployment_in_progress"

    def __init__(self, message: str, blocking_id: int | None) -> None:
        self.blocking_id = blocking_id
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"blocking_deployment": self.blocking_id}


class WrongState(DeploymentError):
    """The act does not fit the deployment's status; nothing was done. HTTP 409."""

    status = 409
    code = "wrong_state"

    def __init__(self, message: str, current: str) -> None:
        self.current = current
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"current_status": self.current}


class PreflightFailed(DeploymentError):
    """Checks before the start block it. HTTP 422 with every reason."""

    status = 422
    code = "preflight_failed"

    def __init__(self, reasons: Sequence[dict[str, str]]) -> None:
        self.reasons = list(reasons)
        super().__init__("The deployment cannot start: " + " ".join(reason["reason"] for reason in self.reasons))

    def extra(self) -> dict[str, Any]:
        return {"reasons": self.reasons}


class ReleaseExists(DeploymentError):
    """A release is immutable; this version is already registered. HTTP 409."""

    status = 409
    code = "release_exists"


class NotWaiting(DeploymentError):
    """Somebody decided on the request before. HTTP 409."""

    status = 409
    code = "not_waiting"

    def __init__(self, message: str, state: str) -> None:
        self.state = state
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"state": self.state}


class ApprovalExpired(DeploymentError):
    """The time of the request is over. HTTP 409."""

    status = 409
    code = "approval_expired"


class SubjectChanged(DeploymentError):
    """What would happen is not what was asked for, or not what the approver saw. HTTP 409."""

    status = 409
    code = "subject_changed"

    def __init__(self, message: str, changes: Sequence[dict[str, Any]]) -> None:
        self.changes = list(changes)
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"changes": self.changes}


class OwnRequest(Forbidden):
    """The actor asked for this, so somebody else must decide. HTTP 403."""

    code = "own_request"

    def __init__(self, actor: Actor, permission: str, environment: str) -> None:
        super().__init__(actor, permission, "decide on an own request", environment, "another person")
        self.args = ("You asked for this; another person must approve.",)


class NotYours(Forbidden):
    """Somebody else asked for this; it can be rejected, not withdrawn. HTTP 403."""

    def __init__(self, actor: Actor, permission: str, environment: str, requested_by: str) -> None:
        super().__init__(actor, permission, "withdraw the request of somebody else", environment, requested_by)
