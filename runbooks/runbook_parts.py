"""What a runbook consists of, once its file is read (``runbook_format.py``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from runbooks.runbook_head import Command, Match

END = 0
"""The step behind the last one: nothing is left but to finish."""
PLACES = ("environment", "service", "release")
_PLACE = re.compile(r"\{(" + "|".join(PLACES) + r")\}")


@dataclass(frozen=True, slots=True)
class Branch:
    """Where an outcome leads: the number of a step, or ``END``; with the file's words for it."""

    step: int
    words: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something to read at a step: evidence of the product, or a command of the front matter."""

    name: str
    """Of the evidence (``trading.positions``), or ``command:`` with the command's name."""
    line: int = 0
    command: Command | None = None


@dataclass(frozen=True, slots=True)
class Remedial:
    """A remedy that a step offers, by its name in ``environments/remedies.py``."""

    name: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A page of the console."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a step's text: Markdown, or a command to copy."""

    kind: Literal["text", "command"]
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``body`` is its whole Markdown without the instructions; ``parts`` the same in stretches."""

    number: int
    title: str
    body: str = ""
    parts: tuple[Part, ...] = ()
    expect: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    remedies: tuple[Remedial, ...] = ()
    links: tuple[Link, ...] = ()
    if_done: Branch | None = None
    if_failed: Branch | None = None
    line: int = 0

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands to copy."""
        return tuple(part.text for part in self.parts if part.kind == "command")

    def diagnostic(self, name: str) -> Diagnostic | None:
        """The diagnostic of this name, if the step has it."""
        return next((one for one in self.diagnostics if one.name == name), None)

    def offers(self, remedy: str) -> bool:
        """Whether the step offers a remedy."""
        return any(one.name == remedy for one in self.remedies)


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook as its file says it."""

    slug: str
    title: str
    summary: str
    when: str
    symptoms: tuple[str, ...]
    alert_kinds: tuple[Match, ...]
    intro: str
    """Markdown before the first step."""
    steps: tuple[Step, ...]

    def step(self, number: int) -> Step | None:
        """A step by its number; None for ``END`` and for a number that it does not have."""
        return self.steps[number - 1] if 1 <= number <= len(self.steps) else None

    def after(self, number: int, *, failed: bool = False) -> int:
        """The number of the step to which an outcome leads, or ``END``."""
        step = self.step(number)
        branch = (step.if_failed if failed else step.if_done) if step else None
        if branch is not None:
            return branch.step
        return number + 1 if number < len(self.steps) else END

    def fits(self, kind: str, key: str) -> bool:
        """Whether it is for an alert of this kind and key."""
        return any(one.kind == kind and fnmatchcase(key, one.key) for one in self.alert_kinds)

    def filled(self, values: Mapping[str, str]) -> Runbook:
        """The same with environment, service and release filled in wherever the file names them."""
        return replace(self, intro=fill(self.intro, values), steps=tuple(_filled(one, values) for one in self.steps))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Text with the places filled; one without a value stays as it is, so that it is seen."""
    return _PLACE.sub(lambda found: values.get(found[1]) or found[0], text)


def _filled(step: Step, values: Mapping[str, str]) -> Step:
    parts = tuple(Part(one.kind, fill(one.text, values)) for one in step.parts)
    links = tuple(Link(fill(one.path, values), fill(one.text, values)) for one in step.links)
    title, body, expect = (fill(one, values) for one in (step.title, step.body, step.expect))
    return replace(step, title=title, body=body, expect=expect, parts=parts, links=links)
