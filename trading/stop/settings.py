"""What an emergency stop needs to know, in a file that was written beforehand: it works with everything else dead.

The file holds no secret, only references to secrets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trading.stop.files import write_json

NAME = "settings.json"
PRODUCTION = "production"
RECHECKS = (10.0, 30.0, 60.0)
"""Where a file of an earlier version does not say it."""


class SettingsError(Exception):
    """The file cannot be used; the message names it and says what is wrong there."""


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """One process of the trading system. ``url``: http://HOST:PORT of its ops contract; ``token_ref``: a reference."""

    name: str
    slot: str
    url: str
    token_ref: str


@dataclass(frozen=True, slots=True)
class StopSettings:
    """One environment, as its stop sees it.

    kind: production, staging or development. folder: of its latch, snapshot, lock and journals. exchange: as
    ``Environment.exchange``. driver: ``socket`` and ``root`` of the supervisor, empty when there is none.
    """

    environment: str
    kind: str
    folder: Path
    exchange: dict[str, Any]
    instances: tuple[InstanceSettings, ...] = ()
    driver: dict[str, str] = field(default_factory=dict)

    @property
    def rechecks(self) -> tuple[float, ...]:
        """Seconds after FLAT at which the exchange is read again."""
        return tuple(float(seconds) for seconds in self.exchange.get("rechecks", RECHECKS))

    @property
    def latch_path(self) -> Path:
        """The latch: while it is there, nothing may start trading."""
        return self.folder / "latch.json"

    @property
    def snapshot_path(self) -> Path:
        """The warm snapshot of the exchange."""
        return self.folder / "snapshot.json"

    @property
    def lock_path(self) -> Path:
        """Locked by the process that runs the stop."""
        return self.folder / "running.lock"

    def journal_path(self, stop_id: str) -> Path:
        """The journal of one stop."""
        return self.folder / f"{stop_id}.jsonl"


def write(path: Path, settings: StopSettings) -> None:
    """Write the file (mode 600) at once as a whole. Raises OSError."""
    instances = [
        {"name": one.name, "slot": one.slot, "url": one.url, "token": one.token_ref} for one in settings.instances
    ]
    document = {
        "environment": settings.environment,
        "kind": settings.kind,
        "folder": str(settings.folder),
        "exchange": settings.exchange,
        "instances": instances,
        "driver": settings.driver,
    }
    write_json(path, document)


def read(path: Path) -> StopSettings:
    """The settings in a file.

    Raises:
        SettingsError: it is missing, or not as it must be.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    try:
        settings = _from(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} lacks something, or has it in another form: {error!r}") from error
    if not settings.environment or not settings.folder.is_absolute():
        raise SettingsError(f"{path}: environment must be named, and folder must be an absolute path")
    return settings


def _from(document: Any) -> StopSettings:
    instances = tuple(
        InstanceSettings(str(one["name"]), str(one["slot"]), str(one["url"]), str(one["token"]))
        for one in document["instances"]
    )
    return StopSettings(
        environment=str(document["environment"]),
        kind=str(document["kind"]),
        folder=Path(document["folder"]),
        exchange=dict(document["exchange"]),
        instances=instances,
        driver={str(name): str(value) for name, value in document["driver"].items()},
    )
