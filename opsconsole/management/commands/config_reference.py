"""``manage.py config_reference``: write docs/configuration.md from the classes that read the configuration.

``--check`` writes nothing and fails when the file is not what the code says.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alerts.channels import Channel, Repeat
from environments.definition import (
    DatabaseDefinition,
    DriverDefinition,
    EnvironmentDefinition,
    ExchangeDefinition,
    InstanceDefinition,
    RouterDefinition,
    SystemDefinition,
)
from environments.pages import rules_in_words, seconds_in_words
from environments.policy import ApprovalPolicy, GatePolicy, Policy, RuleSpec
from opsconsole.config import ROOT, Config

TARGET = ROOT / "docs" / "configuration.md"
PLAIN = {bool: "`true` or `false`", int: "whole number", float: "number", str: "text", Path: "path"}
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "min_length": "at least {}", "max_length": "at most {}"}
MEANINGS = {
    "SystemDefinition.service": "Name of the trading system: lower case letters, digits and `-`.",
    "SystemDefinition.environments": "Each environment by its name, in the order in which they are shown.",
    "EnvironmentDefinition.kind": "Decides what each role may do here: in `production` only an Admin deploys.",
    "EnvironmentDefinition.router": "The load balancer, see below.",
    "EnvironmentDefinition.driver": "The process supervisor, see below.",
    "EnvironmentDefinition.policy": "How it is deployed to and watched, see below.",
    "EnvironmentDefinition.slots": "Each slot by its name, with the list of its instances. Exactly two slots.",
    "RuleSpec.kind": "What the rule looks at.",
    "Policy.rules": "The rules of the analysis. A list given here replaces the whole default list.",
}
"""Words for fields whose class gives no description."""

HEAD = """\
# Configuration

<!-- Written by `manage.py config_reference`. Change the code that it names, then run the command again. -->

Two things are configured: the console's own processes, by environment variables, and the system that it operates, by
one YAML file.

## Environment variables

