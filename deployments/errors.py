"""Domain errors: each says what is wrong, where, and what to do, and carries its HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DeploymentError(Exception):
    """Base of the errors of this app; ``status`` is the HTTP status, ``code`` a stable name for scripts."""

    status = 400
    code = "deployment_error"

    def extra(self) -> dict[str, Any]:
        """Further members of the problem+json answer."""
        return {}


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
