"""The sentences of the deployment gate, and what a report says of a release."""

from __future__ import annotations

from typing import Any

from deployments.models import Freeze, Release, TestReport
from environments.pages import seconds_in_words

REPORT_TITLES = {
    "tests": "All tests pass",
    "review": "Code reviewed",
    "benchmarks": "Benchmarks acceptable",
}
LONGEST = 200


def one_line(text: str) -> str:
    """A text on one line, cut where it gets long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def frozen(freeze: Freeze) -> str:
    """A freeze in a sentence: until when, by whom, why."""
    by, until = freeze.set_by.display_name, f"{freeze.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"Frozen until {until} by {by}: {one_line(freeze.reason)}"


def never_measured(planned: float) -> str:
    """Before the first rollback: what its plan takes."""
    return (
        "No rollback was measured here yet. By the plan the old slot stays warm and one shift leads back; if it has to "
        f"be started again, that takes at most {seconds_in_words(planned)}."
    )


def report(found: TestReport | None, release: Release) -> tuple[bool, str]:
    """Whether the newest report of a kind lets a release pass, and what it says."""
    if found is None:
        return False, f"Nobody reported it for {release} ({release.digest[:19]}…)."
    said = f"{one_line(found.summary)} Reported by {found.reported_by_name}, {found.reported_at:%Y-%m-%d %H:%M} UTC."
    if not found.passed:
        return False, f"Not passed: {said}"
    if found.kind == "review" and (own := reviewed_by_author(found.data)):
        return False, f"{own} reviewed their own change. {said}"
    return True, said


def reviewed_by_author(data: dict[str, Any]) -> str:
    """The author, when nobody else is named as the reviewer; empty when somebody is, or one of the two is not known."""
    author, reviewers = _name(data.get("author")), data.get("reviewers", data.get("reviewer"))
    names = [_name(one) for one in (reviewers if isinstance(reviewers, list) else [reviewers])]
    known = [name for name in names if name]
    if not author or not known or any(name.casefold() != author.casefold() for name in known):
        return ""
    return author


def _name(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def report_todo(kind: str, release: Release) -> str:
    """What to do about a missing or failed report."""
    what = {
        "tests": "Run the tests of this build and report them",
        "review": "Have somebody else than the author review it, and report that",
        "benchmarks": "Run the benchmarks of this build and report them",
    }[kind]
    return f"{what}: opsctl report {kind} {release.version}, or POST /api/v1/test-reports/."
