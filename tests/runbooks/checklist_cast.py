"""A list for the tests of checklists, with two readings that ask nothing of the world."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

TEXT = """
title: Daily operations
environments: [production, staging]
schedule: {every: day, at: "00:00", due: 4}
groups:
  - title: The system
    items:
      - {id: status, challenge: Status, expect: Healthy, responses: [Healthy, Down], evidence: test.fine}
      - {id: errors, challenge: Error logs, expect: No new errors, responses: [No new errors, New], evidence: test.told}
      - {id: capital, challenge: Capital in use, value: {unit: "%", min: 0, max: 80}}
      - {id: positions, challenge: Positions, expect: 0 breaks, responses: [0 breaks, Breaks], two_person: true}
"""
DEPLOYMENT = TEXT.replace('{every: day, at: "00:00", due: 4}', "{every: deployment}").replace("Daily", "Deployment")
ANSWERS = {"status": "Healthy", "errors": "No new errors", "capital": "30", "positions": "0 breaks"}


def add_list(service: Any, actor: Any, slug: str = "daily", text: str = TEXT) -> Any:
    """A list with its first version."""
    from runbooks.checklist_versions import save_version
    from runbooks.models import Checklist

    save_version(actor, service, slug, text, "First", based_on=0)
    return Checklist.objects.select_related("current", "service").get(service=service, slug=slug)


def add_run(checklist: Any, environment: Any, days_ago: float = 0, **fields: Any) -> Any:
    """A run that opened an hour ago, or so many days before, and is due three hours later."""
    from runbooks.models import ChecklistRun

    opens = timezone.now() - timedelta(hours=1, days=days_ago)
    usual = {
        "version": checklist.current,
        "period": str(opens.date()),
        "opens_at": opens,
        "due_at": opens + timedelta(hours=4),
        "closes_at": opens + timedelta(hours=24),
    }
    return ChecklistRun.objects.create(checklist=checklist, environment=environment, **{**usual, **fields})
