"""Refusals that concern who acts."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied

from audit.actors import Actor


class Forbidden(Exception):
    """The actor lacks a permission on an object. HTTP 403; the message says who can do it."""

    code = "forbidden"

    def __init__(self, actor: Actor, permission: str, words: str, environment: str, who_can: str) -> None:
        self.actor, self.permission, self.environment = actor, permission, environment
        role = actor.role or "no role"
        where = f" ({environment})" if environment else ""
        super().__init__(f"{actor.name} ({role}) may not {words}{where}. It takes: {who_can}.")


class InsufficientScope(Forbidden):
    """The person may do it, but the API key that was sent may not. HTTP 403; the message names the scope."""

    code = "insufficient_scope"

    def __init__(self, actor: Actor, permission: str, words: str, environment: str, who_can: str = "") -> None:
        who = who_can or f"an API key with the scope {permission!r} that reaches {environment or 'every environment'}"
        super().__init__(actor, permission, f"{words} with this API key", environment, who)


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


class LastAdmin(Exception):
    """Nobody would be Admin any more, so nobody could change that again. HTTP 409."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the last active Admin. Make somebody else Admin first. Nothing was changed.")


class KeyStateError(Exception):
    """What was asked for does not go with the state of the key, say rotating a revoked one. HTTP 409."""


class SignInRefused(Exception):
    """A sign-in that failed. HTTP 401; ``code`` tells programs why, the message tells people what to do."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class TooManyAttempts(Exception):
    """Signing in failed too often. HTTP 429; ``wait`` says in how many seconds it may be tried again."""

    def __init__(self, wait: int) -> None:
        self.wait = wait
        super().__init__(f"Too many failed attempts. Nothing was done; try again in {wait} s.")


class IdempotencyConflict(Exception):
    """The same Idempotency-Key was used before for a different request. HTTP 422."""


class ProofError(PermissionDenied):
    """What was shown does not prove enough about who acts. HTTP 403; ``code`` names the kind for scripts."""

    code = "forbidden"


class SecondFactorRequired(ProofError):
    """The session, or the owner of the API key, has no second factor."""

    code = "second_factor_required"


class StepUpRequired(ProofError):
    """A dangerous act takes a fresh proof (interface, level L3), and none was sent."""

    code = "step_up_required"


class StepUpFailed(ProofError):
    """The fresh proof is wrong, used, too old, or for another act."""

    code = "step_up_failed"
