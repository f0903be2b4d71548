"""Domain errors: each says what is wrong, where, and what to do, and carries its HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.domain import DomainError


class WrongState(DomainError):
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


class Latched(DomainError):
    """The kill switch is engaged; this is refused until it is released. HTTP 409."""

    status = 409
    code = "latched"


class NotConfigured(DomainError):
    """The environment's definition lacks what this needs (``exchange`` or ``database``). HTTP 409."""

    status = 409
    code = "not_configured"


class Unreachable(DomainError):
    """The trading system or the exchange did not answer; whether something was done is said in the text. HTTP 502."""

    status = 502
    code = "unreachable"
