"""How things are written in a terminal: words and icons of a status, times, tables. Plain data in, text out.

The words are those of the pages. Normal is plain; a colour marks what is abnormal or asks for a decision.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from opsctl.store import ends_at

NONE = "–"


class Word(NamedTuple):
    """How one value of a status is shown; ``tone`` is plain, info, warn, crit or unknown."""

    icon: str
    word: str
    tone: str


_PASS = Word("✓", "Pass", "plain")
_RUNNING = Word("●", "Running", "plain")
_FAILED = Word("✗", "Failed", "crit")
_NO_DATA = Word("?", "No data", "unknown")

WORDS: dict[str, dict[str, Word]] = {
    "deployment": {
        "draft": Word("○", "Draft", "plain"),
        "awaiting_approval": Word("…", "Waiting for approval", "info"),
        "pending": Word("…", "Waiting to start", "plain"),
        "running": _RUNNING,
        "held": Word("‖", "Held", "info"),
        "watching": Word("●", "Watching", "plain"),
        "succeeded": Word("✓", "Succeeded", "plain"),
        "aborting": Word("■", "Aborting", "warn"),
        "aborted": Word("■", "Aborted", "plain"),
        "failing": Word("✗", "Failing, rolling back", "crit"),
        "rolled_back": Word("↶", "Rolled back", "warn"),
        "failed": _FAILED,
    },
    "step": {
        "pending": Word("○", "Waiting", "plain"),
        "running": _RUNNING,
        "succeeded": Word("✓", "Done", "plain"),
        "failed": _FAILED,
        "skipped": Word("-", "Skipped", "plain"),
    },
    "verdict": {
        "pass": Word("✓", "Within", "plain"),
        "warn": Word("!", "Near limit", "warn"),
        "fail": Word("✗", "Above limit", "crit"),
        "no_data": _NO_DATA,
        "error": Word("?", "Cannot judge", "unknown"),
    },
    "health": {
        "pass": _PASS,
        "warn": Word("!", "Warning", "warn"),
        "fail": Word("✗", "Fail", "crit"),
        "no_data": _NO_DATA,
        "stopped": Word("-", "Stopped", "plain"),
    },
    "slot": {
        "live": Word("●", "Live", "plain"),
        "preview": Word("○", "Preview", "plain"),
        "standby": Word("○", "Standby", "plain"),
        "stopped": Word("-", "Stopped", "plain"),
    },
    "outcome": {
        "intent": Word("○", "Intended", "plain"),
        "done": Word("✓", "Done", "plain"),
        "failed": _FAILED,
        "denied": Word("✗", "Denied", "warn"),
    },
    "approval": {
        "waiting": Word("…", "Waiting", "info"),
        "approved": Word("✓", "Approved", "plain"),
        "rejected": Word("✗", "Rejected", "plain"),
        "withdrawn": Word("-", "Withdrawn", "plain"),
        "fallen": Word("!", "Fallen", "warn"),
        "expired": Word("!", "Expired", "warn"),
    },
    "chain": {
        "intact": Word("✓", "Chain intact", "plain"),
        "late": Word("?", "Chain not checked lately", "unknown"),
        "broken": Word("✗", "Chain BROKEN", "crit"),
        "unchecked": Word("?", "Chain not checked yet", "unknown"),
    },
    "alert": {
        "critical": Word("✗", "Critical", "crit"),
        "warning": Word("!", "Warning", "warn"),
    },
    "alert_state": {
        "open": Word("…", "Open", "info"),
        "acknowledged": Word("✓", "Acknowledged", "plain"),
        "over": Word("…", "Cause gone", "info"),
        "cleared": Word("-", "Cleared", "plain"),
    },
    "breaker": {
        "closed": Word("✓", "Closed", "plain"),
        "open": Word("✗", "Open: trading stopped", "crit"),
        "no_data": _NO_DATA,
    },
    "clearance": {
        "waiting": Word("…", "Waiting for another person", "info"),
        "approved": Word("●", "Approved, being done", "plain"),
        "done": Word("✓", "Done", "plain"),
        "failed": Word("✗", "Approved, but not done", "crit"),
        "rejected": Word("✗", "Rejected", "plain"),
        "withdrawn": Word("-", "Withdrawn", "plain"),
        "fell": Word("!", "Fell", "warn"),
        "expired": Word("!", "Expired", "warn"),
    },
    "database_run": {
        "waiting": Word("…", "Waiting for a worker", "plain"),
        "running": _RUNNING,
        "succeeded": Word("✓", "Done", "plain"),
        "failed": _FAILED,
    },
    "key": {
        "usable": Word("✓", "Usable", "plain"),
        "due": Word("!", "Ends soon", "warn"),
        "replaced": Word("…", "Replaced, ends soon", "plain"),
        "expired": Word("-", "Expired", "plain"),
        "revoked": Word("-", "Revoked", "plain"),
        "inactive": Word("-", "Refused: owner inactive", "plain"),
    },
}
ASCII = {"✓": "ok", "●": "*", "○": "o", "‖": "=", "■": "x", "✗": "X", "↶": "<", "…": "~", NONE: "-", "µ": "u"}
"""What stands for an icon on a terminal that cannot show it."""


def word(kind: str, value: object) -> Word:
    """The word of a status; an unknown one as itself."""
    text = "" if value is None else str(value)
    return WORDS[kind].get(text) or Word("?", text.replace("_", " ").capitalize() or "Unknown", "unknown")


def status(kind: str, value: object) -> str:
    """Icon and word."""
    found = word(kind, value)
    return f"{found.icon} {found.word}"


def plain(value: Any) -> Any:
    """The same data without control characters in its texts: nobody's reason may drive somebody's terminal."""
    if isinstance(value, str):
        return "".join(c for c in value if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    if isinstance(value, Mapping):
        return {plain(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def one_line(value: object, width: int = 0) -> str:
    """A text on one line, cut at ``width`` characters; 0 for no cut."""
    text = " ".join(str(value).split())
    return text[: width - 1] + "…" if 0 < width < len(text) else text


def clock(text: str | None, now: datetime | None = None) -> str:
    """``14:02:11 UTC``; with the date when it is not today (UTC)."""
    if not text:
        return NONE
    at = ends_at(text).astimezone(UTC)
    today = (now or datetime.now(UTC)).date()
    return f"{at:%H:%M:%S} UTC" if at.date() == today else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def seconds_between(start: str | None, end: str | None, now: datetime | None = None) -> float | None:
    """Seconds from one moment to another, or until now; None without a start."""
    if not start:
        return None
    return ((ends_at(end) if end else now or datetime.now(UTC)) - ends_at(start)).total_seconds()


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``42 s``, ``14m 03s``, ``2h 05m``, ``3d 02h``."""
    if seconds is None:
        return NONE
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def number(value: float | None, unit: str) -> str:
    """A measured value with its unit; a share in per cent."""
    if value is None:
        return NONE
    if unit == "share":
        return f"{value * 100:.2f} %"
    shown = f"{value:.1f}" if unit == "ms" else f"{value:g}"
    return f"{shown} {unit}".rstrip()


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns as wide as their widest cell; the last one is not padded."""
    lines = [[one_line(cell) if cell not in (None, "") else NONE for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(headers, *lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [list(headers), *lines]
    ]


def versions(deployment: Mapping[str, Any]) -> str:
    """``v1.2.4 to v1.2.5``; the new one alone for the first release."""
    old, new = deployment.get("from_release"), deployment["to_release"]
    return f"{old} to {new}" if old else str(new)


def title(deployment: Mapping[str, Any]) -> str:
    """``Deploy 42: v1.2.4 to v1.2.5, production``."""
    verb = "Roll back" if deployment.get("reverts") else "Deploy"
    return f"{verb} {deployment['id']}: {versions(deployment)}, {deployment['environment']}"
