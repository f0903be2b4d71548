"""Deployments as the API answers them, for tests of what is written about them."""

from __future__ import annotations

from typing import Any

AT = "2026-11-23T14:02:{:02d}.500000Z"
STEPS = ("preflight", "start_slot", "await_promotion", "shift_traffic", "watch")


def step(index: int, status: str, detail: str = "", seconds: int = 1) -> dict[str, Any]:
    """One step; it began at second ``index`` * 10 and took ``seconds``."""
    began = AT.format(index * 10) if status != "pending" else None
    ended = AT.format(index * 10 + seconds) if status in ("succeeded", "failed") else None
    name = STEPS[index]
    title = name.replace("_", " ").capitalize()
    members = {"index": index, "name": name, "title": title, "status": status, "attempts": 1}
    return {**members, "started_at": began, "finished_at": ended, "detail": detail}


def verdict(rule: str, outcome: str, reason: str = "Because.") -> dict[str, Any]:
    """What a rule says."""
    numbers = {"value": 0.02, "baseline": 0.001, "limit": 0.01, "unit": "share"}
    return {"rule": rule, "kind": "error_rate", "verdict": outcome, "action": "rollback", **numbers} | {
        "reason": reason,
        "since": AT.format(1),
        "at": AT.format(2),
    }


def reading(status: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A deployment of v1.2.5 to production."""
    return {
        "id": 42,
        "environment": "production",
        "from_release": "v1.2.4",
        "to_release": "v1.2.5",
        "strategy": "blue_green",
        "status": status,
        "reverts": None,
        "reverted_by": None,
        "reason": "Test",
        "requested_by": "Ada Admin",
        "created_at": AT.format(0),
        "started_at": AT.format(0),
        "promoted_at": None,
        "finished_at": None,
        "failure_reason": "",
        "token": "running.before",
        "recommendation": {"verb": "none", "title": "No action needed", "reasons": []},
        "next_event": None,
        "steps": list(steps),
        "verdicts": [],
        **fields,
    }
