"""The kept sign-in of each console: one file a console, readable by its owner only, replaced in one stroke."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opsctl.config import folder

EARLY = timedelta(seconds=20)
"""A token that ends so soon is not used any more: the request would be on its way when it ends."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A command line sign-in: the token, and how to get the next one."""

    url: str
    token: str
    expires_at: str
    user: str
    fingerprint: str
    """Of the SSH key that signed."""
    key: str = ""
    """File of that key; empty when it is known to the agent only."""
    scopes: list[str] | None = None
    environments: list[str] | None = None
    kind: str = field(default="ssh")

    def is_usable(self, now: datetime | None = None) -> bool:
        """Whether the token holds for some more seconds."""
        return ends_at(self.expires_at) > (now or datetime.now(UTC)) + EARLY


def ends_at(text: str) -> datetime:
    """A moment as the API writes it; long ago when it cannot be read."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Store:
    """Where sign-ins are kept: ``opsctl`` below ``XDG_STATE_HOME`` (``~/.local/state``)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = folder(environ, "XDG_STATE_HOME", ".local/state")

    def path(self, url: str) -> Path:
        """The file of one console."""
        return self.folder / f"sign-in-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    def load(self, url: str) -> SignIn | None:
        """The kept sign-in of a console, also one that ran out; None without one."""
        try:
            data: dict[str, Any] = json.loads(self.path(url).read_text(encoding="utf-8"))
            known = {member.name for member in fields(SignIn)}
            found = SignIn(**{name: value for name, value in data.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return found if found.url == url else None

    def save(self, sign_in: SignIn) -> None:
        """Keep a sign-in, and remember its console as the last one. Raises OSError."""
        self._write(self.path(sign_in.url), json.dumps(asdict(sign_in)) + "\n")
        self._write(self.folder / "last", sign_in.url + "\n")

    def forget(self, url: str) -> bool:
        """Remove the sign-in of a console; whether there was one."""
        try:
            self.path(url).unlink()
        except OSError:
            return False
        return True

    def last_url(self) -> str:
        """The console of the last sign-in; empty without one."""
        try:
            return (self.folder / "last").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _write(self, path: Path, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")  # mode 600 from the beginning
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise
