"""The base of every app's errors."""

from __future__ import annotations

from typing import Any


class DomainError(Exception):
    """What a person or a script can act on; ``status`` is the HTTP status, ``code`` a stable name for scripts."""

    status = 400
    code = "invalid_request"

    def extra(self) -> dict[str, Any]:
        """Further members of the problem+json answer."""
        return {}
