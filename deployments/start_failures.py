"""Why a release did not start, as far as its own words tell: the common causes of the specification, part 9.

Text in, a cause out; no database and no network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """A recognised cause."""

    title: str
    todo: str
    line: str
    """The line that tells it."""


@dataclass(frozen=True, slots=True)
class _Kind:
    title: str
    todo: str
    patterns: tuple[re.Pattern[str], ...]

    def tells(self, line: str) -> bool:
        """Whether a line speaks of it."""
        return any(pattern.search(line) for pattern in self.patterns)


def _kind(title: str, todo: str, *patterns: str) -> _Kind:
    return _Kind(title, todo, tuple(re.compile(one) for one in patterns))


KINDS = (
    _kind(
        "Port already in use",
        "Find the process that holds the port (lsof -i :PORT) and end it, or give the instance another port.",
        r"(?i)address (?:is )?already in use",
        r"EADDRINUSE",
        r"\[Errno (?:98|48)\]",
        r"(?i)port \d+ is (?:already )?(?:in use|taken)",
    ),
    _kind(
        "Missing environment variable",
        "Set it for the program of the instance, at its supervisor, and start the deployment again.",
        r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b[^.]{0,40} (?:is|was) not set",
        r"(?i)(?:missing|required|undefined) environment variable",
        r"(?i)environment variable \S+ (?:is )?(?:missing|required|not set|undefined|not found)",
        r"KeyError: '[A-Z][A-Z0-9]*_[A-Z0-9_]+'",
    ),
    _kind(
        "Database migration failed",
        "Run the migration by hand against a copy and read its error; do not deploy before it passes.",
        r"(?i)migration\S* .{0,80}(?:fail|error|cannot|could not|refus)",
        r"(?i)(?:fail|error|cannot|could not).{0,80} migrat",
        r"(?i)unapplied migration",
        r"(?i)(?:relation|column|table) \"?\S+\"? (?:of relation \S+ )?(?:does not exist|already exists)",
        r"(?i)no schema of its search path exists",
    ),
    _kind(
        "Configuration error",
        "Correct the value that is named, in the release or in the environment's own configuration.",
        r"cannot start: /\S+: ",
        r"(?i)(?:is not (?:valid )?|invalid |malformed |bad )(?:YAML|JSON|TOML|config)",
        r"(?i)config\S* .{0,60}(?:not valid|invalid|syntax error|cannot be read|unknown key|unknown field)",
        r"(?:yaml\.(?:scanner|parser)|json\.decoder|tomllib)\.\w+Error",
        r"\w*(?:Config|Settings|Validation)(?:uration)?Error\b",
    ),
    _kind(
        "Database not reachable",
        "Look whether the database answers, and whether the address the instance was given is right.",
        r"(?i)(?:connection to server|could not connect|database).{0,120}(?:refused|time[d ]*out|failed)",
        r"(?i)password authentication failed",
    ),
    _kind(
        "A module is missing",
        "The artifact is not complete: build it again.",
        r"(?:ModuleNotFoundError|ImportError): ",
        r"No module named \S+",
    ),
    _kind(
        "Killed for lack of memory",
        "Look at the memory of the host; free some, or give the process a limit that it can live with.",
        r"(?i)out of memory",
        r"\bMemoryError\b",
        r"(?i)oom[- ]kill",
    ),
)
"""The four of the specification and three more, the most telling first."""


def recognise(lines: Sequence[str]) -> Cause | None:
    """The cause that the lines tell, the newest line first; None when nothing is recognised."""
    for line in reversed(lines):
        for kind in KINDS:
            if kind.tells(line):
                return Cause(kind.title, kind.todo, line.strip())
    return None
