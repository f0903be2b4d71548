"""Where a command writes: the answer to stdout, everything said beside it to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from opsctl import render
from opsctl.errors import Declined, OpsctlError, UsageProblem, lines

TONES: dict[str, dict[str, Any]] = {
    "info": {"fg": "cyan", "bold": True},
    "warn": {"fg": "yellow", "bold": True},
    "crit": {"fg": "red", "bold": True},
    "unknown": {"fg": "magenta"},
    "quiet": {"dim": True},
}


class Output:
    """Writes for a person, or with ``as_json`` for a script: one document on stdout, and nothing else there."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches stdout, so that it may be drawn anew."""
        return sys.stdout.isatty() and not self.as_json and os.environ.get("TERM") != "dumb"

    def say(self, text: str = "", tone: str = "plain") -> None:
        """A line for a person; nothing with ``--json``."""
        if not self.as_json:
            self._write(self.paint(text, tone), sys.stdout)

    def say_all(self, texts: Iterable[str]) -> None:
        """Several lines."""
        for text in texts:
            self.say(text)

    def document(self, data: Any) -> None:
        """The answer for a script; nothing without ``--json``."""
        if self.as_json:
            print(json.dumps(data, indent=2, ensure_ascii=True), flush=True)

    def json_line(self, data: Mapping[str, Any]) -> None:
        """One document of several, on one line."""
        if self.as_json:
            print(json.dumps(data, ensure_ascii=True), flush=True)

    def note(self, text: str) -> None:
        """A line beside the answer."""
        self._write(text, sys.stderr)

    def fail(self, error: OpsctlError) -> None:
        """An error: for a person on stderr, and with ``--json`` as the document as well."""
        self.note("\n".join(render.plain(line) for line in lines(error)))
        self.document(error.document())

    def status(self, kind: str, value: object) -> str:
        """Icon and word, coloured when abnormal."""
        found = render.word(kind, value)
        return self.paint(f"{found.icon} {found.word}", found.tone)

    def paint(self, text: str, tone: str) -> str:
        """The text in the colour of a tone; plain ones and those without a terminal stay as they are."""
        return click.style(text, **TONES[tone]) if self.colour and tone in TONES else text

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only after a typed y, or with ``--yes``.

        Raises:
            UsageProblem: nobody can be asked.
            Declined: the answer was no.
        """
        if yes:
            return
        if not self.interactive:
            raise UsageProblem("This wants a confirmation, and nobody is there to be asked.", "Add --yes.")
        if not click.confirm(question, err=True):
            raise Declined("Nothing was done.")

    def ask(self, given: str | None, question: str, option: str) -> str:
        """A text that is needed: as given, else typed.

        Raises:
            UsageProblem: it is not given, and nobody can be asked.
        """
        if given:
            return given
        if not self.interactive:
            raise UsageProblem(f"{option} is missing.", f"Add {option} TEXT; it is kept in the audit trail.")
        return str(click.prompt(question, err=True))

    def _write(self, text: str, stream: Any) -> None:
        try:
            text.encode(stream.encoding or "utf-8")
        except UnicodeEncodeError:
            for sign, simple in render.ASCII.items():
                text = text.replace(sign, simple)
            text = text.encode(stream.encoding or "ascii", "replace").decode(stream.encoding or "ascii")
        print(text, file=stream, flush=True)
