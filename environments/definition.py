"""The definition of a system: one YAML file that says what is operated, where, and how it is deployed to.

``demo/system.yaml`` is the commented example. ``${NAME}`` and ``${NAME:-default}`` are replaced from the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from environments.policy import Policy

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}")
_NAME = r"^[a-z][a-z0-9-]{0,58}$"
_Name = Annotated[str, Field(pattern=_NAME)]
_SlotName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,18}$")]
_ADDRESS = re.compile(r"unix:/.+|tcp:[^:]+:\d+")
_REFERENCE = re.compile(r"(env|file):.+")


class DefinitionError(Exception):
    """The file cannot be used; the message lists each place and what is wrong there."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise ValueError("write env:NAME or file:PATH, never the secret itself")
    return value


class InstanceDefinition(_Model):
    """One process of a slot."""

    name: str = Field(pattern=_NAME, description="Name in the supervisor and in the load balancer.")
    url: str = Field(description="Where it serves the ops contract.")
    token: str = Field(description="Secret reference of its bearer token: env:NAME or file:PATH.")

    @field_validator("url")
    @classmethod
    def is_http(cls, value: str) -> str:
        """An http address with host and port, nothing behind."""
        parts = urlsplit(value)
        more = parts.query or parts.fragment or parts.username or parts.path not in {"", "/"}
        if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.port or more:
            raise ValueError("write http://HOST:PORT")
        return value.rstrip("/")

    @field_validator("token")
    @classmethod
    def is_reference(cls, value: str) -> str:
        """A reference; the message does not repeat it, for it may be the secret itself."""
        return _reference(value)


class RouterDefinition(_Model):
    """How to reach the load balancer."""

    address: str = Field(description="Admin socket: unix:/path or tcp:host:port.")
    backend: str = Field(pattern=r"^[A-Za-z0-9_.:-]+$", description="Backend whose servers are the instances.")

    @field_validator("address")
    @classmethod
    def is_address(cls, value: str) -> str:
        """A Unix socket or a TCP port."""
        if not _ADDRESS.fullmatch(value):
            raise ValueError("write unix:/PATH or tcp:HOST:PORT")
        return value


class DriverDefinition(_Model):
    """How to reach the process supervisor."""

    socket: str = Field(description="Unix socket of supervisord.")
    root: str = Field(description="Folder that holds unpacked releases and the slots.")


class ExchangeDefinition(_Model):
    """The account that the trading system trades on, for the emergency stop and for acts by hand."""

    kind: Literal["hyperliquid"] = Field("hyperliquid", description="Which exchange it is.")
    url: str = Field(description="Address of the API; https://api.hyperliquid.xyz for the real one.")
    account: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$", description="Address of the account whose positions count.")
    vault: str = Field("", pattern=r"^(0x[0-9a-fA-F]{40})?$", description="Vault or sub-account to act for, if any.")
    key: str = Field(description="Secret reference of the console's own API wallet: env:NAME or file:PATH.")
    dead_man_seconds: int = Field(
        0, ge=0, le=3600, description="Above 0: keep the exchange's dead man's switch armed so many seconds ahead."
    )

    rechecks: tuple[Annotated[float, Field(gt=0, le=3600)], ...] = Field(
        default=(10.0, 30.0, 60.0),
        min_length=1,
        max_length=10,
        description="Seconds after FLAT at which an emergency stop looks again; it can be released after the last.",
    )

    @field_validator("rechecks")
    @classmethod
    def is_rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        """Each is later than the one before."""
        if list(value) != sorted(set(value)):
            raise ValueError("write them in rising order, for example [10, 30, 60]")
        return value

    @field_validator("key")
    @classmethod
    def is_reference(cls, value: str) -> str:
        """A reference; the message does not repeat it, for it may be the secret itself."""
        return _reference(value)

    @field_validator("dead_man_seconds")
    @classmethod
    def is_far_enough(cls, value: int) -> int:
        """The exchange refuses a time that is nearer than five seconds."""
        if 0 < value < 15:
            raise ValueError("write 0 (off) or at least 15, so that a short interruption does not cancel every order")
        return value


