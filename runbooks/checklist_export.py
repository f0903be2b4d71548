"""The history of checklists as a file: CSV with a line for each run, JSON with every answer and its evidence."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Prefetch

import runbooks.audit  # noqa: F401  registers the action names
from accounts.domain import InvalidRequest
from audit.actions import record
from audit.actors import Actor
from runbooks import checklist_queries
from runbooks.checklist_queries import Filter, ItemState, RunView
from runbooks.models import Tick

MOST_RUNS = 5000
COLUMNS = (
    *("run", "checklist", "title", "version", "environment", "period", "status", "opens_at", "due_at", "closes_at"),
    *("started_at", "completed_at", "completed_by", "assigned_to", "late_seconds", "items", "ticked", "deviations"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Form(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSON = "json"


MEDIA = {Form.CSV: "text/csv; charset=utf-8", Form.JSON: "application/json"}


@transaction.atomic
def export(actor: Actor, wanted: Filter, form: Form) -> tuple[str, str]:
    """The runs that the actor may see and asks for, newest first, and a name for the file. It is recorded.

    Raises:
        InvalidRequest: there are more than 5,000; ask for a shorter time.
    """
    people = ("ticked_by", "checked_by", "unticked_by")
    ticks = Prefetch("ticks", Tick.objects.select_related(*people).order_by("ticked_at", "pk"))
    found = checklist_queries.history(actor.user, wanted).prefetch_related(ticks)
    runs = [checklist_queries.view(run) for run in found[: MOST_RUNS + 1]]
    if len(runs) > MOST_RUNS:
        raise InvalidRequest("since", f"There are more than {MOST_RUNS} runs. Ask for a shorter time with since.")
    asked = {name: str(value) for name, value in _asked(wanted).items() if value}
    after = {"filter": asked, "as": form.value, "runs": len(runs)}
    record(actor, "checklist.exported", environment=wanted.environment, after=after)
    text = _csv(runs) if form == Form.CSV else json.dumps([_whole(run) for run in runs], indent=1) + "\n"
    return text, f"checklists-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.{form}"


def _asked(wanted: Filter) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("environment", "checklist", "status", "since", "until")}


def _line(view: RunView) -> dict[str, Any]:
    run = view.run
    return {
        "run": run.pk,
        "checklist": run.checklist.slug,
        "title": view.definition.title,
        "version": run.version.number,
        "environment": run.environment.name,
        "period": run.period,
        "status": run.status,
        **{name: _moment(getattr(run, name)) for name in ("opens_at", "due_at", "closes_at", "started_at")},
        "completed_at": _moment(run.completed_at),
        "completed_by": run.completed_by.display_name if run.completed_by else "",
        "assigned_to": run.assigned_to.display_name if run.assigned_to else "",
        "late_seconds": int(view.late_by.total_seconds()),
        "items": view.total,
        "ticked": view.ticked,
        "deviations": view.deviations,
    }


def _whole(view: RunView) -> dict[str, Any]:
    return {**_line(view), "answers": [_item(one) for one in view.items]}


def _item(one: ItemState) -> dict[str, Any]:
    return {
        "item": one.item.id,
        "challenge": one.item.challenge,
        "expected": one.item.expected,
        "state": one.state,
        "tick": _tick(one.tick) if one.tick else None,
        "taken_back": [_tick(tick) for tick in one.taken_back],
    }


def _tick(tick: Tick) -> dict[str, Any]:
    people = {name: getattr(tick, name) for name in ("ticked_by", "checked_by", "unticked_by")}
    moments = {name: _moment(getattr(tick, name)) for name in ("ticked_at", "checked_at", "unticked_at")}
    return {
        "response": tick.response,
        "is_deviation": tick.is_deviation,
        "note": tick.note,
        "evidence": tick.evidence,
        **{name: person.display_name if person else "" for name, person in people.items()},
        **moments,
    }


def _csv(runs: list[RunView]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for run in runs:
        line = _line(run)
        writer.writerow([_cell(line[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _moment(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat() if at else ""
