"""Reading runs of runbooks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone

from accounts.roles import CHECKLISTS, roles_with
from alerts.models import Alert
from environments import evidence, remedies
from environments.evidence import Subject
from environments.models import Environment, Slot
from environments.permissions import permissions_of
from runbooks import library, runbook_about
from runbooks.models import RunbookRun, StepOutput, StepVisit
from runbooks.models.runbook import RunbookRunQuerySet
from runbooks.runbook_format import END, Diagnostic, Runbook, Step
from runbooks.runbook_head import LONGEST_WAIT

logger = logging.getLogger(__name__)
LOST_AFTER = timedelta(seconds=LONGEST_WAIT + 60)
"""An output without an end is not expected any more after this: the process that made it is gone."""


@dataclass(frozen=True, slots=True)
class Brief:
    """A run in one line, for the header and for alerts: ``Step 4 of 9``."""

    run: RunbookRun
    runbook: Runbook

    @property
    def progress(self) -> str:
        """Where it stands, in words."""
        if not self.run.is_running:
            return self.run.get_status_display()
        return _progress(self.run, self.runbook)


@dataclass(frozen=True, slots=True)
class Check:
    """A diagnostic of the current step with what it gave."""

    name: str
    title: str
    outputs: Sequence[StepOutput]
    """Of this visit, newest first."""
    is_known: bool
    """False: this console has no such evidence."""
    command: str = ""
    """The argument list in words, for commands."""

    @property
    def last(self) -> StepOutput | None:
        """The newest output."""
        return self.outputs[0] if self.outputs else None


@dataclass(frozen=True, slots=True)
class Fix:
    """A remedy of the current step as the person sees it."""

    name: str
    title: str
    outputs: Sequence[StepOutput]
    is_known: bool
    may: bool
    who_can: str
    """Roles that may do it."""
    on_page: bool
    """It is done on a page of the console; ``page()`` gives its path."""
    effect: Callable[[], str]
    """What it would do now; asks the running system, so call it where it is shown, once."""
    page: Callable[[], str]


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything about one run as a person sees it."""

    run: RunbookRun
    runbook: Runbook
    """As it was when the run began, environment, service and release filled in."""
    step: Step | None
    """The current step; None behind the last one and when the run is over."""
    visit: StepVisit | None
    visits: Sequence[StepVisit]
    """In their order, with ``outputs.all()`` and ``by`` loaded."""
    checks: Sequence[Check]
    fixes: Sequence[Fix]
    may_work: bool
    """CHECKLISTS here: may act when in control, and may take over."""
    is_in_control: bool
    who_can: str

    @property
    def may_act(self) -> bool:
        """Whether the buttons of the step are theirs."""
        return self.run.is_running and self.is_in_control and self.may_work

    @property
    def may_take_over(self) -> bool:
        """Whether "Take over" is offered."""
        return self.run.is_running and self.may_work and not self.is_in_control

    @property
    def progress(self) -> str:
        """``Step 4 of 9``, or that all steps are behind."""
        return _progress(self.run, self.runbook)

    @property
    def is_at_end(self) -> bool:
        """No step is left; it waits to be finished."""
        return self.run.is_running and self.run.step == END

    @property
    def step_seconds(self) -> float:
        """How long the current step has taken by now; 0 without one."""
        return (timezone.now() - self.visit.started_at).total_seconds() if self.visit else 0.0

    @property
    def notes_token(self) -> str:
        """See ``notes_token``."""
        return notes_token(self.run)


def runs(user: Any) -> RunbookRunQuerySet:
    """Every run that a person may see, newest first, with what a row shows. One query."""
    related = ("text", "environment__service", "alert", "started_by", "operator")
    return RunbookRun.objects.visible_to(user).select_related(*related)


def running_of(user: Any, environments: Collection[int]) -> list[Brief]:
    """Runs in these environments that a person has control of, newest first, for the header. One query."""
    mine = RunbookRun.objects.filter(operator=user.pk, status=RunbookRun.Status.RUNNING, environment__in=environments)
    return [Brief(one, runbook_of(one)) for one in mine.select_related("text", "environment__service")[:5]]


def of_alert(user: Any, alert: Alert) -> list[Brief]:
    """The newest runs about an alert. One query."""
    return [Brief(one, runbook_of(one)) for one in runs(user).filter(alert=alert)[:10]]


