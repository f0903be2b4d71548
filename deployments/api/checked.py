"""Checking what came in, once for every view of the API."""

from __future__ import annotations

from typing import TypeVar

from rest_framework import serializers

S = TypeVar("S", bound=serializers.BaseSerializer)  # type: ignore[type-arg]


def checked(serializer: S) -> S:
    """The serializer, its data valid.

    Raises:
        rest_framework.exceptions.ValidationError: it is not; each wrong field is named.
    """
    serializer.is_valid(raise_exception=True)
    return serializer
