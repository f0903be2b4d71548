"""Use cases: a runbook is carried out, step by step.

``revision`` is what the page was drawn with (``RunbookRun.revision``); it grows when the run moves, changes hands or
ends and when a remedy is begun, not with notes and diagnostics. None: it does not matter.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

import runbooks.audit  # noqa: F401  registers the action names
from accounts.domain import InvalidRequest, NotFound
from accounts.roles import CHECKLISTS, VIEW
from accounts.use_case import use_case
from alerts.models import Alert
from audit.actors import Actor
from environments.models import Environment
from environments.permissions import allowed, require
from runbooks import library, runbook_about, runbook_events
from runbooks.errors import DefinitionInvalid, RunChanged
from runbooks.models import RunbookRun, RunbookText, StepVisit
from runbooks.runbook_control import LONGEST_NOTES, close, current, keep, lock, move, tell, written
from runbooks.runbook_parts import END, Runbook
from runbooks.runbook_queries import notes_token
from runbooks.runbook_work import diagnose, remedy

__all__ = [
    "abandon",
    "diagnose",
    "done",
    "failed",
    "finish",
    "note",
    "remedy",
    "skip",
    "start",
    "take_over",
]
Outcome, Status = StepVisit.Outcome, RunbookRun.Status


@use_case
def start(
    actor: Actor, environment: Environment, slug: str, *, alert: Alert | None = None, deployment: int | None = None
) -> RunbookRun:
    """Begin a run at its first step. The text is kept with it: a later change of the file does not change the run.

    Args:
        alert: what it is about, if anything; of the same environment, or of none.
        deployment: the number of the deployment that it is about, if any.

    Raises:
        Forbidden: the actor may not carry out runbooks there.
        NotFound: there is no such runbook.
        DefinitionInvalid: its file is broken; the message names each place.
        InvalidRequest: the alert or the deployment is of another environment, or does not exist.
    """
    require(actor, CHECKLISTS, environment)
    entry, runbook = _usable(slug)
    _check_subject(actor, environment, alert, deployment)
    kept = {"slug": entry.slug, "title": runbook.title, "text": entry.text}
    text_row = RunbookText.objects.get_or_create(digest=entry.digest, defaults=kept)[0]
    now = timezone.now()
    run = RunbookRun.objects.create(
        text=text_row,
        environment=environment,
        alert=alert,
        deployment=deployment,
        started_by=actor.user,
        operator=actor.user,
        started_at=now,
        touched_at=now,
    )
    StepVisit.objects.create(run=run, step=run.step, started_at=now)
    about = alert.pk if alert else None
    tell(actor, "runbook.started", run, alert=about, deployment=deployment, digest=entry.digest)
    runbook_events.publish(run)
    return run


@use_case
def take_over(actor: Actor, run: RunbookRun, *, revision: int | None = None) -> RunbookRun:
    """Become the one in control; who had it sees that at once. Nothing changes for who has it already.

    Raises:
        Forbidden, RunClosed, RunChanged: see ``runbook_control.lock``.
    """
    locked = lock(actor, run, revision, in_control=False)
    if locked.operator_id == actor.user.pk:
        return locked
    before = locked.operator.display_name
    locked.operator = actor.user
    keep(locked, "operator")
    tell(actor, "runbook.taken_over", locked, step=locked.step, before=before)
    return locked


@use_case
def done(actor: Actor, run: RunbookRun, *, revision: int | None = None) -> RunbookRun:
    """The step's result is as expected: the step to which "If yes" leads is current, else the next one.

    Raises:
        Forbidden, NotInControl, RunClosed, RunChanged: see ``runbook_control.lock``; also when no step is left.
    """
    locked = lock(actor, run, revision)
    runbook, step, visit = current(locked)
    to = runbook.after(step.number)
    move(actor, locked, visit, Outcome.DONE, "", to)
    tell(actor, "runbook.step_done", locked, step=step.number, title=step.title, next=to)
    return locked


@use_case
def failed(actor: Actor, run: RunbookRun, reason: str, *, revision: int | None = None) -> RunbookRun:
    """The step's result is not as expected: the step to which "If no" leads is current, else the next one.

    Raises:
        InvalidRequest: no reason. Otherwise as ``done``.
    """
    reason = written(reason, "reason", "Say what was not as expected.")
    locked = lock(actor, run, revision)
    runbook, step, visit = current(locked)
    to = runbook.after(step.number, failed=True)
    move(actor, locked, visit, Outcome.FAILED, reason, to)
    tell(actor, "runbook.step_failed", locked, reason, step=step.number, title=step.title, next=to)
    return locked


@use_case
def skip(
    actor: Actor, run: RunbookRun, reason: str, *, to: int | None = None, revision: int | None = None
) -> RunbookRun:
    """Leave the step out, or go to any other step, also back and also from behind the last one.

    Raises:
        InvalidRequest: no reason, or there is no such step. Otherwise as ``done``.
    """
    reason = written(reason, "reason", "Say why the step is left out.")
    locked = lock(actor, run, revision)
    runbook = library.read(locked.text.digest, locked.text.text)
    if to is not None and (runbook.step(to) is None or to == locked.step):
        raise InvalidRequest("to", f"Name another step from 1 to {len(runbook.steps)}.")
    left = locked.step
    if left == END and to is not None:
        StepVisit.objects.create(run=locked, step=to, started_at=timezone.now())
        locked.step = to
        keep(locked, "step")
    else:
        _, step, visit = current(locked)
        to = to if to is not None else (step.number + 1 if runbook.step(step.number + 1) else END)
        move(actor, locked, visit, Outcome.SKIPPED, reason, to)
    tell(actor, "runbook.step_skipped", locked, reason, step=left, next=to)
    return locked


@use_case
def note(actor: Actor, run: RunbookRun, text: str, *, was: str | None = None) -> RunbookRun:
    """Keep the notes as they are written. Not audited word by word: the audit has the end of the run.

    Args:
        was: ``runbook_queries.notes_token`` of the notes that the page showed; None: it does not matter.

    Raises:
        RunChanged: the notes were changed elsewhere meanwhile; they were left as they are there.
        InvalidRequest: they are too long.
        Forbidden, NotInControl, RunClosed: see ``runbook_control.lock``.
    """
    given = written(text, "text", limit=LONGEST_NOTES)
    locked = lock(actor, run)
    if given == locked.notes:
        return locked
    if was and was != notes_token(locked):
        raise RunChanged("The notes were changed in another window meanwhile. Yours were not kept; copy them, reload.")
    locked.notes, locked.touched_at = given, timezone.now()
    locked.save(update_fields=["notes", "touched_at"])
    runbook_events.publish(locked)
    return locked


@use_case
def finish(actor: Actor, run: RunbookRun, summary: str, *, resolved: bool, revision: int | None = None) -> RunbookRun:
    """End the run, from any step. What comes of it is a report that stays.

    Raises:
        InvalidRequest: no summary. Otherwise as ``done``.
    """
    summary = written(summary, "summary", "Write what was wrong, and what was done about it.", LONGEST_NOTES)
    locked = lock(actor, run, revision)
    _end(actor, locked, Status.RESOLVED if resolved else Status.UNRESOLVED, "The run was finished here.", summary)
    tell(actor, "runbook.finished", locked, summary, status=locked.status, notes=locked.notes)
    return locked


@use_case
def abandon(actor: Actor, run: RunbookRun, reason: str, *, revision: int | None = None) -> RunbookRun:
    """Give the run up; it stays as it is.

    Raises:
        InvalidRequest: no reason. Otherwise as ``done``.
    """
    reason = written(reason, "reason", "Say why it is given up.")
    locked = lock(actor, run, revision)
    _end(actor, locked, Status.ABANDONED, "The run was abandoned here.", reason)
    tell(actor, "runbook.abandoned", locked, reason, notes=locked.notes)
    return locked


def _usable(slug: str) -> tuple[library.Entry, Runbook]:
    entry = library.entry(slug)
    if entry is None or entry.runbook is None:
        broken = [problem for one in library.broken() if one.slug == slug for problem in one.problems]
        if broken:
            raise DefinitionInvalid("\n".join(broken))
        raise NotFound(f"There is no runbook {slug[:60]!r}.")
    return entry, entry.runbook


def _end(actor: Actor, run: RunbookRun, status: Any, left: str, summary: str) -> None:
    for visit in StepVisit.objects.filter(run=run, finished_at=None):
        close(actor, visit, Outcome.SKIPPED, left)
    run.status, run.summary, run.finished_at = status, summary, timezone.now()
    keep(run, "status", "summary", "finished_at")


def _check_subject(actor: Actor, environment: Environment, alert: Alert | None, deployment: int | None) -> None:
    """A run about something is a run where that is."""
    if alert is not None and alert.environment_id not in (None, environment.pk):
        raise InvalidRequest("alert", f"The alert {alert.pk} is not about {environment.name}.")
    if deployment is None:
        return
    found = runbook_about.deployment(deployment)
    if found is None or not allowed(actor, VIEW, environment):
        raise InvalidRequest("deployment", f"There is no deployment {deployment} that you may see.")
    if found.environment_id != environment.pk:
        raise InvalidRequest("deployment", f"The deployment {deployment} is not one of {environment.name}.")
