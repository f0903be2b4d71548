"""Every setting that comes from outside, with its type, default and meaning.

Values are environment variables, or lines of the file named by ``OPSC_ENV_FILE``. A missing or wrong value
stops the program at start with a message that names it. ``docs/configuration.md`` is generated from this class.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


class Config(BaseSettings):
    """Settings of one OpsConsole installation."""

    model_config = SettingsConfigDict(env_prefix="OPSC_", extra="ignore", populate_by_name=True)

    secret_key: str = Field(
        min_length=32, description="Signs sessions and one-time links. At least 32 random characters."
    )
    secret_key_fallbacks: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Earlier secret keys, comma separated; sessions and authenticator apps from then go on working.",
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
    origin: str = Field(
        default="",
        description="Address at which people open the console, as https://ops.example.com; passkeys work there only. "
        "By default it is made from OPSC_ALLOWED_HOSTS (the first that is no IP address), OPSC_HTTPS and OPSC_PORT.",
    )
    https: bool = Field(default=True, description="The console is reached over HTTPS; cookies are then marked secure.")
    debug: bool = Field(default=False, description="Django's debug pages. Never on a reachable address.")
    var: Path = Field(default=ROOT / "var", description="Folder for data that the console keeps on disk.")
    target_hosts: Annotated[list[str], NoDecode] = Field(
        default=["127.0.0.1"], description="Hosts at which managed systems may be reached, comma separated."
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    database_admin_url: str = Field(
        default="",
        validation_alias="DATABASE_ADMIN_URL",
        description="PostgreSQL as an administrator, for `manage.py protect_audit` only: give it to that command and "
        "to nothing else.",
    )
    audit_signing_key: Path | None = Field(
        default=None,
        description="File of the Ed25519 key that signs the audit trail's checkpoints, made at first use. By default "
        "`audit/signing_key.pem` below `OPSC_VAR`.",
    )
    audit_checkpoints: Path | None = Field(
        default=None,
        description="File that keeps a copy of every checkpoint outside the database. By default "
        "`audit/checkpoints.jsonl` below `OPSC_VAR`.",
    )
    audit_copy_command: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Program (absolute path) and its arguments, as on a command line, that gets each checkpoint on its "
        "standard input to keep it elsewhere, for example in object storage. No shell; it has 10 seconds.",
    )
    oidc_issuer: str = Field(
        default="",
        description="OpenID provider for single sign-on, such as https://login.example.com/realm; empty for none. Its "
        "redirect address is `/login/oidc/callback/` of this console.",
    )
    oidc_client_id: str = Field(
        default="", validate_default=True, description="Under which name the provider knows this console."
    )
    oidc_client_secret: str = Field(
        default="", description="Where the client's secret is: `env:NAME` or `file:PATH`; empty for a public client."
    )
    oidc_label: str = Field(default="single sign-on", description='What the button says after "Sign in with".')
    oidc_username_claim: str = Field(
        default="preferred_username",
        description="Claim of the ID token that holds the user name here. Only people who exist here enter.",
    )
    oidc_strong_amr: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Values of the claims `amr` and `acr` that stand for a second factor, comma separated, such as "
        "`mfa,hwk`. By default none: the second factor is asked for here.",
    )
    alert_channels: Path | None = Field(
        default=None,
        description="YAML file of the channels on which alerts go out, see below. Without it they are shown on the "
        "pages only. It is read again when it changes.",
    )
    runbooks: Annotated[list[Path], NoDecode] = Field(
        default=[],
        description="Folders of your own runbooks (Markdown, see `runbooks/library/README.md`), comma separated. A "
        "file replaces the runbook of the same slug that comes with the console; it is read again when it changes. "
        "Their diagnostic commands run as the console's user, so let nobody else write there.",
    )
    failpoints: Path | None = Field(
        default=None, description="Folder of crash points for the chaos test; leave it unset anywhere else."
    )

    @field_validator(
        "allowed_hosts", "target_hosts", "secret_key_fallbacks", "oidc_strong_amr", "runbooks", mode="before"
    )
    @classmethod
    def split_commas(cls, value: object) -> object:
        """A comma separated text is a list."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("audit_copy_command", mode="before")
    @classmethod
    def split_words(cls, value: object) -> object:
        """A command line is a list of words."""
        return shlex.split(value) if isinstance(value, str) else value

    @field_validator("audit_copy_command")
    @classmethod
    def is_absolute(cls, value: list[str]) -> list[str]:
        """The program is named by its whole path, so that no search path decides what runs."""
        if value and not Path(value[0]).is_absolute():
            raise ValueError("begin it with the absolute path of the program")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def is_https(cls, value: str) -> str:
        """A provider is reached over HTTPS; plain HTTP on this machine is for trying out."""
        found = urlsplit(value)
        if value and found.scheme != "https" and not (found.scheme == "http" and found.hostname in LOOPBACK_HOSTS):
            raise ValueError("write it as https://host/path; plain http works on this machine only")
        if found.query or found.fragment:
            raise ValueError("an issuer has no query and no fragment")
        return value

    @field_validator("oidc_client_id")
    @classmethod
    def is_named(cls, value: str, info: ValidationInfo) -> str:
        """A provider cannot be asked without the client's name."""
        if info.data.get("oidc_issuer") and not value:
            raise ValueError("has to be set when OPSC_OIDC_ISSUER is")
        return value

    @field_validator("origin")
    @classmethod
    def is_origin(cls, value: str) -> str:
        """Scheme and host, perhaps a port, and nothing behind it."""
        found = urlsplit(value)
        if value and (found.scheme not in {"http", "https"} or not found.hostname or found.path.strip("/")):
            raise ValueError("write it as https://host or https://host:port, without a path")
        return value.rstrip("/").lower()

    @property
    def public_origin(self) -> str:
        """The address at which people open the console, without a slash at the end."""
        if self.origin:
            return self.origin
        names = [host.lstrip(".") for host in self.allowed_hosts if host != "*"]
        host = next((name for name in names if not _is_address(name)), names[0] if names else "localhost")
        return f"https://{host}" if self.https else f"http://{host}:{self.port}"


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


def _is_address(host: str) -> bool:
    """Whether a host is an IP address, at which passkeys cannot work."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _variable(name: object) -> str:
    text = str(name)
    return text.upper() if text.isupper() or text in {"database_url", "redis_url"} else f"OPSC_{text.upper()}"
