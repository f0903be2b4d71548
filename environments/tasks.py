"""Housekeeping tasks of the inventory."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from environments.models import SampleRow

KEEP = timedelta(hours=2)


@shared_task
def prune_samples() -> int:
    """Delete samples older than two hours; what belongs to a deployment is kept with it as measurements."""
    return SampleRow.objects.filter(at__lt=timezone.now() - KEEP).delete()[0]
