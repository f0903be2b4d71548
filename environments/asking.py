"""Asking several instances at once, for a person who waits: each within a second or two, whatever hangs.

Reads only, and no question asks the database: it runs in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from environments.drivers.base import DriverError
from environments.models import Environment, Instance, Slot
from environments.secrets import SecretMissing
from environments.target import TargetError

READ_SECONDS = 1.0
"""Of one call to an instance or its supervisor."""
WITHIN_SECONDS = 2.5
"""Of everything together."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one instance answered, or why it did not."""

    instance: Instance
    value: T | None
    problem: str = ""


def of_environment(environment: Environment) -> list[Instance]:
    """Every instance, with what its adapters need. One query."""
    found = Instance.objects.filter(slot__environment=environment).select_related("slot__environment")
    return list(found.order_by("slot__name", "name"))


def live(environment: Environment) -> list[Instance]:
    """The instances of the slot that serves. One query; none before the first deployment."""
    return [one for one in of_environment(environment) if one.slot_id == environment.live_slot_id]


def running(environment: Environment) -> list[Instance]:
    """The instances of every slot that is to run. One query."""
    wanted = (environment.live_slot_id, environment.writer_slot_id)
    return [one for one in of_environment(environment) if one.slot.role != Slot.Role.STOPPED or one.slot_id in wanted]


def ask(
    instances: Iterable[Instance], question: Callable[[Instance], T], within: float = WITHIN_SECONDS
) -> list[Answer[T]]:
    """One answer for each instance, in their order; all are asked at the same time."""
    asked: Sequence[Instance] = list(instances)
    if not asked:
        return []
    deadline = monotonic() + within
    pool = ThreadPoolExecutor(max_workers=min(16, len(asked)), thread_name_prefix="asking")
    try:
        futures = [pool.submit(question, one) for one in asked]
        return [_answer(one, future, deadline, within) for one, future in zip(asked, futures, strict=True)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # one that hangs ends by its own limit


def _answer(instance: Instance, future: Future[T], deadline: float, within: float) -> Answer[T]:
    try:
        return Answer(instance, future.result(timeout=max(0.0, deadline - monotonic())))
    except TooLate:
        return Answer(instance, None, f"no answer within {within:g} s")
    except (TargetError, DriverError, SecretMissing) as error:
        return Answer(instance, None, str(error))
