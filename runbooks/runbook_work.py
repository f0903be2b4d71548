"""Diagnostics and remedies of a step. What they ask and do happens between two transactions, never within one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.domain import DomainError, InvalidRequest, NotFound
from accounts.errors import Forbidden, ProofError
from accounts.use_case import use_case
from audit.actors import Actor
from audit.redaction import redact
from environments import evidence, remedies
from environments.evidence import Subject, Verdict
from environments.permissions import require
from environments.remedies import Remedy
from runbooks import library, runbook_commands, runbook_events
from runbooks.errors import RunChanged
from runbooks.models import RunbookRun, StepOutput, StepVisit
from runbooks.runbook_commands import LONGEST_OUTPUT
from runbooks.runbook_control import current, keep, lock, tell, written
from runbooks.runbook_parts import Diagnostic
from runbooks.runbook_queries import output_state, places_of

logger = logging.getLogger(__name__)
LONGEST_INLINE = 10
"""Seconds that a command may take while the person's request waits; a longer one is a worker's."""
WAITING = "Waits for a worker."
RUNNING = "Running."
UNKNOWN = "The console met an error of its own; nobody can say what was done. Look at the step's evidence."


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a diagnostic or a remedy."""

    verdict: str
    value: str
    output: str = ""
    link: str = ""


def diagnose(actor: Actor, run: RunbookRun, name: str, *, revision: int | None = None) -> StepOutput:
    """Run a diagnostic of the current step: evidence by its name, a command as ``command:<name>``.

    What takes at most 10 s is done when this returns. A longer command is a worker's: the output has no
    ``finished_at`` yet, and pages are told when it has.

    Raises:
        NotFound: the step has no such diagnostic.
        RunChanged: it runs at this moment, or the run is not as the page showed it.
        Forbidden, NotInControl, RunClosed: see ``runbook_control.lock``.
    """
    output, check = _begin_diagnostic(actor, run, name, revision)
    if check.command is not None and check.command.timeout > LONGEST_INLINE:
        return output
    return _settle(output, _found(output, check))


def run_command(output_pk: int) -> None:
    """Carry out the command of an output that waits for a worker; harmless to repeat."""
    related = ("visit__run__text", "visit__run__environment__service")
    output = StepOutput.objects.filter(pk=output_pk, finished_at=None).select_related(*related).first()
    if output is None or output_state(output) == "lost" or not _claim(output):
        return
    run = output.visit.run
    step = library.read(run.text.digest, run.text.text).step(output.visit.step)
    check = step.diagnostic(output.name) if step else None
    if check is not None and check.command is not None:
        _settle(output, _found(output, check))


def remedy(actor: Actor, run: RunbookRun, name: str, reason: str, *, revision: int | None = None) -> StepOutput:
    """Carry out a remedy of the current step. What refuses it is kept as its output (verdict ``fail``), in its words.

    Raises:
        NotFound: the step offers no such remedy, or this console has none of the name.
        InvalidRequest: no reason; or it is done on a page of its own, which the message names.
        Forbidden: the actor may not carry out runbooks there, or lacks the permission of the remedy.
        NotInControl, RunClosed, RunChanged: see ``runbook_control.lock``.
    """
    reason = written(reason, "reason", "Say why; it stands in the audit trail.")
    output, found = _begin_remedy(actor, run, name, reason, revision)
    return _settle_remedy(actor, output, reason, _carried_out(actor, output, found, reason))


@use_case
def _begin_diagnostic(actor: Actor, run: RunbookRun, name: str, revision: int | None) -> tuple[StepOutput, Diagnostic]:
    locked = lock(actor, run, revision)
    _, step, visit = current(locked)
    check = step.diagnostic(name)
    provider = evidence.providers().get(name)
    if check is None or (check.command is None and provider is None):
        raise NotFound(f"Step {step.number} has no diagnostic {name[:80]!r}.")
    for earlier in visit.outputs.filter(name=name, finished_at=None):
        if output_state(earlier) == "running":
            raise RunChanged("This diagnostic runs at this moment. Wait for what it says.")
    title = (
        check.command.title or " ".join(check.command.run) if check.command else provider.title if provider else name
    )
    output = _open(actor, visit, StepOutput.Kind.DIAGNOSTIC, name, title)
    tell(actor, "runbook.diagnosed", locked, step=step.number, name=name)
    runbook_events.publish(locked)
    if check.command is not None and check.command.timeout > LONGEST_INLINE:
        output.value = WAITING
        output.save(update_fields=["value"])
        runbook_events.ask_worker(output)
    output.visit.run = locked
    return output, check


