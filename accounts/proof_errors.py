"""Refusals because of what was, or was not, shown to prove who acts."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied


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
