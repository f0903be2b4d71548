"""Which deployments the engine is still working on, for the alarm about acts without a recorded end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Q

from deployments.clock import db_now
from deployments.models import Deployment
from deployments.states import UNFINISHED

PATIENCE = timedelta(seconds=60)
"""How long a deployment may be due before nobody seems to work on it."""


def under_way(ids: Sequence[str]) -> set[str]:
    """Of these ids, the deployments that are not finished and that somebody works on or will look at in time."""
    late = db_now() - PATIENCE
    left_alone = Q(due_at__lt=late) & (Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=late))
    numbers = [int(key) for key in ids if key.isdigit()]
    found = Deployment.objects.filter(pk__in=numbers, status__in=sorted(UNFINISHED)).exclude(left_alone)
    return {str(pk) for pk in found.values_list("pk", flat=True)}
