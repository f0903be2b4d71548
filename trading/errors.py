"""Domain errors: each says what is wrong, where, and what to do, and carries its HTTP status."""

from __future__ import annotations

from typing import Any

from accounts.domain import DomainError


class TradingError(DomainError):
    """Base of the errors of this app."""


class NotFound(TradingError):
    """A named thing does not exist or may not be seen. HTTP 404."""

    status = 404
    code = "not_found"


class InvalidRequest(TradingError):
    """A field of the request is missing or wrong. HTTP 400."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"errors": {self.field: [str(self)]}}


class WrongState(TradingError):
    """The state of things does not permit this; nothing was done. HTTP 409."""

    status = 409
    code = "wrong_state"


class Latched(TradingError):
    """The kill switch is engaged; this is refused until it is released. HTTP 409."""

    status = 409
    code = "latched"


class NotConfigured(TradingError):
    """The environment's definition lacks what this needs (``exchange`` or ``database``). HTTP 409."""

    status = 409
    code = "not_configured"


class Unreachable(TradingError):
    """The trading system or the exchange did not answer; whether something was done is said in the text. HTTP 502."""

    status = 502
    code = "unreachable"
