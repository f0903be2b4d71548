"""The frame of every use case: one transaction, and a record of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import transaction

from accounts.errors import Forbidden
from audit.actions import record
from audit.models import Outcome
from audit.registry import register

P = ParamSpec("P")
R = TypeVar("R")

register(access__denied="Access denied")


def use_case(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function of an ``actions.py`` in one transaction; a denial is audited after the rollback."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with transaction.atomic():
                return function(*args, **kwargs)
        except Forbidden as error:
            with transaction.atomic():
                record(
                    error.actor,
                    "access.denied",
                    environment=error.environment,
                    outcome=Outcome.DENIED,
                    reason=str(error),
                    after={"permission": error.permission, "act": f"{function.__module__}.{function.__name__}"},
                )
            raise

    return wrapper
