"""The form of a runbook's file: Markdown that also reads well where no console runs.

A file begins with front matter and continues with numbered steps::

    ---
    slug: high-latency
    title: High latency
    summary: Orders take longer than 50 ms (p99).
    when: Right after a deployment, or when the alert "Limit exceeded" names latency.
    symptoms:
      - Order latency above 50 ms p99 on the environment's page.
    alerts:                       # it is offered at these alerts
      - breach                    # every alert of the kind
      - {kind: breach, key: "deployment *"}
    commands:                     # argument lists, without a shell; they only look
      disk: {title: Disk space, run: [df, -h], timeout: 10}
    ---
    What to know before the first step.

    ## 1. Look at the machine

    Plain Markdown, and commands to copy as blocks fenced as `sh`.

    - Expect: CPU below 80 %, no swap in use.
    - Check: environments.resources
    - Check command: disk
    - Link: /environments/{environment}/ The environment's page
    - Fix: deployments.roll_back
    - If yes: step 3
    - If no: step 2, the machine is not the cause

Lines that begin with one of the words of ``WORDS`` and a colon are instructions, with or without the dash; a line
that is indented continues the one above. Everything else is Markdown. ``If no`` is where "Failed" leads and ``If yes``
where "Done" leads, each by default the next step; ``end`` leads behind the last one. The places ``{environment}``,
``{service}`` and ``{release}`` are filled in text, links and arguments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from runbooks.runbook_head import Command, FormatError, Head, Match, Place, read_head
from runbooks.runbook_parts import END, PLACES, Branch, Diagnostic, Link, Part, Remedial, Runbook, Step, fill

__all__ = [
    "END",
    "PLACES",
    "WORDS",
    "Branch",
    "Command",
    "Diagnostic",
    "FormatError",
    "Link",
    "Match",
    "Part",
    "Place",
    "Remedial",
    "Runbook",
    "Step",
    "fill",
    "parse",
]
WORDS = ("Expect", "Check", "Check command", "Fix", "Link", "If yes", "If no")
LONGEST_FILE = 200_000
MOST_STEPS = 60

_HEADING = re.compile(r"^## +(?:(\d{1,3})\. +)?(.*?)\s*#*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}) *([\w+-]*)")
_WORD = re.compile(r"^(?:[-*] +)?([A-Za-z]+(?: [a-z]+)?):(?: +(.*))?$")
_BRANCH = re.compile(r"^(?:step (\d{1,3})|(end))(?:[,.:;]\s*(.*))?$", re.DOTALL)
_NAME = re.compile(r"^[a-z]+\.[a-z_]+$")
SHELLS = {"sh", "bash", "shell", "console"}


def parse(text: str) -> Runbook:
    """A runbook's file, read.

    Raises:
        FormatError: it cannot be used; each place is named with its line and what to write there.
    """
    if len(text) > LONGEST_FILE:
        raise FormatError([Place(1, f"The file has {len(text):,} characters; at most {LONGEST_FILE:,} are read.")])
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\x00", "")
    head, body_line, problems = read_head(text)
    reader = _Body(head, problems)
    for number, line in enumerate(text.split("\n")[body_line:], body_line + 1):
        reader.take(number, line)
    steps = reader.finish()
    if problems or head is None:
        raise FormatError(problems)
    return Runbook(
        slug=head.slug,
        title=head.title,
        summary=head.summary,
        when=head.when,
        symptoms=tuple(head.symptoms),
        alert_kinds=tuple(head.alerts),
        intro=reader.intro,
        steps=steps,
    )


@dataclass(slots=True)
class _Open:
    """A step while its lines are read: (line, Markdown or command) and (line, word, text)."""

    line: int
    number: int
    title: str
    lines: list[str]
    parts: list[Part]
    told: list[tuple[int, str, str]]


class _Body:
    """Reads the lines behind the front matter."""

    def __init__(self, head: Head | None, problems: list[Place]) -> None:
        self.head, self.problems = head, problems
        self.intro = ""
        self._open = [_Open(0, 0, "", [], [], [])]
        self._fence, self._fence_line, self._shell, self._text = "", 0, False, [""]
        self._continues = False

    def take(self, number: int, line: str) -> None:
        """One line with its number."""
        step = self._open[-1]
        if self._fence:
            self._within_fence(step, line)
        elif found := _FENCE.match(line):
            self._fence, self._fence_line, self._shell = found[1], number, found[2].lower() in SHELLS
            self._begin_fence(step, line)
        elif line.startswith("## "):
            self._heading(number, line)
        elif self._continues and line.startswith("  ") and line.strip():
            place, word, text = step.told[-1]
            step.told[-1] = (place, word, f"{text} {line.strip()}".strip())
        elif not self._told(step, number, line):
            step.lines.append(line)
            self._text.append(line)

    def _begin_fence(self, step: _Open, line: str) -> None:
        self._continues = False
        step.lines.append(line)
        if self._shell:
            self._flush(step)
        else:
            self._text.append(line)

    def _within_fence(self, step: _Open, line: str) -> None:
        step.lines.append(line)
        ends = line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0])
        if ends:
            self._fence = ""
        if not self._shell:
            self._text.append(line)
        elif ends:
            step.parts.append(Part("command", "\n".join(self._text).strip("\n")))
            self._text = []
        else:
            self._text.append(line)

    def _flush(self, step: _Open) -> None:
        text = "\n".join(self._text).strip("\n")
        if text.strip():
            step.parts.append(Part("text", text))
        self._text = []

    def _heading(self, number: int, line: str) -> None:
        found = _HEADING.match(line)
        title = found[2] if found else ""
        expected = len(self._open)
        if found is None or found[1] is None or int(found[1]) != expected or not title:
            self._wrong(number, f"Begin this step with “## {expected}. {title or 'Its title'}”; steps count from 1.")
        self._flush(self._open[-1])
        self._continues = False
        self._open.append(_Open(number, expected, title[:200], [], [], []))

    def _told(self, step: _Open, number: int, line: str) -> bool:
        self._continues = False
        found = _WORD.match(line)
        if found is None:
            return False
        word, text = found[1], (found[2] or "").strip()
        if word not in WORDS:
            near = [one for one in WORDS if one.lower() == word.lower()] or get_close_matches(word, WORDS, 1, 0.85)
            if near:
                self._wrong(
                    number, f"“{word}:” means nothing here. Write “{near[0]}:”, or begin the sentence otherwise."
                )
            return bool(near)
        if not step.number:
            self._wrong(number, f"“{word}:” belongs into a step, below a heading such as “## 1. Look at the log”.")
            return True
        step.told.append((number, word, text))
        self._continues = True
        return True

    def finish(self) -> tuple[Step, ...]:
        """The steps, when every line was taken."""
        if self._fence:
            self._wrong(self._fence_line, f"The block that begins with {self._fence} here has no end.")
        self._flush(self._open[-1])
        self.intro = "\n".join(self._open[0].lines).strip()
        steps = tuple(self._step(one) for one in self._open[1:])
        if not steps:
            self._wrong(1, "There is no step. Begin the first with “## 1. Its title”.")
        if len(steps) > MOST_STEPS:
            self._wrong(steps[MOST_STEPS].line, f"A runbook has at most {MOST_STEPS} steps; make two of it.")
        return steps

    def _step(self, one: _Open) -> Step:
        told = {word: [(line, text) for line, at, text in one.told if at == word] for word in WORDS}
        for word in ("Expect", "If yes", "If no"):
            for line, _ in told[word][1:]:
                self._wrong(line, f"Step {one.number} has a second “{word}:”; keep one.")
        diagnostics = [self._evidence(line, text) for line, text in told["Check"]]
        diagnostics += [self._command(line, text) for line, text in told["Check command"]]
        remedies = [Remedial(self._name(line, text, "Fix"), line) for line, text in told["Fix"]]
        for names in ([each.name for each in diagnostics], [each.name for each in remedies]):
            for name in {name for name in names if names.count(name) > 1}:
                self._wrong(one.line, f"Step {one.number} names {name} twice; keep one.")
        return Step(
            number=one.number,
            title=one.title,
            body="\n".join(one.lines).strip(),
            parts=tuple(one.parts),
            expect=next((text for _, text in told["Expect"]), ""),
            diagnostics=tuple(diagnostics),
            remedies=tuple(remedies),
            links=tuple(self._link(line, text) for line, text in told["Link"]),
            if_done=self._branch(one, told["If yes"]),
            if_failed=self._branch(one, told["If no"]),
            line=one.line,
        )

    def _name(self, line: int, text: str, word: str) -> str:
        if not _NAME.match(text):
            example = "deployments.roll_back" if word == "Fix" else "environments.health"
            self._wrong(line, f"Write one name behind “{word}:”, such as “{word}: {example}”, not “{text[:60]}”.")
        return text[:80]

    def _evidence(self, line: int, text: str) -> Diagnostic:
        return Diagnostic(self._name(line, text, "Check"), line)

    def _command(self, line: int, text: str) -> Diagnostic:
        known = self.head.commands if self.head else {}
        if self.head and text not in known:
            there = ", ".join(known) or "none there"
            self._wrong(line, f"There is no command “{text[:60]}” below “commands:” in the front matter ({there}).")
        return Diagnostic(f"command:{text[:60]}", line, known.get(text))

    def _link(self, line: int, text: str) -> Link:
        path, _, words = text.partition(" ")
        if not path.startswith("/") or path.startswith("//") or not words.strip():
            self._wrong(
                line, "Write a path of this console and its words: “Link: /positions/{environment}/ Positions”."
            )
        return Link(path, words.strip())

    def _branch(self, one: _Open, told: list[tuple[int, str]]) -> Branch | None:
        if not told:
            return None
        line, text = told[0]
        found = _BRANCH.match(text)
        if found is None:
            self._wrong(line, f"Write “step N” or “end”, and perhaps words behind a comma, not “{text[:60]}”.")
            return None
        target = int(found[1]) if found[1] else END
        if found[1] and not 1 <= target < len(self._open):
            self._wrong(line, f"There is no step {target}; the last one is {len(self._open) - 1}.")
        if target == one.number:
            self._wrong(line, f"Step {target} leads to itself. Name the step that follows.")
        return Branch(target, (found[3] or "").strip())

    def _wrong(self, line: int, message: str) -> None:
        self.problems.append(Place(line, message))