def _claim(output: StepOutput) -> bool:
    """Only one worker carries a command out."""
    return bool(StepOutput.objects.filter(pk=output.pk, value=WAITING, finished_at=None).update(value=RUNNING))


def _found(output: StepOutput, check: Diagnostic) -> Result:
    """What a diagnostic finds now. Asks the running systems; holds no lock."""
    run = output.visit.run
    values = places_of(run)
    if check.command is None:
        reading = evidence.read(check.name, Subject(run.environment, values.get("release", ""))).reading
        return Result(str(reading.verdict), reading.value, reading.detail, reading.link)
    try:
        ran = runbook_commands.run(check.command.run, check.command.timeout, values)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the step can go on
        logger.warning("command of a runbook failed", exc_info=True)
        return Result(Verdict.NO_DATA, f"Could not be run: {error}")
    verdict = Verdict.NO_DATA if ran.code is None else Verdict.FAIL if ran.code else Verdict.PASS
    return Result(verdict, ran.words[:1].upper() + ran.words[1:], ran.output)


@use_case
def _begin_remedy(
    actor: Actor, run: RunbookRun, name: str, reason: str, revision: int | None
) -> tuple[StepOutput, Remedy]:
    locked = lock(actor, run, revision)
    _, step, visit = current(locked)
    found = remedies.remedies().get(name) if step.offers(name) else None
    if found is None:
        raise NotFound(f"Step {step.number} offers no remedy {name[:80]!r}.")
    require(actor, found.permission, locked.environment)
    if found.page is not None:
        path = found.page(_subject(locked))
        raise InvalidRequest("name", f"“{found.title}” is done on its own page: {path}")
    output = _open(actor, visit, StepOutput.Kind.REMEDY, name, found.title)
    keep(locked)
    output.visit.run = locked
    return output, found


def _carried_out(actor: Actor, output: StepOutput, found: Remedy, reason: str) -> Result:
    """Do it: a use case of another app with a transaction of its own. Its refusal is an answer, not our error."""
    assert found.run is not None
    try:
        said = found.run(actor, _subject(output.visit.run), reason)
    except (DomainError, Forbidden, ProofError) as error:
        return Result(Verdict.FAIL, "Refused. Nothing was done.", str(error))
    except Exception as error:  # noqa: BLE001 - what happened is kept with the step; the trace is in the log
        logger.exception("remedy %s of a runbook failed", output.name)
        return Result(Verdict.FAIL, UNKNOWN, f"{type(error).__name__}: {error}")
    return Result(Verdict.PASS, said)


@use_case
def _settle_remedy(actor: Actor, output: StepOutput, reason: str, result: Result) -> StepOutput:
    kept = _settle(output, result)
    run = output.visit.run
    words = {"name": output.name, "outcome": result.verdict, "said": result.value, "detail": result.output[:2_000]}
    tell(actor, "runbook.remedied", run, reason, step=output.visit.step, **words)
    return kept


def _open(actor: Actor, visit: StepVisit, kind: Any, name: str, title: str) -> StepOutput:
    words = {"kind": kind, "name": name, "title": title[:200]}
    return StepOutput.objects.create(visit=visit, started_at=timezone.now(), by=actor.user, **words)


def _settle(output: StepOutput, result: Result) -> StepOutput:
    """Keep what came of it, without secrets and not longer than anybody reads."""
    output.verdict, output.link, output.finished_at = result.verdict, result.link[:200], timezone.now()
    output.value = redact(result.value.replace("\x00", ""))[:2_000]
    output.output = redact(result.output.replace("\x00", ""))[:LONGEST_OUTPUT]
    output.save(update_fields=["verdict", "value", "output", "link", "finished_at"])
    runbook_events.publish(output.visit.run)
    return output


def _subject(run: RunbookRun) -> Subject:
    return Subject(run.environment, places_of(run).get("release", ""))
