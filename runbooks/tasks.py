"""Thin Celery tasks."""

from __future__ import annotations

from celery import shared_task

from runbooks import checklist_watch, runbook_work


@shared_task
def look_at_checklists() -> None:
    """Open the checklists that are expected now, mark those missed, remind; beat calls it every 30 seconds."""
    checklist_watch.look()


# Acknowledged at once: a command is carried out once, and nobody waits for it after a minute.
@shared_task(acks_late=False)
def run_command(output_pk: int) -> None:
    """Carry out a runbook's diagnostic command that takes longer than a request may."""
    runbook_work.run_command(output_pk)
