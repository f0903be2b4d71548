"""What the product can say about open items at this moment: several providers at once, and never for long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.db import connections
from django.utils import timezone

from environments import evidence
from environments.evidence import Evidence, Reading, Subject, Verdict

AT_ONCE = 4
PATIENCE = 4.0
"""Seconds that a page waits for all readings together."""


def read_all(names: Iterable[str], subject: Subject, patience: float = PATIENCE) -> Mapping[str, Evidence]:
    """Each named evidence once, read side by side.

    What is not read in ``patience`` seconds, and what no provider offers any more, is "no data" with the reason: a page
    is drawn anyway, and the tick reads again.
    """
    wanted = sorted(set(filter(None, names)))
    known = evidence.providers()
    found = {
        name: _without(name, name, "Nothing offers this reading any more.") for name in wanted if name not in known
    }
    asked = [name for name in wanted if name in known]
    if not asked:
        return found
    pool = ThreadPoolExecutor(min(AT_ONCE, len(asked)), thread_name_prefix="reading")
    try:
        futures: dict[str, Future[Evidence]] = {name: pool.submit(_read, name, subject) for name in asked}
        wait(futures.values(), timeout=patience)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    late = f"Not read within {patience:g} s. The tick reads it again."
    for name, future in futures.items():
        is_read = future.done() and not future.cancelled()
        found[name] = future.result() if is_read else _without(name, known[name].title, late)
    return found


def _read(name: str, subject: Subject) -> Evidence:
    try:
        return evidence.read(name, subject)
    finally:
        connections.close_all()  # this thread's own


def _without(name: str, title: str, why: str) -> Evidence:
    return Evidence(name, title, Reading(why, Verdict.NO_DATA), timezone.now())
