"""What the instances wrote last, fit to be kept and shown: without secrets and without control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from audit.redaction import REDACTED, redact
from environments import adapters, asking
from environments.asking import Answer
from environments.models import Environment, Instance
from environments.secrets import SecretMissing, resolve

LINES = 100
LINE_LIMIT = 500
"""Characters of one line."""
SHORTEST_SECRET = 8
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_TROUBLE = re.compile(r"\b(?:ERROR|CRITICAL|FATAL)\b|^Traceback|\bcannot start\b|\bpanic:")


def tails(instances: Sequence[Instance], lines: int = LINES, *, since: float = 0.0) -> list[Answer[list[str]]]:
    """The last lines of each instance's log, oldest first, all read at once.

    since: unix seconds; nothing when nothing was written after that.
    """
    hidden = {one.pk: _secrets(one) for one in instances}

    def read(instance: Instance) -> list[str]:
        driver = adapters.driver(instance.slot.environment, timeout=asking.READ_SECONDS)
        found = driver.tail(adapters.instance_spec(instance), lines, since=since)
        return clean(found, hidden[instance.pk])

    return asking.ask(instances, read)


def clean(found: Sequence[str], secrets: Sequence[str] = ()) -> list[str]:
    """Log lines as they may be kept: what looks like a secret is cut out, and so is each of ``secrets``."""
    text = "\n".join(found)
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    # At once, not line by line: a private key takes several.
    shown = str(redact(text)).split("\n") if text else []
    return [_CONTROL.sub("", line)[:LINE_LIMIT] for line in shown]


def troubled(found: Sequence[str]) -> list[str]:
    """The lines that tell of an error."""
    return [line for line in found if _TROUBLE.search(line)]


def _secrets(instance: Instance) -> list[str]:
    """What this console knows and a log must not show; a reference that leads nowhere hides nothing."""
    environment: Environment = instance.slot.environment
    references = [instance.token_ref, environment.exchange.get("key"), environment.database.get("url")]
    return [text for one in references if one for text in _resolved(str(one)) if len(text) >= SHORTEST_SECRET]


def _resolved(reference: str) -> Iterator[str]:
    try:
        yield from (part for line in resolve(reference).splitlines() if (part := line.strip()))
    except SecretMissing:
        return
