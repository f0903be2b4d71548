"""What can go wrong, each with the exit code that scripts see and the words that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes; they never change their meaning."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SIGN_IN = 3
    FORBIDDEN = 4
    REFUSED = 5
    UNREACHABLE = 6
    WAITING = 7
    TIMEOUT = 8
    NOT_FLAT = 9
    UNCONFIRMED = 10
    INTERRUPTED = 130


EXIT_WORDS = {
    Exit.DONE: "done",
    Exit.FAILED: "the act or the deployment failed: failed, rolled back or aborted",
    Exit.USAGE: "wrong usage, or what was named does not exist",
    Exit.SIGN_IN: "not signed in",
    Exit.FORBIDDEN: "your role, or the bounds of your key, do not permit it",
    Exit.REFUSED: "refused because of the state: checks block it, another one runs, somebody was faster",
    Exit.UNREACHABLE: "the console cannot be reached, or has an error of its own",
    Exit.WAITING: "it waits for an approval",
    Exit.TIMEOUT: "not within the time that was given",
    Exit.NOT_FLAT: "emergency stop: something is left at the exchange; the list says what",
    Exit.UNCONFIRMED: "emergency stop: whether something is left, or somebody still trades, is not known",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}


class OpsctlError(Exception):
    """Something that ends the command.

    Args:
        message: what is wrong, one sentence or more.
        todo: what to do about it; empty when the message says it.
        problem: the console's problem+json answer, when there is one.
        request: method and address that were asked for.
    """

    exit_code = Exit.FAILED
    code = "failed"

    def __init__(
        self, message: str, todo: str = "", *, problem: Mapping[str, Any] | None = None, request: str = ""
    ) -> None:
        super().__init__(message)
        self.todo, self.problem, self.request = todo, dict(problem or {}), request

    @property
    def status(self) -> int | None:
        """HTTP status of the console's answer; None without one."""
        found = self.problem.get("status")
        return found if isinstance(found, int) else None

    def document(self) -> dict[str, Any]:
        """The error for ``--json``: the console's own members, and ours."""
        own = {"code": self.code, "detail": str(self), "todo": self.todo, "exit_code": int(self.exit_code)}
        return {"error": {**own, **self.problem, "exit_code": int(self.exit_code)}}


class UsageProblem(OpsctlError):
    """The command was called wrongly, or names something that does not exist."""

    exit_code, code = Exit.USAGE, "usage"


class Declined(OpsctlError):
    """The person said no."""

    code = "declined"


class NotSignedIn(OpsctlError):
    """There is no sign-in, it ran out, or the console did not accept it."""

    exit_code, code = Exit.SIGN_IN, "unauthenticated"


class Forbidden(OpsctlError):
    """The console says that this person, or this key, may not do it."""

    exit_code, code = Exit.FORBIDDEN, "forbidden"


class Refused(OpsctlError):
    """The state does not permit it; nothing was done."""

    exit_code, code = Exit.REFUSED, "refused"


class Unreachable(OpsctlError):
    """No answer, or an answer 5xx."""

    exit_code, code = Exit.UNREACHABLE, "unreachable"


class TimedOut(OpsctlError):
    """What was waited for did not happen in time."""

    exit_code, code = Exit.TIMEOUT, "timeout"


_KINDS: dict[int, type[OpsctlError]] = {
    400: UsageProblem,
    401: NotSignedIn,
    403: Forbidden,
    404: UsageProblem,
    405: UsageProblem,
}
_ADVICE = {
    "unauthenticated": "Sign in: opsctl login",
    "wrong_state": "Look at what it is about now: opsctl status",
    "subject_changed": "Read the approval again: opsctl approvals",
    "database_unavailable": "Try again in a moment; watches and rollbacks that run go on.",
    "internal_error": "Try again; if it stays, look the request up in the console's log.",
}


def from_answer(status: int, problem: Mapping[str, Any], request: str) -> OpsctlError:
    """The error that an answer of the console stands for."""
    kind = _KINDS.get(status) or (Unreachable if status >= 500 else Refused)
    code = str(problem.get("code") or "")
    words = str(problem.get("detail") or problem.get("title") or f"The console answered {status}.")
    todo = _ADVICE.get(code, "")
    if wait := problem.get("retry_after"):
        todo = f"Try again in {wait} s."
    if blocking := problem.get("blocking_deployment"):
        todo = f"Look at it: opsctl watch {blocking}"
    return kind(words, todo, problem={**problem, "status": status}, request=request)


def lines(error: OpsctlError) -> list[str]:
    """The error for a person: what is wrong, where, what to do."""
    title = str(error.problem.get("title") or "")
    words = str(error)
    found = [f"opsctl: {title}." if title else f"opsctl: {words}"]
    reasons = error.problem.get("reasons")
    if isinstance(reasons, list):
        for reason in reasons:
            found.append(f"  - {reason.get('check', '')}: {reason.get('reason', '')}")
            if reason.get("todo"):
                found.append(f"    {reason['todo']}")
        if reasons and all(reason.get("overridable") for reason in reasons):
            found.append('  An Admin may let it start all the same: --override "WHY"')
    elif title:
        found.append(f"  {words}")
    if error.todo:
        found.append(f"  To do: {error.todo}")
    request_id = error.problem.get("request_id")
    if request_id:
        found.append(f"  Request {request_id} ({error.request})")
    elif error.request:
        found.append(f"  Asked: {error.request}")
    return found
