"""The audited actions of this app."""

from audit.registry import register

register(
    checklist__loaded="Checklist taken over from its file",
    checklist__edited="Checklist edited",
    checklist__retired="Checklist retired",
    checklist__opened="Checklist opened",
    checklist__assigned="Checklist assigned",
    checklist__ticked="Checklist item ticked",
    checklist__deviated="Checklist item ticked with a deviation",
    checklist__unticked="Tick taken back",
    checklist__checked="Checklist item confirmed by a second person",
    checklist__completed="Checklist complete",
    checklist__missed="Checklist missed",
    checklist__exported="Checklists exported",
    runbook__started="Runbook started",
    runbook__step_done="Runbook step done",
    runbook__step_failed="Runbook step failed",
    runbook__step_skipped="Runbook step skipped",
    runbook__diagnosed="Runbook diagnostic run",
    runbook__remedied="Runbook remedy carried out",
    runbook__taken_over="Runbook run taken over",
    runbook__finished="Runbook run finished",
    runbook__abandoned="Runbook run abandoned",
)
