"""Domain errors of alerts."""

from __future__ import annotations

from accounts.domain import DomainError


class BecameCritical(DomainError):
    """What was seen was a warning, what is there now is worse; nothing was done. HTTP 409."""

    status = 409
    code = "wrong_state"
