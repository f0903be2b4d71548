"""What the process is told from outside: environment variables, and the release it was packed into."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .signing import Signer

ROOT = Path(__file__).resolve().parent.parent
SCOPES = frozenset({"read", "operate", "emergency"})


class SettingsError(Exception):
    """The process cannot start as configured; the text names the variable or file and what to do."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Defects of a release. Ratios are fractions; times are seconds after the instance became ACTIVE."""

    error_rate: float = 0.0
    latency_factor: float = 1.0
    exit_after: float | None = None
    hang_after: float | None = None
    double_fill_after: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The release this process runs: version, commit and time of release, read from release.json of the artifact."""

    version: str
    commit: str
    released_at: str
    faults: Faults = field(default_factory=Faults)

    @property
    def release_id(self) -> str:
        """Version and short commit, e.g. `v1.2.5+3f2a…`."""
        return f"{self.version}+{self.commit[:12]}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of one instance. `tokens` maps a bearer token to its scopes."""

    instance: str
    environment: str
    port: int
    state_dir: Path
    exchange_url: str
    exchange_account: str
    exchange_signer: Signer
    database_url_file: Path
    tokens: Mapping[str, frozenset[str]]
    default_config: Path
    config: Path | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the OPSC_* variables. Raises SettingsError naming the first that is missing or wrong."""
    state_dir = Path(_required(environ, "OPSC_STATE_DIR"))
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"OPSC_STATE_DIR: {state_dir} cannot be made: {error.strerror}") from error
    if not os.access(state_dir, os.W_OK):
        raise SettingsError(f"OPSC_STATE_DIR: {state_dir} cannot be written; the epoch is kept there")
    config = environ.get("OPSC_CONFIG")
    return Settings(
        instance=_required(environ, "OPSC_INSTANCE"),
        environment=_required(environ, "OPSC_ENVIRONMENT"),
        port=_port(_required(environ, "OPSC_PORT")),
        state_dir=state_dir,
        exchange_url=_required(environ, "OPSC_EXCHANGE_URL").rstrip("/"),
        exchange_account=_required(environ, "OPSC_EXCHANGE_ACCOUNT").lower(),
        exchange_signer=_signer(Path(_required(environ, "OPSC_EXCHANGE_KEY_FILE"))),
        database_url_file=Path(_required(environ, "OPSC_DATABASE_URL_FILE")),
        tokens=read_tokens(Path(_required(environ, "OPSC_TOKEN_FILE"))),
        default_config=ROOT / "config.yaml",
        config=Path(config) if config else None,
    )


def read_tokens(path: Path) -> dict[str, frozenset[str]]:
    """Reads the token file: one token a line, optionally followed by its scopes (`read,operate`), else it has all."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SettingsError(f"OPSC_TOKEN_FILE: {path} cannot be read: {error.strerror}") from error
    tokens = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        scopes = frozenset(words[1].split(",")) if len(words) > 1 else SCOPES
        if not scopes <= SCOPES:
            raise SettingsError(f"OPSC_TOKEN_FILE: {path} line {number}: scopes are {', '.join(sorted(SCOPES))}")
        tokens[words[0]] = scopes
    if not tokens:
        raise SettingsError(f"OPSC_TOKEN_FILE: {path} holds no token")
    return tokens


def read_release(path: Path = ROOT / "release.json") -> Release:
    """Reads release.json. Raises SettingsError."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        return Release(raw["version"], raw["commit"], raw["released_at"], Faults(**raw.get("faults", {})))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; start from an unpacked release") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is not a release description: {error!r}") from error


def _signer(path: Path) -> Signer:
    try:
        return Signer(path.read_text().strip())
    except OSError as error:
        raise SettingsError(f"OPSC_EXCHANGE_KEY_FILE: {path} cannot be read: {error.strerror}") from error
    except ValueError:
        # Without the library's words, which may repeat the key.
        raise SettingsError(f"OPSC_EXCHANGE_KEY_FILE: {path} holds no private key in hex") from None


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise SettingsError(f"{name} is not set; the trading system cannot start without it")
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise SettingsError(f"OPSC_PORT: {text!r} is not a port (0 to 65535)")
    return int(text)
