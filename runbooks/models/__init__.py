"""Checklists and runbooks: definitions as versioned texts, and what was done with them."""

from runbooks.models.checklist import Checklist, ChecklistRun, ChecklistVersion, Tick
from runbooks.models.runbook import RunbookRun, RunbookText, StepOutput, StepVisit

__all__ = [
    "Checklist",
    "ChecklistRun",
    "ChecklistVersion",
    "RunbookRun",
    "RunbookText",
    "StepVisit",
    "StepOutput",
    "Tick",
]
