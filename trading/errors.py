"""Domain errors: each says what is wrong, where, and what to do, and carries its HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.domain import DomainError
from accounts.errors import Forbidden
from audit.actors import Actor


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


class ChecksBlock(WrongState):
    """Checks stand against it; nothing was done. HTTP 409 with every reason."""

    def __init__(self, message: str, reasons: Sequence[dict[str, str]]) -> None:
        self.reasons = list(reasons)
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"reasons": self.reasons}


class NotWaiting(TradingError):
    """Somebody decided on the request before. HTTP 409."""

    status = 409
    code = "not_waiting"

    def __init__(self, message: str, state: str) -> None:
        self.state = state
        super().__init__(message)

    def extra(self) -> dict[str, Any]:
        return {"state": self.state}


class RequestExpired(TradingError):
    """The time of the request is over. HTTP 409."""

    status = 409
    code = "approval_expired"


class SubjectChanged(TradingError):
    """What leave was asked for is not what is now, or not what the approver saw. HTTP 409."""

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
        self.args = ("You asked for this; another person must decide.",)


class NotYours(Forbidden):
    """Somebody else asked for this; it can be rejected, not withdrawn. HTTP 403."""

    def __init__(self, actor: Actor, permission: str, environment: str, requested_by: str) -> None:
        super().__init__(actor, permission, "withdraw the request of somebody else", environment, requested_by)


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
