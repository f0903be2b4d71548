"""From a deployment to the rows of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from deployments.clock import db_now
from deployments.models import Deployment, Release, Step
from deployments.states import StepStatus
from deployments.strategies import PlanInput, StepSpec
from environments.models import Environment, SampleRow, Slot

FRESH = timedelta(seconds=5)


def plan_input(deployment: Deployment) -> PlanInput:
    """What the strategy is told about a deployment."""
    old, new, policy = deployment.from_slot, deployment.to_slot, deployment.environment.policy
    return PlanInput(
        live=old.name if old else "",
        preview=new.name,
        version=deployment.to_release.version,
        warm=_is_warm(deployment),
        watch_seconds=policy.watch_seconds,
        stable_seconds=policy.stable_seconds,
    )


def foreseen(environment: Environment, release: Release, slot: Slot) -> PlanInput:
    """What a strategy is told before there is a deployment: a release that would be brought to a slot now."""
    live, policy = environment.live_slot, environment.policy
    return PlanInput(
        live=live.name if live else "",
        preview=slot.name,
        version=release.version,
        watch_seconds=policy.watch_seconds,
        stable_seconds=policy.stable_seconds,
    )


def add_steps(deployment: Deployment, specs: Sequence[StepSpec]) -> None:
    """Add steps behind those that a deployment has."""
    first = deployment.steps.count()
    Step.objects.bulk_create(
        Step(
            deployment=deployment,
            index=first + i,
            name=spec.name,
            title=spec.title,
            queue=spec.queue,
            params=spec.params,
        )
        for i, spec in enumerate(specs)
    )


def skip_open_steps(deployment: Deployment) -> None:
    """What has not ended will not be done."""
    deployment.steps.filter(status=StepStatus.RUNNING).update(status=StepStatus.SKIPPED, finished_at=db_now())
    deployment.steps.filter(status=StepStatus.PENDING).update(status=StepStatus.SKIPPED)


def _is_warm(deployment: Deployment) -> bool:
    """Whether requests could go to the target slot at once: it serves or trades, or stands by and answers.

    A standby that nobody has seen answer lately is started (harmless when it runs) and waited for instead.
    """
    slot, environment = deployment.to_slot, deployment.environment
    if slot.version != deployment.to_release.version:
        return False
    if slot.pk in (environment.live_slot_id, environment.writer_slot_id):
        return True
    if slot.role != Slot.Role.STANDBY:
        return False
    since = db_now() - FRESH
    newest = [
        SampleRow.objects.filter(instance=instance, at__gte=since).order_by("-at").first()
        for instance in slot.instances.all()
    ]
    return bool(newest) and all(row is not None and row.ok for row in newest)
