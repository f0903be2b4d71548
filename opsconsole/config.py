"""Every setting that comes from outside, with its type, default and meaning.

Values are environment variables, or lines of the file named by ``OPSC_ENV_FILE``. A missing or wrong value
stops the program at start with a message that names it. ``docs/configuration.md`` is generated from this class.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


class Config(BaseSettings):
    """Settings of one OpsConsole installation."""

    model_config = SettingsConfigDict(env_prefix="OPSC_", extra="ignore", populate_by_name=True)

    secret_key: str = Field(
        min_length=32, description="Signs sessions and one-time links. At least 32 random characters."
    )
    database_url: str = Field(
        validation_alias="DATABASE_URL", description="PostgreSQL, as postgresql://user:password@host:port/name."
    )
    redis_url: str = Field(
        validation_alias="REDIS_URL", description="Valkey or Redis, as redis://:password@host:port/0. Only a doorbell."
    )
    host: str = Field(default="127.0.0.1", description="Address at which the web process is told to listen.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port at which the web process is told to listen.")
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=["127.0.0.1", "localhost"],
        description="Host names under which the console is reached, comma separated.",
    )
    https: bool = Field(default=True, description="The console is reached over HTTPS; cookies are then marked secure.")
    debug: bool = Field(default=False, description="Django's debug pages. Never on a reachable address.")
    var: Path = Field(default=ROOT / "var", description="Folder for data that the console keeps on disk.")
    target_hosts: Annotated[list[str], NoDecode] = Field(
        default=["127.0.0.1"], description="Hosts at which managed systems may be reached, comma separated."
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    failpoints: Path | None = Field(
        default=None, description="Folder of crash points for the chaos test; leave it unset anywhere else."
    )

    @field_validator("allowed_hosts", "target_hosts", mode="before")
    @classmethod
    def split_commas(cls, value: object) -> object:
        """A comma separated text is a list."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def load() -> Config:
    """The configuration of this process.

    Raises:
        SystemExit: a value is missing or wrong; the message names each one.
    """
    try:
        return Config(_env_file=os.environ.get("OPSC_ENV_FILE"))  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [f"  {_variable(problem['loc'][0])}: {problem['msg']}" for problem in error.errors()]
        raise SystemExit(
            "OpsConsole cannot start, these settings are missing or wrong:\n"
            + "\n".join(lines)
            + "\nSet them as environment variables or in the file named by OPSC_ENV_FILE (docs/configuration.md)."
        ) from None


def _variable(name: object) -> str:
    text = str(name)
    return text.upper() if text.isupper() or text in {"database_url", "redis_url"} else f"OPSC_{text.upper()}"
