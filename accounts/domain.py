"""The base of every app's errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DomainError(Exception):
    """What a person or a script can act on; ``status`` is the HTTP status, ``code`` a stable name for scripts."""

    status = 400
    code = "invalid_request"

    def extra(self) -> dict[str, Any]:
        """Further members of the problem+json answer."""
        return {}


class NotFound(DomainError):
    """A named thing does not exist or may not be seen. HTTP 404."""

    status = 404
    code = "not_found"


class InvalidRequest(DomainError):
    """A field of the request is missing or wrong. HTTP 400."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"errors": {self.field: [str(self)]}}


class NotWaiting(DomainError):
    """Somebody decided on the request before. HTTP 409."""

    status = 409
    code = "not_waiting"

    def __init__(self, message: str, state: str) -> None:
        self.state = state
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"state": self.state}


class RequestExpired(DomainError):
    """The time of the request is over. HTTP 409."""

    status = 409
    code = "approval_expired"


class SubjectChanged(DomainError):
    """What was asked for is not what would happen now, or not what the approver saw. HTTP 409."""

    status = 409
    code = "subject_changed"

    def __init__(self, message: str, changes: Sequence[dict[str, Any]]) -> None:
        self.changes = list(changes)
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"changes": self.changes}
