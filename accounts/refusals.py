"""Sign-ins that fail: counted against the address, and audited without what was given."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.db import transaction

import accounts.audit  # noqa: F401  registers the action names
from accounts import rate_limit
from accounts.actors import from_visitor
from accounts.errors import SignInRefused
from accounts.models import User
from audit.actions import record
from audit.models import Outcome


@transaction.atomic
def note(request: Any, method: str, error: SignInRefused, user: User | None = None) -> None:
    """Count and record one failure.

    Args:
        method: how it was tried, a word of ``sessions.METHOD_WORDS``.
        user: whose it was, when that is known.
    """
    rate_limit.fail(rate_limit.address_of(request))
    record(
        dataclasses.replace(from_visitor(request), via="login" if method == "ssh" else "session"),
        "account.sign_in_failed",
        user,
        outcome=Outcome.FAILED,
        reason=str(error),
        after={"how": method, "code": error.code},
    )
