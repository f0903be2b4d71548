"""A deployment as a story: what changed between two readings, and how it ended. Plain data in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opsctl import render
from opsctl.errors import Exit

Reading = Mapping[str, Any]
"""A deployment as ``GET /api/v1/deployments/{id}/`` answers it."""
TERMINAL = frozenset({"succeeded", "aborted", "rolled_back", "failed"})
ENDS = {"succeeded": Exit.DONE, "awaiting_approval": Exit.WAITING}
PROMOTE_ASKED = "Waiting for somebody"
"""How the detail of the gate begins when it waits for a press of Promote."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed."""

    kind: str
    """``status``, ``step``, ``verdict``, ``recommendation``, ``end``."""
    deployment: int
    at: str | None
    """When, as far as the console says; None when only the reading is known to be later."""
    words: str
    tone: str = "plain"
    data: dict[str, Any] = field(default_factory=dict)
    """Members for scripts."""

    def document(self) -> dict[str, Any]:
        """One JSON line."""
        return {"kind": self.kind, "deployment": self.deployment, "at": self.at, "text": self.words, **self.data}

    def line(self) -> str:
        """One line of a log."""
        return f"{render.clock(self.at) if self.at else '':>12}  {self.words}"


def changes(before: Reading | None, after: Reading) -> Iterator[Change]:
    """What differs, in the order in which it is to be told; everything that has happened when there is no before."""
    yield from _status(before, after)
    yield from _steps(before, after)
    yield from _verdicts(before, after)
    yield from _advice(before, after)


def _status(before: Reading | None, after: Reading) -> Iterator[Change]:
    old = before["status"] if before else None
    if old == after["status"]:
        return
    found = render.word("deployment", after["status"])
    why = f": {after['failure_reason']}" if after["failure_reason"] else ""
    data = {"status": after["status"], "before": old}
    at = after["finished_at"] or (after["started_at"] if old is None else None)
    yield Change("status", after["id"], at, f"{found.icon} {found.word}{why}", found.tone, data)


def _steps(before: Reading | None, after: Reading) -> Iterator[Change]:
    old = {step["index"]: step for step in before["steps"]} if before else {}
    for step in after["steps"]:
        known = old.get(step["index"])
        waiting = step["status"] == "running" and known is not None and known["detail"] != step["detail"]
        if step["status"] == (known["status"] if known else "pending") and not waiting:
            continue
        found = render.word("step", step["status"])
        took = render.seconds_between(step["started_at"], step["finished_at"]) if step["finished_at"] else None
        spent = f" ({render.duration(took)})" if took is not None and step["status"] != "skipped" else ""
        detail = f": {step['detail']}" if step["detail"] else ""
        words = f"{found.icon} {step['title']}: {found.word.lower()}{spent}{detail}"
        members = ("index", "name", "status", "detail")
        data = {"step": {name: step[name] for name in members}, "seconds": took}
        yield Change("step", after["id"], step["finished_at"] or step["started_at"], words, found.tone, data)


def _verdicts(before: Reading | None, after: Reading) -> Iterator[Change]:
    old = {verdict["rule"]: verdict["verdict"] for verdict in before["verdicts"]} if before else {}
    for verdict in after["verdicts"]:
        if verdict["verdict"] == old.get(verdict["rule"]):
            continue
        found = render.word("verdict", verdict["verdict"])
        words = f"{found.icon} {verdict['rule']}: {found.word.lower()}. {verdict['reason']}"
        members = ("rule", "verdict", "action", "value", "baseline", "limit", "unit", "reason")
        data = {"verdict": {name: verdict[name] for name in members}}
        yield Change("verdict", after["id"], verdict["at"], words, found.tone, data)


def _advice(before: Reading | None, after: Reading) -> Iterator[Change]:
    new = after["recommendation"]
    if before is not None and before["recommendation"]["verb"] == new["verb"]:
        return
    if before is None and new["verb"] == "none":
        return
    tone = "crit" if new["verb"] == "roll_back" else "info" if new["verb"] == "hold" else "plain"
    reasons = f" ({'; '.join(new['reasons'])})" if new["reasons"] else ""
    data = {"recommendation": dict(new)}
    yield Change("recommendation", after["id"], None, f"{new['title']}{reasons}", tone, data)


def exit_code(reading: Reading) -> Exit | None:
    """The exit code that a deployment ends a watch with; None while it goes on."""
    status = reading["status"]
    if status in ENDS:
        return ENDS[status]
    return Exit.FAILED if status in TERMINAL else None


def end(reading: Reading) -> Change:
    """The last line."""
    code = exit_code(reading) or Exit.DONE
    found = render.word("deployment", reading["status"])
    words = f"{found.icon} {render.title(reading)}: {ending(reading)}"
    data = {"status": reading["status"], "exit_code": int(code)}
    return Change("end", reading["id"], reading["finished_at"], words, found.tone, data)


def ending(reading: Reading) -> str:
    """What came of it, in a sentence."""
    old, new, why = reading["from_release"] or "nothing", reading["to_release"], reading["failure_reason"]
    because = f" Reason: {why}" if why else ""
    if reading["status"] == "succeeded":
        return f"back on {new}." if reading["reverts"] else f"{new} is live and marked successful."
    if reading["status"] == "rolled_back":
        return f"rolled back, {old} serves again.{because}"
    if reading["status"] == "aborted":
        return f"aborted before promotion, {old} kept serving.{because}"
    if reading["status"] == "awaiting_approval":
        return "waits for another person's approval."
    return f"failed.{because}"


def hint(reading: Reading) -> str:
    """What can be done now, as a command; empty when nothing is asked for."""
    gate = next((step for step in reading["steps"] if step["name"] == "await_promotion"), None)
    key = reading["id"]
    if reading["status"] == "awaiting_approval":
        approval = reading.get("approval") or {}
        return f"Another person approves it with: opsctl approve {approval.get('id', 'ID')}"
    if reading["status"] == "held":
        return f"Nothing moves until somebody resumes: opsctl resume {key}"
    if reading["recommendation"]["verb"] == "roll_back":
        return f"opsctl rollback {key}, or keep it: opsctl promote {key}"
    if gate and gate["status"] == "running" and str(gate["detail"]).startswith(PROMOTE_ASKED):
        return f"opsctl promote {key}, or opsctl abort {key}"
    return ""
