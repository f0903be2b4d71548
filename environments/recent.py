"""The last minute of what serves, from the monitor's samples, and what there was before the last shift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from environments.evidence import Reading, Verdict
from environments.evidence_words import count, lines, milliseconds, percent
from environments.models import Environment, Instance
from environments.readings import Rates, rates, reading, with_samples


@dataclass(frozen=True, slots=True)
class Minute:
    """What the monitor sampled of the live slot in the last minute."""

    environment: Environment
    rates: Rates
    problem: str
    """Why nothing can be said; empty when something can."""

    def told(self, value: str, verdict: Verdict) -> Reading:
        """A reading of these numbers."""
        found = self.rates
        detail = [
            f"Requests: {found.request_rate or 0:.1f} a second over {found.seconds:.0f} s",
            f"Error rate: {percent(found.error_rate)}",
            f"Latency p99: {milliseconds(found.latency_p99_ms)}",
            f"Win rate: {percent(found.win_rate)} of {count(found.trades, 'trade')}",
        ]
        return Reading(
            value, verdict, reverse("environment", args=[self.environment.name]), "" if self.problem else lines(detail)
        )

    def without(self, what: str) -> Reading:
        """A reading that says why there is none."""
        return self.told(self.problem or f"There was {what} in the last minute", Verdict.NO_DATA)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the live slot did before the last shift."""

    deployment: int
    at: datetime
    values: dict[str, Any]


def minute(environment: Environment) -> Minute:
    """The last minute of the live slot. One query."""
    instances = list(with_samples(Instance.objects.filter(slot=environment.live_slot_id)))
    if environment.live_slot_id is None or not instances:
        return Minute(environment, Rates(), "Nothing is live yet")
    stale = [found for one in instances if not (found := reading(one)).is_fresh or found.words.startswith("no answer")]
    if stale:
        why = "; ".join(f"{one.instance}: {one.words}" for one in stale)
        return Minute(environment, Rates(), f"The monitor has no fresh reading: {why}")
    return Minute(environment, rates(instances), "")


def baseline(environment: Environment) -> Baseline | None:
    """The last baseline that a deployment kept; None without one. One query."""
    # The reverse side of the relation: this app does not import the one above it.
    deployments = Environment._meta.get_field("deployments").related_model.objects  # type: ignore[union-attr]
    found = deployments.filter(environment=environment).exclude(baseline=None).order_by("-pk")
    row = found.values_list("pk", "created_at", "baseline").first()
    return None if row is None else Baseline(*row)
