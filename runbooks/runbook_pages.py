"""What the pages of runbooks show, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import segno
from django.core.paginator import Page, Paginator
from django.db.models import Max
from django.urls import reverse

from accounts.roles import CHECKLISTS
from alerts.models import Alert
from environments.models import Environment
from environments.permissions import environments_with
from runbooks import library, runbook_queries
from runbooks.models import RunbookRun, StepOutput, StepVisit
from runbooks.runbook_format import END, Runbook, Step
from runbooks.runbook_queries import Brief, Fix, RunView

PAGE_SIZE = 25
SHOWN_RUNNING = 50
FIX_PREFIX = "confirm-fix-"
"""``?confirm=confirm-fix-<remedy>`` asks for the confirmation of a remedy."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The library by symptom, and what is wrong with files of it."""

    runbooks: Sequence[Runbook]
    broken: Sequence[library.Entry]


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs below the library: those under way, and one page of those before."""

    running: Sequence[Brief]
    page: Page[RunbookRun]
    rows: Sequence[Brief]


@dataclass(frozen=True, slots=True)
class Way:
    """Where an outcome leads."""

    number: int
    title: str
    words: str = ""

    def __str__(self) -> str:
        where = f"step {self.number}, “{self.title}”" if self.number != END else "the end: finish the run"
        return f"{where} ({self.words})" if self.words else where


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the list, with how it went."""

    step: Step
    visits: Sequence[StepVisit]
    """Those that ended, in their order."""
    is_current: bool

    @property
    def state(self) -> str:
        """``current``, the last outcome, or ``waiting``."""
        if self.is_current:
            return "current"
        return self.visits[-1].outcome if self.visits else "waiting"


@dataclass(frozen=True, slots=True)
class Tried:
    """What a refused form had, so that nothing has to be typed again."""

    act: str = ""
    text: str = ""
    error: str = ""
    """Beside the field."""
    refused: str = ""
    """Across the page: the run is not as the page showed it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A remedy whose confirmation is shown."""

    fix: Fix
    effect: str
    """What it would do now; empty when the person may not do it."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run as a person sees it."""

    view: RunView
    rows: Sequence[StepRow]
    yes: Way | None
    no: Way | None
    asked: Asked | None
    tried: Tried
    stamp: str
    moved: Sequence[tuple[StepVisit, Step | None]] = field(default=())
    """Every visit that ended with its step, in the order of time."""

    @property
    def notes_stamp(self) -> str:
        """See ``notes_stamp``."""
        return notes_stamp(self.view.run)


def shelf() -> Shelf:
    """The library; no queries."""
    return Shelf(library.all(), library.broken())


def runs(user: Any, number: str | None = None) -> Runs:
    """Runs that a person may see. Three queries."""
    found = runbook_queries.runs(user)
    running = found.filter(status=RunbookRun.Status.RUNNING)[:SHOWN_RUNNING]
    page = Paginator(found.exclude(status=RunbookRun.Status.RUNNING), PAGE_SIZE).get_page(number)
    return Runs(_briefs(running), page, _briefs(page))


def history(user: Any, slug: str, number: str | None = None) -> Runs:
    """Runs of one runbook, all in ``rows``. Two queries."""
    page = Paginator(runbook_queries.runs(user).filter(text__slug=slug), PAGE_SIZE).get_page(number)
    return Runs((), page, _briefs(page))


def _briefs(found: Any) -> list[Brief]:
    return [Brief(run, runbook_queries.runbook_of(run)) for run in found]


def startable(user: Any) -> list[Environment]:
    """Environments in which a person may carry runbooks out. One query."""
    return list(environments_with(Environment.objects.all(), user, CHECKLISTS).order_by("name"))


def run_page(view: RunView, *, confirm: str = "", tried: Tried | None = None, may_ask: bool = True) -> RunPage:
    """Everything about one run; asks the running system only for the remedy whose confirmation is shown.

    Args:
        confirm: the value of ``?confirm=``.
        tried: what a refused form had.
        may_ask: False for parts that live pages fetch, which show no confirmation.
    """
    book = view.runbook
    rows = [StepRow(one, [v for v in _ended(view) if v.step == one.number], _is(view, one)) for one in book.steps]
    tried = tried or Tried()
    wanted = tried.act if tried.act.startswith(FIX_PREFIX) else confirm
    return RunPage(
        view=view,
        rows=rows,
        yes=_way(view, failed=False),
        no=_way(view, failed=True),
        asked=_asked(view, wanted) if may_ask else None,
        tried=tried,
        stamp=stamp(view.run),
        moved=[(one, book.step(one.step)) for one in _ended(view)],
    )


def _ended(view: RunView) -> list[StepVisit]:
    return [one for one in view.visits if one.finished_at is not None and one.outcome]


def _is(view: RunView, step: Step) -> bool:
    return view.step is not None and view.step.number == step.number


def _way(view: RunView, *, failed: bool) -> Way | None:
    if view.step is None:
        return None
    number = view.runbook.after(view.step.number, failed=failed)
    target = view.runbook.step(number)
    branch = view.step.if_failed if failed else view.step.if_done
    return Way(number, target.title if target else "", branch.words if branch else "")


def _asked(view: RunView, confirm: str) -> Asked | None:
    name = confirm.removeprefix(FIX_PREFIX)
    if not confirm.startswith(FIX_PREFIX) or not view.may_act:
        return None
    fix = next((one for one in view.fixes if one.name == name and one.may and not one.on_page), None)
    return Asked(fix, fix.effect()) if fix else None


def stamp(run: RunbookRun) -> str:
    """Changes when the body of a run's page must be drawn again. One query."""
    last = StepOutput.objects.filter(visit__run=run).aggregate(pk=Max("pk"), end=Max("finished_at"))
    end: datetime | None = last["end"]
    return f"{run.revision}.{run.status}.{last['pk'] or 0}.{end.timestamp() if end else 0}"


def notes_stamp(run: RunbookRun) -> str:
    """Changes when the notes of a run's page must be drawn again."""
    return f"{runbook_queries.notes_token(run)}.{run.operator_id}.{run.status}"


def runs_stamp() -> str:
    """Changes when the lists of runs must be drawn again. One query."""
    found = RunbookRun.objects.aggregate(pk=Max("pk"), at=Max("touched_at"), end=Max("finished_at"))
    return f"{found['pk'] or 0}.{found['at']}.{found['end']}"


def qr(address: str) -> str:
    """An address as a QR code, inline SVG."""
    return segno.make(address, error="m").svg_inline(scale=3, border=0, omitsize=True, svgclass="qr", lineclass=None)


def read_address(slug: str, values: Mapping[str, Any]) -> str:
    """The address of a runbook's text with what a start from there is about."""
    given = {name: value for name, value in values.items() if value}
    return reverse("runbook", args=[slug]) + (f"?{urlencode(given)}" if given else "")


def about(user: Any, given: Mapping[str, str]) -> tuple[Alert | None, int | None]:
    """The alert and the deployment that an address names, if the person may see the alert. One query at most."""
    alert, deployment = given.get("alert", ""), given.get("deployment", "")
    found = Alert.objects.visible_to(user).filter(pk=int(alert)).first() if _is_number(alert) else None
    return found, int(deployment) if _is_number(deployment) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
