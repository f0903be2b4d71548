"""Who may act on a run, and how it moves from step to step. Used within the use cases' transactions."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from accounts.domain import InvalidRequest
from accounts.roles import CHECKLISTS
from audit.actions import record
from audit.actors import Actor
from environments.permissions import require
from runbooks import library, runbook_events
from runbooks.errors import NotInControl, RunChanged, RunClosed
from runbooks.models import RunbookRun, StepVisit
from runbooks.runbook_parts import END, Runbook, Step

LONGEST_REASON = 2_000
LONGEST_NOTES = 20_000


def lock(actor: Actor, run: RunbookRun, revision: int | None = None, *, in_control: bool = True) -> RunbookRun:
    """The run, locked until the end of the transaction, when the actor may act on it.

    Raises:
        Forbidden: the actor may not carry out runbooks there.
        RunClosed: it is over.
        NotInControl: another person has control.
        RunChanged: it is not as the page showed it.
    """
    require(actor, CHECKLISTS, run.environment)
    RunbookRun.objects.select_for_update().only("pk").get(pk=run.pk)
    # Not in one query: a join on the operator who had control finds nothing once somebody else has it.
    locked = RunbookRun.objects.select_related("text", "environment__service", "operator").get(pk=run.pk)
    if not locked.is_running:
        raise RunClosed(f"The run is over ({locked.get_status_display().lower()}). Nothing was done; start a new one.")
    if in_control and (actor.user is None or locked.operator_id != actor.user.pk):
        raise NotInControl(
            f"{locked.operator.display_name} has control of this run. Nothing was done; take over first."
        )
    if revision is not None and revision != locked.revision:
        where = f"step {locked.step} is current" if locked.step != END else "no step is left"
        raise RunChanged(f"The run went on meanwhile: {where} now. Nothing was done; look at it again.")
    return locked


def current(run: RunbookRun) -> tuple[Runbook, Step, StepVisit]:
    """The current step of a locked run.

    Raises:
        RunChanged: no step is left.
    """
    runbook = library.read(run.text.digest, run.text.text)
    step = runbook.step(run.step)
    visit = StepVisit.objects.filter(run=run, finished_at=None).first()
    if step is None or visit is None:
        raise RunChanged("No step is left. Nothing was done; finish the run.")
    return runbook, step, visit


def move(actor: Actor, run: RunbookRun, visit: StepVisit, outcome: Any, reason: str, to: int) -> None:
    """Close the visit of the current step and begin the one of the next; ``END`` begins none."""
    close(actor, visit, outcome, reason)
    if to != END:
        StepVisit.objects.create(run=run, step=to, started_at=timezone.now())
    run.step = to
    keep(run, "step")


def close(actor: Actor, visit: StepVisit, outcome: Any, reason: str) -> None:
    """Write down how a step went."""
    visit.outcome, visit.reason, visit.finished_at, visit.by = outcome, reason, timezone.now(), actor.user
    visit.save(update_fields=["outcome", "reason", "finished_at", "by"])


def keep(run: RunbookRun, *fields: str) -> None:
    """Save what changed of a locked run; pages that showed it before are told, and their forms are out of date."""
    run.revision += 1
    run.touched_at = timezone.now()
    run.save(update_fields=["revision", "touched_at", *fields])
    runbook_events.publish(run)


def tell(actor: Actor, action: str, run: RunbookRun, reason: str = "", **after: Any) -> None:
    """Write it into the audit trail."""
    kept = {"runbook": run.text.slug, **after}
    record(actor, action, run, environment=run.environment.name, reason=reason, after=kept)


def written(given: str, field: str, ask: str = "", limit: int = LONGEST_REASON) -> str:
    """What a person wrote, without the blanks around it.

    Args:
        ask: what to write when it is empty; without it, it may be.

    Raises:
        InvalidRequest: it is empty and must not be, or too long.
    """
    found = (given or "").replace("\x00", "").replace("\r\n", "\n").strip()
    if ask and not found:
        raise InvalidRequest(field, ask)
    if len(found) > limit:
        raise InvalidRequest(field, f"The text has {len(found):,} characters; at most {limit:,} are kept.")
    return found
