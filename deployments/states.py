"""The statuses of a deployment, what may follow what, and which sets they form. No Django here."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Status of a deployment (vocabulary in docs/architecture.md)."""

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    WATCHING = "watching"
    SUCCEEDED = "succeeded"
    ABORTING = "aborting"
    ABORTED = "aborted"
    FAILING = "failing"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


class StepStatus(StrEnum):
    """Status of one step."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class ApprovalState(StrEnum):
    """State of a request; every state but the first is final."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    FALLEN = "fallen"
    """What was asked for changed before somebody decided."""
    EXPIRED = "expired"


ACTIVE = frozenset({Status.PENDING, Status.RUNNING, Status.HELD, Status.WATCHING, Status.ABORTING})
"""The engine works on these; at most one per environment (a partial unique index holds it)."""

UNFINISHED = ACTIVE | {Status.FAILING}
"""Also those whose rollback is under way."""

TERMINAL = frozenset({Status.SUCCEEDED, Status.ABORTED, Status.ROLLED_BACK, Status.FAILED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.DRAFT: frozenset({Status.AWAITING_APPROVAL, Status.PENDING, Status.ABORTED}),
    Status.AWAITING_APPROVAL: frozenset({Status.PENDING, Status.ABORTED}),
    Status.PENDING: frozenset({Status.RUNNING, Status.ABORTING, Status.FAILING, Status.HELD}),
    Status.RUNNING: frozenset(
        {Status.HELD, Status.WATCHING, Status.SUCCEEDED, Status.ABORTING, Status.FAILING, Status.FAILED}
    ),
    Status.HELD: frozenset({Status.RUNNING, Status.WATCHING, Status.ABORTING, Status.FAILING}),
    Status.WATCHING: frozenset({Status.HELD, Status.RUNNING, Status.SUCCEEDED, Status.FAILING}),
    Status.ABORTING: frozenset({Status.ABORTED, Status.FAILED}),
    Status.FAILING: frozenset({Status.ROLLED_BACK, Status.FAILED}),
    Status.SUCCEEDED: frozenset({Status.FAILING}),
    Status.ABORTED: frozenset(),
    Status.ROLLED_BACK: frozenset(),
    Status.FAILED: frozenset(),
}


def may_follow(current: str, following: str) -> bool:
    """Whether a deployment may go from one status to another."""
    return Status(following) in TRANSITIONS[Status(current)]
