"""What the pages of rollback reports show, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import segno
from django.core.paginator import Page

from accounts.roles import APPROVE, CHECKLISTS, DEPLOY, roles_with
from deployments import rollback_report_queries as queries
from deployments import rollback_reports as reports
from deployments.models import Deployment, RollbackReport
from deployments.pages import page_of
from deployments.rollback_report_facts import Facts, proposal
from deployments.rollback_report_queries import STATES, Wanted
from environments.models import Environment
from environments.permissions import permissions_of
from runbooks.models import RunbookRun

LONGEST_FILTER = 60
HELP = {
    "what_failed": "What did not work, as it was seen: which rule, which symptom, since when.",
    "why_rollback": "Why going back was better than going on, and who decided.",
    "prevention": "What will be changed so that it does not come again, by whom and until when: a test, a check, a "
    "limit, a step of the deployment list.",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried on this page and not done; what was typed is kept."""

    texts: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    reopen: bool = False
    """The dialog to reopen stays open."""
    reason: str = ""
    reason_error: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the form."""

    name: str
    title: str
    help: str
    value: str
    error: str
    is_proposed: bool
    """The text comes from the measurements; nobody has written it."""
    kept: str
    """What is kept now, where somebody else wrote something else meanwhile."""


@dataclass(frozen=True, slots=True)
class ReportPage:
    """One report as a person sees it."""

    report: RollbackReport
    failed: Deployment
    facts: Facts
    state: str
    questions: tuple[Question, ...]
    may_write: bool
    may_reopen: bool
    who_can: str
    runs: Sequence[RunbookRun]
    address: str = ""
    """Of the page, in full, for a sheet of paper."""

    @property
    def is_complete(self) -> bool:
        """Whether it is finished."""
        return self.state == reports.COMPLETE

    @property
    def can_complete(self) -> bool:
        """Whether the rollback has ended."""
        return self.report.rollback.is_finished

    @property
    def title(self) -> str:
        """``v1.2.6 taken back in production``."""
        return f"{self.facts.bad} taken back in {self.facts.environment}"

    @property
    def qr(self) -> str:
        """The address as an inline SVG without styles, so that the content security policy lets it pass."""
        plain = {"dark": "#000", "light": "#fff", "omitsize": True, "svgclass": "qr", "lineclass": None}
        return segno.make(self.address, error="m").svg_inline(scale=5, border=2, **plain)


@dataclass(frozen=True, slots=True)
class Row:
    """One report in the list."""

    report: RollbackReport
    state: str


def wanted(given: Mapping[str, str]) -> tuple[Wanted, list[str]]:
    """The filter of a query string, and what of it was left out."""
    problems = []
    texts = {name: given.get(name, "").replace("\x00", "").strip() for name in ("environment", "state", "version")}
    if texts["state"] and texts["state"] not in STATES:
        problems.append(f"There is no state “{texts['state'][:LONGEST_FILTER]}”.")
        texts["state"] = ""
    for name in ("environment", "version"):
        texts[name] = texts[name][:LONGEST_FILTER]
    return Wanted(texts["environment"], texts["state"], texts["version"]), problems


def bar(user: Any, chosen: Wanted) -> list[dict[str, Any]]:
    """The filters above the list, as ``ui/filter_bar.html`` wants them. One query."""
    names = Environment.objects.visible_to(user).values_list("name", flat=True)
    return [
        {"name": "state", "label": "State", "value": chosen.state, "options": [("", "Any"), *STATES.items()]},
        {
            "name": "environment",
            "label": "Environment",
            "value": chosen.environment,
            "options": [("", "Any"), *((name, name) for name in names)],
        },
        {"name": "version", "label": "Version", "value": chosen.version, "type": "search"},
    ]


def listing(user: Any, chosen: Wanted, number: str | None) -> tuple[Page, list[Row]]:
    """One page of the list. Two queries."""
    page = page_of(queries.listed(user, chosen), number)
    return page, [Row(report, reports.state_of(report)) for report in page]


def page(user: Any, report: RollbackReport, tried: Tried | None = None, address: str = "") -> ReportPage:
    """The page of a report that ``queries.load`` gave."""
    rollback = report.rollback
    failed = rollback.reverts
    assert failed is not None  # a rollback takes something back
    known = queries.facts_of(report)
    may = permissions_of(user, [rollback.environment])[rollback.environment.name]
    roles = roles_with(CHECKLISTS, production=rollback.environment.is_production)
    return ReportPage(
        report=report,
        failed=failed,
        facts=known,
        state=reports.state_of(report),
        questions=_questions(report, known, tried or Tried()),
        may_write=bool(may & {CHECKLISTS, DEPLOY}),
        may_reopen=APPROVE in may,
        who_can=" or ".join(role.value for role in roles),
        runs=queries.runbook_runs(report),
        address=address,
    )


def _questions(report: RollbackReport, known: Facts, tried: Tried) -> tuple[Question, ...]:
    proposed: dict[str, str] = {}
    if report.revision == 0:  # nobody has saved anything, so nothing is written over
        found = proposal(known)
        proposed = {"what_failed": found.what_failed, "why_rollback": found.why_rollback}
    listed = []
    for name, title in reports.QUESTIONS.items():
        kept = getattr(report, name)
        typed = tried.texts.get(name)
        value = (kept or proposed.get(name, "")) if typed is None else typed
        listed.append(
            Question(
                name=name,
                title=title,
                help=HELP[name],
                value=value,
                error=tried.errors.get(name, ""),
                is_proposed=typed is None and not kept and bool(value),
                kept=kept if typed is not None and kept and kept != typed else "",
            )
        )
    return tuple(listed)
