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
        if value is None:
            raise SecretMissing(f"environment variable {name} is not set; it is named by the reference {reference!r}")
        return value
    if kind == "file" and name:
        try:
            return Path(name).read_text().strip()
        except OSError as error:
            raise SecretMissing(f"cannot read {name}: {error.strerror}; it is named by the reference {reference!r}") from error
    raise SecretMissing(f"{reference!r} is no secret reference; write env:NAME or file:PATH")
