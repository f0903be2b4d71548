"""Domain errors of alerts."""

from __future__ import annotations

from typing import Any

from accounts.domain import DomainError


class NotFound(DomainError):
    """There is no such alert, or it may not be seen. HTTP 404."""

    status = 404
    code = "not_found"


class InvalidRequest(DomainError):
    """A field of the request is missing or wrong. HTTP 400."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"errors": {self.field: [str(self)]}}


class BecameCritical(DomainError):
    """What was seen was a warning, what is there now is worse; nothing was done. HTTP 409."""

    status = 409
    code = "wrong_state"
