"""Sampling every instance on time: one task an instance, so that a hanging one delays nobody.

Samples go to ``keep`` in batches from a thread of its own: the event loop never waits for the database.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import uvloop
from django.db import DatabaseError, close_old_connections, connection
from pydantic import ValidationError

from environments.models import Environment, Instance, SampleRow
from environments.probe import Prober, ProbeSpec
from environments.sample import Component, Sample
from environments.secrets import SecretMissing, resolve

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
BATCH_SECONDS = 0.05
CONFIRM_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How one instance is sampled."""

    spec: ProbeSpec
    interval: float
    """Seconds between the starts of two samples."""


def to_row(instance_id: int, sample: Sample) -> SampleRow:
    """A sample as it is kept; JSON has no infinity, so the last bound becomes ``+Inf``."""
    data = asdict(sample)
    data["latency_buckets"] = [["+Inf" if math.isinf(b) else b, count] for b, count in sample.latency_buckets]
    return SampleRow(instance_id=instance_id, at=datetime.fromtimestamp(sample.at, UTC), ok=sample.ok, data=data)


def from_row(data: Mapping[str, Any]) -> Sample:
    """A kept sample (``SampleRow.data``) as it was."""
    return Sample(
        **{
            **data,
            "components": tuple(Component(**component) for component in data["components"]),
            "latency_buckets": tuple((float(bound), count) for bound, count in data["latency_buckets"]),
        }
    )


def clean(sample: Sample) -> Sample:
    """A sample that Postgres can keep, whatever the instance said: no NUL, no half character, no NaN."""
    started = sample.started_at
    return replace(
        sample,
        error=_text(sample.error),
        version=_text(sample.version),
        components=tuple(Component(_text(part.name), part.status, _text(part.detail)) for part in sample.components),
        started_at=started if started is None or math.isfinite(started) else None,
        extra={_text(name): value for name, value in sample.extra.items() if math.isfinite(value)},
    )


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def plans(is_busy: Callable[[Environment], bool]) -> dict[int, Plan]:
    """How each instance is to be sampled now, by its id; more often where ``is_busy`` says so.

    An instance whose token cannot be read, or whose environment has no valid policy, is left out, with a log line.
    """
    found: dict[int, Plan] = {}
    environments: dict[int, tuple[float, float]] = {}
    for environment in Environment.objects.all():
        try:
            policy = environment.policy
        except ValidationError as error:
            logger.error("%s is not sampled, its policy is not valid: %s", environment, error)
            continue
        interval = policy.watch_probe_seconds if is_busy(environment) else policy.probe_seconds
        environments[environment.pk] = (interval, policy.probe_timeout_seconds)
    sampled = Instance.objects.filter(slot__environment__in=environments).exclude(slot__role="stopped")
    for instance in sampled.select_related("slot"):
        interval, timeout = environments[instance.slot.environment_id]
        try:
            spec = ProbeSpec(instance.pk, instance.base_url, resolve(instance.token_ref), timeout)
        except SecretMissing as error:
            logger.error("%s is not sampled: %s", instance, error)
            continue
        found[instance.pk] = Plan(spec, interval)
    return found


class Sampler:
    """Samples until stopped.

    Args:
        make_plans: called in a thread every second; the wanted plans by instance id.
        keep: called in a thread with each batch of (instance id, sample).
    """

    def __init__(
        self, make_plans: Callable[[], dict[int, Plan]], keep: Callable[[Sequence[tuple[int, Sample]]], None]
    ) -> None:
        self._make_plans, self._keep = make_plans, keep
        self._plans: dict[int, Plan] = {}
        self._batch: queue.SimpleQueue[tuple[int, Sample]] = queue.SimpleQueue()
        self._stop = threading.Event()

    def run(self) -> None:
        """Sample until ``stop``; errors of one part are logged and tried again."""
        keeper = threading.Thread(target=self._keep_batches, name="samples", daemon=True)
        keeper.start()
        uvloop.run(self._sample())
        keeper.join(timeout=2)

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stop.set()

    async def _sample(self) -> None:
        tasks: dict[int, asyncio.Task[None]] = {}
        async with Prober() as prober:
            while not self._stop.is_set():
                self._plans = await asyncio.to_thread(self._refresh)
                for key in self._plans.keys() - {key for key, task in tasks.items() if not task.done()}:
                    tasks[key] = asyncio.create_task(self._follow(prober, key))
                await asyncio.sleep(REFRESH_SECONDS)
            for task in tasks.values():
                task.cancel()

    def _refresh(self) -> dict[int, Plan]:
        try:
            close_old_connections()
            return self._make_plans()
        except DatabaseError as error:
            logger.warning("the inventory could not be read, sampling goes on as before: %s", error)
            connection.close()
        except Exception:
            logger.exception("the plans could not be made, sampling goes on as before")
        return self._plans

    async def _follow(self, prober: Prober, key: int) -> None:
        """Sample one instance while it has a plan; one that did not answer is asked again at once, to confirm it."""
        answered = True
        while (plan := self._plans.get(key)) is not None and not self._stop.is_set():
            began = time.monotonic()
            sample = clean(await prober.sample(plan.spec))
            self._batch.put((key, sample))
            confirm = answered and not sample.ok
            answered = sample.ok
            pause = CONFIRM_SECONDS if confirm else plan.interval - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, pause))

    def _keep_batches(self) -> None:
        while not self._stop.is_set():
            batch = self._next_batch()
            if not batch:
                continue
            try:
                close_old_connections()
                self._keep(batch)
            except DatabaseError as error:
                logger.warning("%d samples were not kept: %s", len(batch), error)
                connection.close()
            except Exception:
                logger.exception("%d samples could not be judged", len(batch))

    def _next_batch(self) -> list[tuple[int, Sample]]:
        try:
            batch = [self._batch.get(timeout=0.5)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + BATCH_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                batch.append(self._batch.get(timeout=left))
            except queue.Empty:
                break
        return batch


def keep_rows(batch: Sequence[tuple[int, Sample]]) -> None:
    """Store a batch in one statement; an instance that was removed meanwhile is left out."""
    known = set(Instance.objects.filter(pk__in={key for key, _ in batch}).values_list("pk", flat=True))
    SampleRow.objects.bulk_create(to_row(key, sample) for key, sample in batch if key in known)
