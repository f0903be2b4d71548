"""``manage.py bench_shifts``: shifts of traffic through the engine and Celery, timed at the load balancer itself.

For the benchmark's own installation: both slots must run the same release, and only one of them trades throughout.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from audit.actions import record
from audit.actors import system
from deployments import events
from deployments.actions import next_epoch
from deployments.clock import db_now
from deployments.models import Deployment, Release, Step
from deployments.preflight import live_release
from deployments.states import TERMINAL
from deployments.steps.shift_traffic import FULL
from deployments.strategies.base import CRITICAL
from environments import adapters
from environments.models import Environment, Slot
from environments.traffic.base import RouterError

ACTOR = system("benchmark")
BARE_CALLS = 100
POLL_SECONDS = 0.001
STUCK_SECONDS = 30.0


class Command(BaseCommand):
    help = "Shift traffic to and fro through Celery and print the times as JSON. For make bench."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("environment")
        parser.add_argument("--count", type=int, default=100, help="shifts; an even number ends where it began")
        parser.add_argument("--every", type=float, default=1.0, help="seconds from one shift to the next")

    def handle(self, *args: object, environment: str, count: int, every: float, **options: object) -> None:
        if not settings.DEMO:
            raise CommandError("bench_shifts works with the demo settings only: it moves traffic without a hand-over.")
        release = _common_release(environment)
        shifts: list[dict[str, Any]] = []
        began = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, began + number * every - time.monotonic()))
            shifts.append(_shift(environment, release))
            if shifts[-1]["status"] not in TERMINAL:
                break  # one that is stuck blocks every further one
        self.stdout.write(json.dumps({"shifts": shifts, "bare_ms": _bare_calls(environment)}))


def _common_release(name: str) -> Release:
    """The release that both slots run. Raises CommandError when they differ."""
    environment = Environment.objects.select_related("live_slot", "service").get(name=name)
    release = live_release(environment)
    versions = {slot.name: slot.version for slot in environment.slots.all()}
    if release is None or set(versions.values()) != {release.version}:
        raise CommandError(f"The slots of {name} must run the same release, but they run {versions}.")
    return release


def _shift(name: str, release: Release) -> dict[str, Any]:
    """One deployment of one step; from just before its commit until the load balancer answers 100 % on the new slot."""
    with transaction.atomic():
        deployment = _create(name, release)
        decided_at, decided = time.time(), time.perf_counter()
    wanted = adapters.server_weights(deployment.environment, _weights(deployment.to_slot))
    seen = _when_read_back(deployment.environment, wanted, decided + STUCK_SECONDS)
    while not deployment.is_finished and time.perf_counter() < decided + STUCK_SECONDS:
        time.sleep(POLL_SECONDS)
        deployment.refresh_from_db(fields=["status", "shift_ms"])
    started = deployment.steps.get().started_at
    return {
        "id": deployment.pk,
        "status": deployment.status if seen else "not read back",
        "ms": (seen - decided) * 1000 if seen else None,
        "taken_ms": (started.timestamp() - decided_at) * 1000 if started else None,
        "console_ms": deployment.shift_ms,
    }


def _create(name: str, release: Release) -> Deployment:
    """The row, its step, the audit record and the rings after commit: as ``deployments.actions`` starts any other."""
    environment = Environment.objects.select_for_update(of=("self",)).select_related("live_slot").get(name=name)
    slot = environment.slots.exclude(pk=environment.live_slot_id).get()
    now = db_now()
    deployment = Deployment.objects.create(
        environment=environment,
        to_release=release,
        from_slot=environment.live_slot,
        to_slot=slot,
        strategy="bench_shift",
        reason="Benchmark: shift",
        requested_by_name=ACTOR.name,
        policy_data=environment.policy_data,
        created_at=now,
        due_at=now,
    )
    params = {"to": slot.name}
    Step.objects.create(
        deployment=deployment, index=0, name="shift_traffic", title="Shift traffic", queue=CRITICAL, params=params
    )
    record(ACTOR, "deployment.started", deployment, environment=name, reason=deployment.reason, after=params)
    events.publish(deployment)
    events.work(deployment, CRITICAL)
    return deployment


def _weights(slot: Slot) -> dict[str, int]:
    return {slot.name: FULL}


def _when_read_back(environment: Environment, wanted: dict[str, int], deadline: float) -> float | None:
    """The time (perf_counter) at which the load balancer first answered the wanted weights; None when it did not."""
    router = adapters.router(environment)
    while time.perf_counter() < deadline:
        try:
            if router.read().weights == wanted:
                return time.perf_counter()
        except RouterError:
            pass  # asked again until the deadline
        time.sleep(POLL_SECONDS)
    return None


def _bare_calls(name: str) -> list[float]:
    """Milliseconds of the same shift as a bare call of the load balancer, each under an epoch of its own."""
    environment = Environment.objects.select_related("live_slot").get(name=name)
    live = environment.live_slot
    assert live is not None  # _common_release looked
    other = environment.slots.exclude(pk=live.pk).get()
    router, times = adapters.router(environment), []
    for slot in (other, live) * (BARE_CALLS // 2):
        weights, epoch = adapters.server_weights(environment, _weights(slot)), next_epoch()
        began = time.perf_counter()
        router.shift(weights, epoch)
        times.append((time.perf_counter() - began) * 1000)
    # The console knows the epoch that the load balancer holds now, so that it goes on repairing drift.
    Environment.objects.filter(pk=environment.pk).update(traffic_epoch=epoch)
    return times
