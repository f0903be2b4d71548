"""The words, icons and tones of every status: one table, so that a status reads the same on every page.

Tones: ``plain`` and ``ok`` are grey (normal), ``run`` is grey with a turning icon; ``info`` asks for a decision;
``warn``, ``crit`` and ``unknown`` are abnormal and coloured. Icons are Lucide names.
"""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """How one value of a status is shown."""

    icon: str
    word: str
    tone: str


UNKNOWN = Word("circle-question-mark", "Unknown", "unknown")
_PASS = Word("circle-check", "Pass", "ok")
_RUNNING = Word("loader-circle", "Running", "run")
_FAILED = Word("octagon-alert", "Failed", "crit")
_NO_DATA = Word("circle-question-mark", "No data", "unknown")
_STALE = Word("unplug", "Stale", "unknown")

WORDS: dict[str, dict[str, Word]] = {
    "deployment": {
        "draft": Word("circle-dashed", "Draft", "plain"),
        "awaiting_approval": Word("clock", "Waiting for approval", "info"),
        "pending": Word("clock", "Waiting to start", "plain"),
        "running": _RUNNING,
        "held": Word("circle-pause", "Held", "info"),
        "watching": Word("eye", "Watching", "plain"),
        "succeeded": Word("circle-check", "Succeeded", "ok"),
        "aborting": Word("octagon-x", "Aborting", "warn"),
        "aborted": Word("octagon-x", "Aborted", "plain"),
        "failing": Word("octagon-alert", "Failing, rolling back", "crit"),
        "rolled_back": Word("undo-2", "Rolled back", "warn"),
        "failed": _FAILED,
    },
    "step": {
        "pending": Word("circle-dashed", "Waiting", "plain"),
        "running": _RUNNING,
        "held": Word("circle-pause", "Held", "info"),
        "succeeded": Word("circle-check", "Done", "ok"),
        "failed": _FAILED,
        "skipped": Word("circle-minus", "Skipped", "plain"),
        "review": Word("clock", "Waiting for somebody", "info"),
        "ended": Word("octagon-x", "Ended here", "plain"),
    },
    "approval": {
        "waiting": Word("clock", "Waiting", "info"),
        "approved": Word("circle-check", "Approved", "ok"),
        "rejected": Word("octagon-x", "Rejected", "plain"),
        "withdrawn": Word("undo-2", "Withdrawn", "plain"),
        "fallen": Word("triangle-alert", "Fallen", "warn"),
        "expired": Word("clock-alert", "Expired", "warn"),
    },
    "rollback_report": {
        "owed": Word("file-pen-line", "Owed", "info"),
        "complete": Word("circle-check", "Complete", "ok"),
    },
    "verdict": {
        "pass": Word("circle-check", "Within", "ok"),
        "warn": Word("triangle-alert", "Near limit", "warn"),
        "fail": Word("octagon-alert", "Above limit", "crit"),
        "no_data": _NO_DATA,
        "error": Word("circle-question-mark", "Cannot judge", "unknown"),
    },
    "health": {
        "pass": _PASS,
        "warn": Word("triangle-alert", "Warning", "warn"),
        "fail": Word("octagon-alert", "Fail", "crit"),
        "no_data": _NO_DATA,
        "stale": _STALE,
        "unreachable": Word("unplug", "No answer", "crit"),
    },
    "slot": {
        "live": Word("circle-dot", "Live", "strong"),
        "preview": Word("eye", "Preview", "plain"),
        "standby": Word("circle", "Standby", "plain"),
        "stopped": Word("circle-minus", "Stopped", "plain"),
    },
    "trading": {
        "ACTIVE": Word("activity", "Active", "strong"),
        "STANDBY": Word("circle", "Standby", "plain"),
        "REDUCING": Word("triangle-alert", "Reducing", "warn"),
        "HALTED": Word("octagon-x", "Halted", "crit"),
        "": _NO_DATA,
    },
    "outcome": {
        "intent": Word("circle-dashed", "Intended", "plain"),
        "done": Word("circle-check", "Done", "ok"),
        "failed": _FAILED,
        "denied": Word("lock", "Denied", "warn"),
    },
    "chain": {
        "intact": Word("link", "Chain intact", "ok"),
        "late": Word("unplug", "Chain not checked lately", "unknown"),
        "broken": Word("octagon-alert", "Chain BROKEN", "crit"),
        "unchecked": Word("circle-question-mark", "Chain not checked yet", "unknown"),
    },
    "check": {
        "ok": _PASS,
        "blocked": Word("octagon-alert", "Blocks", "crit"),
        "overridden": Word("triangle-alert", "Overridden", "warn"),
        "skipped": Word("circle-minus", "Not asked", "plain"),
        "pending": Word("clock", "Waiting", "plain"),
    },
    "stands_out": {"audit": Word("triangle-alert", "Look again", "warn")},
    "freeze": {
        "in force": Word("octagon-alert", "In force", "warn"),
        "coming": Word("clock", "Coming", "info"),
        "lifted": Word("undo-2", "Lifted", "plain"),
        "over": Word("circle-check", "Over", "plain"),
    },
    "trade": {
        "win": Word("circle-check", "Win", "ok"),
        "loss": Word("circle-minus", "Loss", "plain"),
        "open": Word("circle-dashed", "Open", "plain"),
        "failed": _FAILED,
    },
    "person": {
        "active": Word("circle-check", "Active", "ok"),
        "invited": Word("clock", "Invited, not entered yet", "plain"),
        "inactive": Word("circle-minus", "Inactive", "plain"),
    },
    "factor": {
        "both": Word("shield-check", "Passkey and app", "ok"),
        "passkey": Word("shield-check", "Passkey", "ok"),
        "app": Word("shield-check", "Authenticator app", "ok"),
        "none": Word("shield-off", "None", "plain"),
    },
    "permission": {
        "yes": Word("circle-check", "Yes", "strong"),
        "production": Word("circle-check", "Production only", "strong"),
        "elsewhere": Word("circle-dot-dashed", "Outside of production", "plain"),
        "no": Word("circle-minus", "No", "plain"),
    },
    "stop": {
        "ready": Word("circle-check", "Not engaged", "ok"),
        "engaged": Word("octagon-x", "Engaged", "crit"),
        "stopping": Word("loader-circle", "Stopping", "run"),
        "flat": Word("circle-check", "Confirmed flat", "strong"),
        "late": Word("octagon-alert", "NOT CONFIRMED", "crit"),
        "not_flat": Word("octagon-alert", "NOT FLAT", "crit"),
        "unconfirmed": Word("octagon-alert", "NOT CONFIRMED", "crit"),
        "ended": Word("octagon-alert", "Ended without an outcome", "crit"),
    },
    "stop_step": {
        "waiting": Word("circle-dashed", "Waiting", "plain"),
        "running": _RUNNING,
        "done": Word("circle-check", "Done", "ok"),
        "late": Word("octagon-alert", "Not confirmed", "crit"),
        "failed": _FAILED,
    },
    "alert": {
        "critical": Word("octagon-alert", "Critical", "crit"),
        "warning": Word("triangle-alert", "Warning", "warn"),
    },
    "alert_state": {
        "open": Word("bell", "Open", "plain"),
        "acknowledged": Word("user-check", "Acknowledged", "plain"),
        "over": Word("bell", "Not acknowledged", "plain"),
        "cleared": Word("circle-check", "Cleared", "ok"),
    },
    "delivery": {
        "sending": Word("loader-circle", "Being sent", "run"),
        "sent": Word("circle-check", "Sent", "ok"),
        "failed": Word("octagon-alert", "Not sent", "crit"),
    },
    "breaker": {
        "closed": Word("circle-check", "Closed", "ok"),
        "open": Word("octagon-x", "Open: trading stopped", "crit"),
        "no_data": _NO_DATA,
        "reset": Word("circle-check", "Reset", "plain"),
    },
    "clearance": {
        "waiting": Word("clock", "Waiting for another person", "info"),
        "approved": Word("loader-circle", "Approved, being done", "run"),
        "done": Word("circle-check", "Done", "ok"),
        "failed": Word("octagon-alert", "Approved, but not done", "crit"),
        "rejected": Word("octagon-x", "Rejected", "plain"),
        "withdrawn": Word("undo-2", "Withdrawn", "plain"),
        "fell": Word("triangle-alert", "Fell", "warn"),
        "expired": Word("clock-alert", "Expired", "warn"),
    },
    "database_run": {
        "waiting": Word("clock", "Waiting for a worker", "plain"),
        "running": _RUNNING,
        "succeeded": Word("circle-check", "Done", "ok"),
        "failed": _FAILED,
    },
    "checklist": {
        "open": Word("clock", "Open", "plain"),
        "late": Word("clock-alert", "Late", "warn"),
        "complete": Word("circle-check", "Done", "ok"),
        "complete_late": Word("circle-check", "Done late", "plain"),
        "missed": Word("octagon-x", "Missed", "warn"),
    },
    "item": {
        "open": Word("square", "Open", "plain"),
        "done": Word("square-check", "Done", "ok"),
        "deviation": Word("triangle-alert", "Deviation", "warn"),
        "second": Word("users", "Waits for a second person", "info"),
    },
    "reading": {
        "pass": Word("circle-check", "As expected", "ok"),
        "warn": Word("triangle-alert", "Look at it", "warn"),
        "fail": Word("octagon-alert", "Not as expected", "crit"),
        "no_data": _NO_DATA,
    },
    "runbook": {
        "running": _RUNNING,
        "resolved": Word("circle-check", "Resolved", "ok"),
        "unresolved": Word("octagon-alert", "Not resolved", "warn"),
        "abandoned": Word("octagon-x", "Abandoned", "plain"),
    },
    "runbook_step": {
        "waiting": Word("circle-dashed", "Not done", "plain"),
        "current": Word("circle-dot", "Current", "strong"),
        "done": Word("circle-check", "Done", "ok"),
        "failed": Word("octagon-alert", "Failed", "warn"),
        "skipped": Word("circle-minus", "Skipped", "plain"),
    },
    "remedy": {
        "running": _RUNNING,
        "lost": _NO_DATA,
        "pass": Word("circle-check", "Done", "ok"),
        "warn": Word("triangle-alert", "Asked for", "plain"),
        "fail": Word("octagon-alert", "Not done", "crit"),
        "no_data": _NO_DATA,
    },
    "key": {
        "usable": Word("circle-check", "Usable", "ok"),
        "due": Word("triangle-alert", "Ends soon", "warn"),
        "replaced": Word("clock", "Replaced, ends soon", "plain"),
        "expired": Word("circle-minus", "Expired", "plain"),
        "revoked": Word("ban", "Revoked", "plain"),
        "inactive": Word("lock", "Refused: owner inactive", "plain"),
    },
}


def look_up(kind: str, value: object) -> Word:
    """The word for a value of a kind of status; an unknown value is shown as itself, marked unknown.

    Raises:
        KeyError: there is no such kind of status.
    """
    words = WORDS[kind]
    text = "" if value is None else str(value)
    return words.get(text) or UNKNOWN._replace(word=text.replace("_", " ").capitalize() or UNKNOWN.word)
