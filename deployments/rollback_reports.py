"""The report after a rollback: saved as often as wanted, completed once, reopened by an Admin.

The row is there from the moment when the rollback is asked for (``actions.py``); a rollback itself waits for no report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.domain import InvalidRequest
from accounts.roles import APPROVE, CHECKLISTS, DEPLOY
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from deployments import events, starting
from deployments.clock import db_now
from deployments.errors import ReportChanged, ReportIncomplete, WrongState
from deployments.models import RollbackReport
from deployments.rollback_report_queries import facts_of, related, with_evidence
from environments.models import Environment
from environments.permissions import allowed, require

QUESTIONS: Mapping[str, str] = {
    "what_failed": "What failed?",
    "why_rollback": "Why was the rollback needed?",
    "prevention": "How will it be prevented?",
}
"""The three questions (specification, part 4), by the field that keeps the answer."""
TEXT_LIMIT = 10_000
OWED, COMPLETE = "owed", "complete"


def state_of(report: RollbackReport) -> str:
    """``owed`` or ``complete``."""
    return OWED if report.completed_at is None else COMPLETE


def may_write(actor: Actor, environment: Environment) -> bool:
    """Whether an actor may write the reports of an environment: whoever works or deploys there."""
    return allowed(actor, CHECKLISTS, environment) or allowed(actor, DEPLOY, environment)


@use_case
def save(actor: Actor, report: RollbackReport, texts: Mapping[str, str], revision: int) -> RollbackReport:
    """Keep a draft; unknown answers stay as they are, equal ones change nothing.

    Args:
        texts: answers by the names of ``QUESTIONS``; those that are not named stay.
        revision: of the report that the person saw.

    Raises:
        Forbidden: the actor neither works nor deploys in the environment.
        InvalidRequest: an answer is too long, or no plain text.
        WrongState: the report is complete; an Admin may reopen it.
        ReportChanged: somebody else changed it meanwhile. Nothing was done.
    """
    locked = _lock(actor, report, revision)
    changed = _answer(locked, texts)
    if not changed:
        return locked
    before = {name: getattr(report, name) for name in changed}
    return _save(actor, locked, "deployment.report_saved", before, {name: getattr(locked, name) for name in changed})


@use_case
def complete(actor: Actor, report: RollbackReport, texts: Mapping[str, str], revision: int) -> RollbackReport:
    """Finish a report: all three questions are answered, and the facts are frozen as they are now.

    Raises:
        Forbidden, InvalidRequest, ReportChanged: as for ``save``.
        ReportIncomplete: a question has no answer; each is named. Nothing was kept.
        WrongState: it is complete already, or the rollback has not ended.
    """
    locked = _lock(actor, report, revision)
    _answer(locked, texts)
    missing = [name for name in QUESTIONS if not getattr(locked, name)]
    if missing:
        raise ReportIncomplete({name: f"Answer the question “{QUESTIONS[name]}”." for name in missing})
    if not locked.rollback.is_finished:
        status = locked.rollback.status
        raise WrongState(
            f"The rollback, deployment {locked.rollback_id}, has not ended. Save a draft; complete it then.", status
        )
    locked.facts = facts_of(locked).as_json()
    locked.completed_at, locked.completed_by = db_now(), actor.user
    answers = {name: getattr(locked, name) for name in QUESTIONS}
    return _save(actor, locked, "deployment.report_completed", None, answers)


@use_case
def reopen(actor: Actor, report: RollbackReport, reason: str) -> RollbackReport:
    """Open a complete report again: it is owed until somebody completes it.

    Raises:
        Forbidden: the actor may not approve in the environment; it takes an Admin.
        InvalidRequest: no reason, or it is too long.
        WrongState: it is not complete.
    """
    require(actor, APPROVE, report.rollback.environment)
    reason = starting.clean_reason(reason)
    locked = _fresh(report)
    if locked.completed_at is None:
        raise WrongState("The report is not complete, so it is open already.", OWED)
    by = locked.completed_by.display_name if locked.completed_by else ""
    was = {"completed_by": by, "completed_at": locked.completed_at.isoformat()}
    locked.completed_at, locked.completed_by, locked.facts = None, None, {}
    return _save(actor, locked, "deployment.report_reopened", was, None, reason)


def _lock(actor: Actor, report: RollbackReport, revision: int) -> RollbackReport:
    environment = report.rollback.environment
    if not allowed(actor, DEPLOY, environment):
        require(actor, CHECKLISTS, environment)
    locked = _fresh(report)
    if locked.completed_at is not None:
        who = locked.completed_by.display_name if locked.completed_by else "Somebody"
        raise WrongState(
            f"{who} completed it at {locked.completed_at:%Y-%m-%d %H:%M} UTC. Nothing was done; "
            "an Admin can reopen it.",
            COMPLETE,
        )
    if locked.revision != revision:
        who = locked.touched_by.display_name if locked.touched_by else "Somebody"
        raise ReportChanged(f"{who} changed the report meanwhile. Nothing was done.", locked.revision)
    return locked


def _fresh(report: RollbackReport) -> RollbackReport:
    # First the lock, then the reading: a row that is joined to a locked one may be as old as the wait for the lock.
    RollbackReport.objects.select_for_update().values_list("pk").get(pk=report.pk)
    return with_evidence(related(RollbackReport.objects.all())).get(pk=report.pk)


def _answer(report: RollbackReport, texts: Mapping[str, str]) -> list[str]:
    """Put answers into a report; the names of those that changed."""
    changed = []
    for name in QUESTIONS:
        if name not in texts:
            continue
        text = _clean(name, texts[name])
        if text != getattr(report, name):
            setattr(report, name, text)
            changed.append(name)
    return changed


def _clean(name: str, text: str) -> str:
    text = (text or "").replace("\r\n", "\n").strip()
    if "\x00" in text:
        raise InvalidRequest(name, "The text holds a NUL character. Remove it.")
    if len(text) > TEXT_LIMIT:
        raise InvalidRequest(name, f"The answer has {len(text):,} characters; at most {TEXT_LIMIT:,} are kept.")
    return text


def _save(
    actor: Actor,
    report: RollbackReport,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    reason: str = "",
) -> RollbackReport:
    report.revision += 1
    report.touched_at, report.touched_by = db_now(), actor.user
    report.save()
    rollback = report.rollback
    kept = {"report": report.pk, "revision": report.revision, **(after or {})}
    # Of the rollback, so that its event log tells of its report as well.
    record(actor, action, rollback, environment=rollback.environment.name, reason=reason, before=before, after=kept)
    events.publish(rollback)
    if rollback.reverts is not None:
        events.publish(rollback.reverts)
    return report