class DatabaseDefinition(_Model):
    """The trading system's own database, for backup, verification and restore."""

    url: str = Field(description="Secret reference of its address (postgresql://…): env:NAME or file:PATH.")
    schema_name: str = Field(
        "public", alias="schema", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="Schema that holds the book."
    )
    folder: str = Field(description="Folder for the backups, on a disk other than the database's.")
    keep: int = Field(20, ge=2, le=1000, description="So many backups are kept; the oldest ones beyond it are removed.")
    backup: tuple[str, ...] = Field((), description="Own command, as a list; {url}, {schema}, {file} are replaced.")
    verify: tuple[str, ...] = Field((), description="Own command; default: a restore into a database of its own.")
    restore: tuple[str, ...] = Field((), description="Own command.")

    @field_validator("url")
    @classmethod
    def is_reference(cls, value: str) -> str:
        """A reference; the message does not repeat it, for it may be the secret itself."""
        return _reference(value)


class CalendarDefinition(_Model):
    """Which days are trading days; checklists that follow them are expected on these only."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), min_length=1, description="Days of the week."
    )
    holidays: tuple[date, ...] = Field(default=(), description="Days without trading: 2026-12-25, …")


class EnvironmentDefinition(_Model):
    """One environment with its two slots."""

    kind: Literal["production", "staging", "development"]
    front: str = Field(description="Where the outside reaches the service.")
    router: RouterDefinition
    driver: DriverDefinition
    policy: Policy = Field(default_factory=Policy)
    exchange: ExchangeDefinition | None = Field(None, description="Needed by the kill switch and acts by hand.")
    database: DatabaseDefinition | None = Field(None, description="Needed to back up and restore from here.")
    timezone: str = Field("UTC", description="Time zone of its checklists, for example Europe/London.")
    calendar: CalendarDefinition = Field(CalendarDefinition(), description="Trading days.")
    slots: dict[_SlotName, tuple[InstanceDefinition, ...]] = Field(min_length=2, max_length=2)

    @field_validator("timezone")
    @classmethod
    def is_timezone(cls, value: str) -> str:
        """A name of the time zone database."""
        if value not in available_timezones():
            raise ValueError("write a name of the time zone database, for example UTC or Europe/London")
        return value

    @model_validator(mode="after")
    def has_instances(self) -> EnvironmentDefinition:
        """Each slot has at least one instance."""
        empty = [name for name, instances in self.slots.items() if not instances]
        if empty:
            raise ValueError(f"slot {', '.join(empty)} has no instance")
        return self


class SystemDefinition(_Model):
    """A service and its environments, in the order in which they are shown."""

    service: str = Field(pattern=_NAME)
    environments: dict[_Name, EnvironmentDefinition] = Field(min_length=1)

    @model_validator(mode="after")
    def names_are_unique(self) -> SystemDefinition:
        """An instance name occurs once in the whole system."""
        names = self.instance_names()
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"instance names used twice: {', '.join(twice)}")
        return self

    def hosts(self) -> set[str]:
        """Every host at which an instance is reached."""
        return {
            urlsplit(instance.url).hostname or ""
            for environment in self.environments.values()
            for slot in environment.slots.values()
            for instance in slot
        }

    def instance_names(self) -> list[str]:
        """The name of every instance, in the order of the file."""
        return [one.name for env in self.environments.values() for slot in env.slots.values() for one in slot]


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in every text of a loaded YAML document.

    Raises:
        DefinitionError: a variable without default is not set.
    """
    if isinstance(value, dict):
        return {key: expand(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = variables.get(name, default)
        if found is None:
            raise DefinitionError(f"{value!r} needs the environment variable {name}, which is not set")
        return found

    return _VARIABLE.sub(one, value)


def load(path: Path, allowed_hosts: set[str], variables: Mapping[str, str] | None = None) -> SystemDefinition:
    """Read and validate a definition file.

    Raises:
        DefinitionError: the file is missing, no YAML, not valid, or names a host outside OPSC_TARGET_HOSTS.
    """
    try:
        document = yaml.load(path.read_text(), yaml.CSafeLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise DefinitionError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"{path} is not valid YAML: {error}") from error
    try:
        expanded = expand(document, os.environ if variables is None else variables)
    except DefinitionError as error:
        raise DefinitionError(f"{path}: {error}") from error
    try:
        definition = SystemDefinition.model_validate(expanded)
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors()]
        raise DefinitionError(f"{path} is not a valid system definition:\n" + "\n".join(problems)) from error
    foreign = definition.hosts() - allowed_hosts
    if foreign:
        raise DefinitionError(
            f"{path} names hosts that are not allowed: {', '.join(sorted(foreign))}. Add them to OPSC_TARGET_HOSTS."
        )
    return definition
