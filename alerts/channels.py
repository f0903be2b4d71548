"""The channels on which alerts go out: one YAML file, named by ``OPSC_ALERT_CHANNELS``.

``demo/alert-channels.yaml`` is the commented example. Addresses and signing keys are secret references, never secrets.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from alerts.models import Alert
from environments.definition import DefinitionError, expand
from environments.secrets import SecretMissing, resolve

DELIVERY = "delivery"
"""Kind of the alerts about channels that fail. They go out on no channel: that would never end."""
SHORTEST_KEY = 16
_REFERENCE = re.compile(r"(env|file):.+")
Severity = Literal["critical", "warning"]


class ChannelsError(Exception):
    """The file cannot be used; the message lists each place and what is wrong there."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Repeat(_Model):
    """After how many seconds an alert that nobody has acknowledged is sent again."""

    critical: int = Field(default=300, ge=0, le=86_400, description="A critical one; 0 sends it once only.")
    warning: int = Field(default=3600, ge=0, le=86_400, description="A warning; 0 sends it once only.")

    @field_validator("critical", "warning")
    @classmethod
    def is_bearable(cls, value: int) -> int:
        """Nobody reads a channel that says the same every few seconds."""
        if 0 < value < 30:
            raise ValueError("write 0 (once only) or at least 30 seconds")
        return value


class Channel(_Model):
    """One way on which alerts go out."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,58}$", description="How pages and the audit trail call it.")
    kind: Literal["webhook", "apprise"] = Field(
        description="`webhook` posts signed JSON; `apprise` is for everything else (Slack, Telegram, mail …)."
    )
    url: str = Field(description="Secret reference of its address: env:NAME or file:PATH.")
    secret: str = Field("", description="Secret reference of the key that signs a webhook: env:NAME or file:PATH.")
    severities: tuple[Severity, ...] = Field(
        ("critical", "warning"), min_length=1, description="Only alerts of these severities."
    )
    environments: tuple[str, ...] = Field(
        (), description="Only alerts of these environments; without any: all, also those that concern none."
    )
    kinds: tuple[Annotated[str, Field(max_length=40)], ...] = Field((), description="Only these kinds; without: all.")
    repeat: Repeat = Field(default_factory=Repeat, description="How often it reminds, see below.")
    cleared: bool = Field(True, description="Whether it also tells that the cause is gone.")

    @field_validator("url", "secret")
    @classmethod
    def is_reference(cls, value: str) -> str:
        """A reference; the message does not repeat it, for it may be the secret itself."""
        if value and not _REFERENCE.fullmatch(value):
            raise ValueError("write env:NAME or file:PATH, never the secret itself")
        return value

    @model_validator(mode="after")
    def is_signed(self) -> Channel:
        """Who gets a webhook must be able to tell that it comes from here."""
        if self.kind == "webhook" and not self.secret:
            raise ValueError("a webhook needs secret: the reference of the key that signs it")
        if self.kind == "apprise" and self.secret:
            raise ValueError("only a webhook is signed; an Apprise address holds its own secret")
        return self

    def wants(self, alert: Alert) -> bool:
        """Whether alerts like this one go out here."""
        place = alert.environment.name if alert.environment else ""
        return (
            alert.kind != DELIVERY
            and alert.severity in self.severities
            and (not self.environments or place in self.environments)
            and (not self.kinds or alert.kind in self.kinds)
        )

    def pause(self, severity: str) -> int:
        """Seconds until it reminds of an alert; 0 for never."""
        return self.repeat.critical if severity == Alert.Severity.CRITICAL else self.repeat.warning


class Channels(_Model):
    """Every channel."""

    channels: tuple[Channel, ...] = ()

    @model_validator(mode="after")
    def names_are_unique(self) -> Channels:
        """A name stands for one channel."""
        names = [channel.name for channel in self.channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"channel names used twice: {', '.join(twice)}")
        return self


def load(path: Path) -> tuple[Channel, ...]:
    """Read and validate a file of channels.

    Raises:
        ChannelsError: it is missing, no YAML, or not valid; the message lists each place.
    """
    try:
        document = yaml.safe_load(path.read_text()) or {}
        return Channels.model_validate(expand(document, os.environ)).channels
    except OSError as error:
        raise ChannelsError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ChannelsError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise ChannelsError(f"{path} is not valid YAML: {_place(error)}") from None
    except DefinitionError as error:
        raise ChannelsError(f"{path}: {error}") from error
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors()]
        raise ChannelsError(f"{path} is no valid list of channels:\n" + "\n".join(problems)) from None


def current() -> tuple[Channel, ...]:
    """The channels of this installation, as the file says now; none without a file.

    Raises:
        ChannelsError: the file cannot be used.
    """
    path = settings.ALERT_CHANNELS
    if path is None:
        return ()
    try:
        found = path.stat()
    except OSError as error:
        raise ChannelsError(f"cannot read {path}: {error.strerror}") from error
    return _load(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int, size: int) -> tuple[Channel, ...]:
    return load(path)


def _place(error: yaml.YAMLError) -> str:
    """Where and what, without the line itself: somebody may have written a secret into it."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "it cannot be read"
    return f"{what}, line {mark.line + 1}" if mark else str(what)


def problems(channel: Channel) -> list[str]:
    """What stands between a channel and its first message: secrets that are not there, an address that is none."""
    from alerts.transport import wrong_address

    found = []
    for reference in filter(None, (channel.url, channel.secret)):
        try:
            text = resolve(reference)
        except SecretMissing as error:
            found.append(str(error))
            continue
        if reference == channel.secret and len(text) < SHORTEST_KEY:
            found.append(f"the key that signs has {len(text)} characters; use at least {SHORTEST_KEY}")
        elif reference == channel.url and (problem := wrong_address(channel.kind, text)):
            found.append(problem)
    return found
