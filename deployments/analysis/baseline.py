"""The baseline: what the live slot did in the window before the shift."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from deployments.analysis.summary import Summary, summarise_many
from environments.models import SampleRow, Slot
from environments.sample import Sample
from environments.sampling import from_row


def kept_samples(slot: Slot, since: datetime, until: datetime | None = None) -> dict[int, list[Sample]]:
    """The kept samples of a slot's instances between two times, oldest first, by instance id."""
    rows = SampleRow.objects.filter(instance__slot=slot, at__gte=since).order_by("at")
    if until is not None:
        rows = rows.filter(at__lte=until)
    found: dict[int, list[Sample]] = {}
    for instance_id, data in rows.values_list("instance_id", "data"):
        found.setdefault(instance_id, []).append(from_row(data))
    return found


def capture(slot: Slot, until: datetime, seconds: float) -> dict[str, Any]:
    """The summary of a slot over the last ``seconds`` before ``until``, as it is kept with the deployment."""
    return summarise_many(kept_samples(slot, until - timedelta(seconds=seconds), until)).to_data()


def load(data: dict[str, Any] | None) -> Summary | None:
    """A kept baseline; None when there was none."""
    return None if not data else Summary.from_data(data)