def of_deployment(user: Any, number: int) -> list[Brief]:
    """The newest runs about a deployment. One query."""
    return [Brief(one, runbook_of(one)) for one in runs(user).filter(deployment=number)[:10]]


def view(user: Any, pk: int) -> RunView | None:
    """One run as a person sees it; None when there is none that they may see."""
    run = runs(user).filter(pk=pk).first()
    return seen(user, run) if run else None


def seen(user: Any, run: RunbookRun) -> RunView:
    """The same of a run that was loaded by ``runs``."""
    outputs = Prefetch("outputs", StepOutput.objects.select_related("by"))
    visits = list(StepVisit.objects.filter(run=run).select_related("by").prefetch_related(outputs))
    visit = next((one for one in visits if one.finished_at is None), None) if run.is_running else None
    values = places_of(run)
    runbook = runbook_of(run).filled(values)
    step = runbook.step(run.step) if visit else None
    held = permissions_of(user, [run.environment])[run.environment.name]
    subject = Subject(run.environment, values.get("release", ""))
    given = list(visit.outputs.all())[::-1] if visit else []
    return RunView(
        run=run,
        runbook=runbook,
        step=step,
        visit=visit,
        visits=visits,
        checks=[_check(one, given) for one in step.diagnostics] if step else [],
        fixes=[_fix(one.name, given, subject, held) for one in step.remedies] if step else [],
        may_work=CHECKLISTS in held,
        is_in_control=run.operator_id == user.pk,
        who_can=_roles(CHECKLISTS, run.environment),
    )


def runbook_of(run: RunbookRun) -> Runbook:
    """The runbook as it was when the run began."""
    return library.read(run.text.digest, run.text.text)


def places_of(run: RunbookRun) -> dict[str, str]:
    """What ``{environment}``, ``{service}`` and ``{release}`` stand for in a run. One query."""
    found = runbook_about.deployment(run.deployment) if run.deployment else None
    return places(run.environment, found.release if found else "")


def places(environment: Environment, release: str = "") -> dict[str, str]:
    """The same for an environment: the release is the one that is live, or that of a deployment. One query."""
    found = {"environment": environment.name, "service": environment.service.name}
    if not release and environment.live_slot_id:
        release = Slot.objects.filter(pk=environment.live_slot_id).values_list("version", flat=True).first() or ""
    return found | ({"release": release} if release else {})


def output_state(output: StepOutput, now: datetime | None = None) -> str:
    """``running``, ``lost`` (nobody knows whether it ended), or its verdict."""
    if output.finished_at is not None:
        return output.verdict
    return "lost" if (now or timezone.now()) - output.started_at > LOST_AFTER else "running"


def notes_token(run: RunbookRun) -> str:
    """Says which notes a page showed."""
    return hashlib.sha256(run.notes.encode()).hexdigest()[:16]


def _progress(run: RunbookRun, runbook: Runbook) -> str:
    return "All steps are behind you" if run.step == END else f"Step {run.step} of {len(runbook.steps)}"


def _check(one: Diagnostic, given: Sequence[StepOutput]) -> Check:
    outputs = [each for each in given if each.name == one.name]
    if one.command is not None:
        words = " ".join(one.command.run)
        return Check(one.name, one.command.title or words, outputs, is_known=True, command=words)
    provider = evidence.providers().get(one.name)
    return Check(one.name, provider.title if provider else one.name, outputs, is_known=provider is not None)


def _fix(name: str, given: Sequence[StepOutput], subject: Subject, held: frozenset[str]) -> Fix:
    outputs = [each for each in given if each.name == name]
    found = remedies.remedies().get(name)
    if found is None:
        return Fix(name, name, outputs, False, False, "", False, lambda: "", lambda: "")
    page = found.page
    return Fix(
        name=name,
        title=found.title,
        outputs=outputs,
        is_known=True,
        may=found.permission in held,
        who_can=_roles(found.permission, subject.environment),
        on_page=page is not None,
        effect=lambda: _asked(found.effect, subject),
        page=lambda: page(subject) if page else "",
    )


def _asked(effect: Callable[[Subject], str], subject: Subject) -> str:
    try:
        return effect(subject)
    except Exception as error:  # noqa: BLE001 - what cannot be foretold must not hide the runbook
        logger.warning("effect of a remedy on %s not read", subject.environment, exc_info=True)
        return f"What it would do could not be read: {error}"[:300]


def _roles(permission: str, environment: Environment) -> str:
    return " or ".join(role.value for role in roles_with(permission, production=environment.is_production))
