"""The front matter of a runbook's file, and what is said about a file that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

LONGEST_WAIT = 60
"""Seconds that a command may take at most."""
FENCE = "---"
_PLACES = re.compile(r"\{(\w*)\}")
_KNOWN = ("environment", "service", "release")
Word = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Place:
    """Something wrong at a line (1 and up)."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class FormatError(ValueError):
    """A file cannot be used; ``places`` names each line and what to write there."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = tuple(sorted(places, key=lambda one: one.line))
        super().__init__("\n".join(map(str, self.places)))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """Alerts that a runbook is for."""

    kind: str = Field(pattern=r"^[a-z0-9_-]{1,40}$")
    key: str = Field(default="*", max_length=120, description="Pattern of the alert's key; * stands for anything.")


class Command(_Strict):
    """A diagnostic command: an argument list that looks and changes nothing."""

    title: str = Field(default="", max_length=200)
    run: list[Word] = Field(min_length=1, max_length=40)
    timeout: int = Field(default=10, ge=1, le=LONGEST_WAIT, description="Seconds.")

    @field_validator("run")
    @classmethod
    def is_argument_list(cls, value: list[str]) -> list[str]:
        """The program is fixed; only the known places are filled."""
        if "{" in value[0]:
            raise ValueError("name the program itself as the first word")
        for name in (name for word in value for name in _PLACES.findall(word)):
            if name not in _KNOWN:
                raise ValueError(f"{{{name}}} is none of {{environment}}, {{service}} and {{release}}")
        return value


class Head(_Strict):
    """The front matter."""

    slug: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    title: str = Field(min_length=1, max_length=200)
    summary: str = Field(min_length=1, max_length=500)
    when: str = Field(default="", max_length=500)
    symptoms: list[Word] = []
    alerts: list[Match] = []
    commands: dict[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,60}$")], Command] = {}

    @field_validator("alerts", mode="before")
    @classmethod
    def from_kinds(cls, value: object) -> object:
        """The kind alone stands for every alert of it."""
        return [{"kind": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


def read_head(text: str) -> tuple[Head | None, int, list[Place]]:
    """The front matter, the number of lines that it takes, and what is wrong with it."""
    lines = text.split("\n")
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if lines[0].rstrip() != FENCE or end is None:
        return None, 0, [Place(1, "Begin with front matter: a line “---”, slug, title and summary, a line “---”.")]
    source = "\n".join(lines[1:end])
    try:
        node = yaml.compose(source, Loader=yaml.SafeLoader)
        data = yaml.safe_load(source)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None) or str(error)
        return None, end + 1, [Place(mark.line + 2 if mark else 2, f"The front matter is not YAML: {words}.")]
    if not isinstance(data, dict):
        return None, end + 1, [Place(2, "The front matter names slug, title and summary, each as “name: value”.")]
    try:
        return Head.model_validate(data), end + 1, []
    except ValidationError as error:
        found = [Place(_line(node, one["loc"]), _words(one["loc"], one)) for one in error.errors()]
        return None, end + 1, found


def slug_of(text: str) -> str:
    """The slug that a file names, also when it is broken otherwise; empty if there is none."""
    found = re.search(r"^slug:\s*([a-z0-9-]{1,60})\s*$", text.split("\n---", 1)[0], re.MULTILINE)
    return found[1] if found else ""


def _words(where: tuple[Any, ...], problem: Any) -> str:
    name = ".".join(str(part) for part in where if part != "[key]")
    if problem["type"] == "missing":
        return f"“{name}” is missing; write “{where[-1]}: …”."
    if problem["type"] == "extra_forbidden":
        return f"“{name}” is not known; remove it or correct the spelling."
    return f"“{name}”: {problem['msg'].removeprefix('Value error, ')}."


def _line(node: Any, where: tuple[Any, ...]) -> int:
    """The line of the file at which a part of the front matter stands."""
    line = 2
    for part in where:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 2, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 2
        else:
            break
    return line
