"""Which pages are told when a checklist changes: ``checklists`` (lists), ``checklist.<run>`` (one run), overview."""

from __future__ import annotations

from collections.abc import Iterable

from accounts import doorbell
from runbooks.models import ChecklistRun

TOPICS = ("checklists", "overview")


def publish(runs: Iterable[ChecklistRun] = ()) -> None:
    """Redraw the pages that show lists, and those of these runs, once the running transaction is committed."""
    doorbell.ring_on_commit((*TOPICS, *(f"checklist.{run.pk}" for run in runs)))
