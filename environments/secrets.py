"""Secrets by reference: the inventory holds ``env:NAME`` or ``file:PATH``, never the secret."""

from __future__ import annotations

import os
from pathlib import Path


class SecretMissing(Exception):
    """A reference leads nowhere; the message names it."""


def resolve(reference: str) -> str:
    """The secret behind a reference.

    Raises:
        SecretMissing: the variable or the file does not exist, or the reference has another form.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name)
        if not value:
            raise SecretMissing(f"environment variable {name} is not set; it is named by the reference {reference!r}")
        return value
    if kind == "file" and name:
        try:
            value = Path(name).read_text().strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text file"
            raise SecretMissing(f"cannot read {name}: {why}; it is named by the reference {reference!r}") from error
        if not value:
            raise SecretMissing(f"{name} is empty; it is named by the reference {reference!r}")
        return value
    # Not repeated here: it may be the secret itself.
    raise SecretMissing("what the inventory holds is no secret reference; write env:NAME or file:PATH")
