"""The frame of every use case: one transaction, and a record of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import transaction

from accounts import denials
from accounts.errors import Forbidden

P = ParamSpec("P")
R = TypeVar("R")


def use_case(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function of an ``actions.py`` in one transaction; a denial is audited after the rollback."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with transaction.atomic():
                return function(*args, **kwargs)
        except Forbidden as error:
            denials.note(error, f"{function.__module__}.{function.__name__}")
            raise

    return wrapper