Every process of the console reads them at its start (`opsconsole/config.py`). Instead of the environment, they may
stand as `NAME=value` lines in the file that `OPSC_ENV_FILE` names; the environment wins. A missing or wrong value stops
the process with a message that names it. `DJANGO_SETTINGS_MODULE` is `opsconsole.settings` unless you set it; leave it
so outside the demo. `OPSC_HOST` and `OPSC_PORT` tell the console where it is; the web server gets its own options (see
[operating.md](operating.md#the-processes)), and both must say the same.
"""
SYSTEM = """\
## The system definition

One YAML file, brought into the database by `manage.py apply_system FILE` (`environments/definition.py`). `${NAME}` and
`${NAME:-default}` are replaced from the environment of that command, not from `OPSC_ENV_FILE`. An unknown key, a
missing one or a wrong value refuses the whole file, and the message names each place. `demo/system.yaml` is the
commented example.
"""
POLICY = """\
### `policy`

All durations are in seconds (`environments/policy.py`). The steps and the rules of a deployment keep the policy that
was in force when it was started; a change counts from the next start on. A changed sampling interval counts at once.
"""
APPROVAL = """\
### `policy.approval`

Somebody who may only ask for a deployment always needs an approval, whatever stands here.
"""
GATE = """\
### `policy.gate`

What a release must bring with it before a deployment starts (`deployments/gate.py`). A rollback is never gated. An
Admin may override what the gate asks for, with a reason that is kept.
"""
RULES = """\
### `policy.rules`

What each rule finds, and with which certainty, is told in
[architecture.md](architecture.md#the-analysis-and-its-error-bounds). The default rules:
"""
RULE_FIELDS = """\
`minimum` counts what a rate is made of; below it the verdict is `no_data`. A rule of your own has these members:
"""
CHANNELS = """\
## The channels of alerts

One YAML file, named by `OPSC_ALERT_CHANNELS`, with a list of `channels` (`alerts/channels.py`). `manage.py
alert_channels --check` says what is wrong with it, `--test NAME` sends a message on one of them.
`demo/alert-channels.yaml` is the commented example.
"""


class Command(BaseCommand):
    help = "Write docs/configuration.md from the code that reads the configuration."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is out of date")

    def handle(self, *args: object, check: bool, **options: object) -> None:
        text = reference()
        where = TARGET.relative_to(ROOT)
        if not check:
            TARGET.write_text(text)
            self.stdout.write(f"{where} written.")
        elif not TARGET.exists() or TARGET.read_text() != text:
            raise CommandError(f"{where} is out of date: run manage.py config_reference.")


def reference() -> str:
    """The text of docs/configuration.md."""
    parts = [HEAD, table(Config, name=variable), SYSTEM]
    for title, model in _SECTIONS:
        parts += [f"### {title}\n", table(model)]
    parts += [POLICY, table(Policy), APPROVAL, table(ApprovalPolicy), GATE, table(GatePolicy)]
    parts += [RULES, _default_rules(), RULE_FIELDS, table(RuleSpec)]
    parts += [CHANNELS, "### `channels[]`\n", table(Channel), "### `repeat`\n", table(Repeat)]
    return "\n".join(parts)


_SECTIONS: Sequence[tuple[str, type[BaseModel]]] = (
    ("The file", SystemDefinition),
    ("`environments.<name>`", EnvironmentDefinition),
    ("`router`", RouterDefinition),
    ("`driver`", DriverDefinition),
    ("`exchange`", ExchangeDefinition),
    ("`database`", DatabaseDefinition),
    ("`slots.<name>[]`", InstanceDefinition),
)


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a field of ``Config``."""
    return str(field.validation_alias) if field.validation_alias else f"OPSC_{name.upper()}"


def table(model: type[BaseModel], name: Any = lambda name, field: field.alias or name) -> str:
    """Every field of a model with its type, default and meaning, as a Markdown table.

    Raises:
        CommandError: a field has no meaning in words.
    """
    rows = []
    for key, field in model.model_fields.items():
        meaning = field.description or MEANINGS.get(f"{model.__name__}.{key}", "")
        if not meaning:
            raise CommandError(f"{model.__name__}.{key} has no description: give it one where it is declared.")
        rows.append((f"`{name(key, field)}`", kind(field), default(field), meaning))
    return markdown(("Name", "Value", "Default", "Meaning"), rows)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def kind(field: FieldInfo) -> str:
    """The type of a field in words, with its bounds."""
    words = in_words(field.annotation)
    bounds = [
        text.format(f"{limit:g}" if isinstance(limit, float) else limit)
        for name, text in BOUNDS.items()
        for item in field.metadata
        if (limit := getattr(item, name, None)) is not None
    ]
    if field.annotation is str:  # the bounds of a text count characters
        bounds = [f"{bound} characters" for bound in bounds]
    return ", ".join([words, *bounds])


def in_words(annotation: Any) -> str:
    """A type in words."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(part) for part in inner if part is not type(None))
    if origin in (list, tuple):
        return "list"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "one of the kinds above"
    return "mapping" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else str(annotation)


def default(field: FieldInfo) -> str:
    """The default of a field; a path below the repository is shown from there."""
    if field.is_required():
        return "**required**"
    if field.default_factory is not None:
        return "the defaults below"
    value = field.default
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, BaseModel):
        return "the defaults below"
    if isinstance(value, Path):
        value = value.relative_to(ROOT) if value.is_relative_to(ROOT) else value
    if isinstance(value, bool):
        value = str(value).lower()
    if field.annotation is float:
        return f"`{value:g}` ({seconds_in_words(value)})" if value > 60 else f"`{value:g}`"
    return f"`{','.join(map(str, value)) if isinstance(value, list | tuple) else value}`"


def _default_rules() -> str:
    policy = Policy()
    extra = {rule.name: rule for rule in policy.rules}
    rows = []
    for name, condition, consequence in rules_in_words(policy):
        rule = extra[name]
        needs = str(rule.minimum) if rule.minimum else ""
        missing = {"hold": "holds back the end of the window", "inform": "is only told"}[rule.no_data]
        rows.append((name, f"`{rule.kind.value}`", condition, consequence, needs, missing))
    return markdown(("Name", "`kind`", "Fails", "Then", "`minimum`", "Without data"), rows)
