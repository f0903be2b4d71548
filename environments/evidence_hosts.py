"""What the processes of the live system take of their host, and what they wrote last."""

from __future__ import annotations

import re

from django.urls import reverse

from environments import adapters, asking, logs
from environments.asking import READ_SECONDS, Answer
from environments.drivers.base import DriverError, HostUsage, ProcessStatus, ProcessUsage
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import MOST_LINES, count, lines, percent, size, worst
from environments.models import Instance

BUSY_CORE, BUSY_LOAD = 0.8, 1.0
"""From here on a process, and a host (its load for each core), is called busy."""
LITTLE, TOO_LITTLE = 0.10, 0.05
"""Share of memory or disk that is free: below it warns, and fails."""
_COLLECTING = re.compile(
    r"^((?:python|go|jvm|process)_gc_\w+|go_memstats_heap_inuse_bytes|jvm_memory_bytes_used)(\{[^}\n]*\})? (\S+)", re.M
)
Process = tuple[ProcessStatus, ProcessUsage | None, str]
"""Status, usage, and what the process says of its garbage collection."""


@provider("environments.resources", "Processor, memory and disk")
def resources(subject: Subject) -> Reading:
    """What each running instance takes, and how busy the host is."""
    environment = subject.environment
    link = reverse("environment", args=[environment.name])
    instances = asking.running(environment)
    if not instances:
        return Reading("Nothing runs here yet", Verdict.NO_DATA, link)
    answers = asking.ask(instances, _process)
    try:
        host = adapters.driver(environment, timeout=READ_SECONDS / 2).host()
        problem = "" if host else "the processes run on a host that cannot be measured from here"
    except DriverError as error:
        host, problem = None, str(error)
    live = [one for one in answers if one.instance.slot_id == environment.live_slot_id]
    told = [_words(one) for one in live] + ([_host_words(host)] if host else [problem])
    verdict = worst([*map(_verdict, live), _host_verdict(host)])
    detail = [line for one in answers for line in _detail(one)] + (_host_detail(host) if host else [problem])
    return Reading("; ".join(told), verdict, link, lines(detail))


@provider("environments.log", "Log of the live system")
def log(subject: Subject) -> Reading:
    """The last lines of every live instance, and how many of them tell of an error."""
    instances = asking.live(subject.environment)
    link = reverse("environment", args=[subject.environment.name])
    if not instances:
        return Reading("Nothing is live yet", Verdict.NO_DATA, link)
    each = max(20, MOST_LINES // len(instances) - 1)
    answers = logs.tails(instances, each)
    silent = [f"the log of {one.instance.name} cannot be read: {one.problem}" for one in answers if one.value is None]
    found = [line for one in answers for line in one.value or ()]
    bad = logs.troubled(found)
    value = f"{len(bad)} of the last {count(len(found), 'line')} tell of an error" if found else "The log is empty"
    if bad:
        value += f", the last: {bad[-1][:200]}"
    detail = [line for one in answers for line in (f"== {one.instance.name} ==", *(one.value or [one.problem]))]
    verdict = Verdict.NO_DATA if silent else Verdict.WARN if bad else Verdict.PASS
    return Reading("; ".join(silent + ([value] if found or not silent else [])), verdict, link, lines(detail))


def _process(instance: Instance) -> Process:
    driver, spec = adapters.driver(instance.slot.environment, timeout=READ_SECONDS), adapters.instance_spec(instance)
    status = driver.status(spec)
    usage = driver.usage(spec) if status.pid else None
    return status, usage, _collection(instance) if status.pid else ""


def _collection(instance: Instance) -> str:
    """What the instance's own metrics say of garbage collection; empty when they say nothing."""
    try:
        text = adapters.client(instance, read_timeout=READ_SECONDS).metrics_text()
    except Exception:  # noqa: BLE001 - one number more or less; whether it answers is told elsewhere
        return ""
    return ", ".join(f"{name}{labels} {value}" for name, labels, value in _COLLECTING.findall(text)[:6])


def _words(one: Answer[Process]) -> str:
    name = one.instance.name
    if one.value is None:
        return f"{name} cannot be read: {one.problem}"
    status, usage, _ = one.value
    again = f", started again {count(status.restarts, 'time')} by the supervisor" if status.restarts else ""
    if not status.pid:
        return f"{name} does not run ({status.state}){again}"
    if usage is None:
        return f"{name} runs; its host does not tell what it takes{again}"
    return f"{name}: processor {percent(usage.cpu)} of a core, memory {size(usage.memory)}{again}"


def _verdict(one: Answer[Process]) -> Verdict:
    if one.value is None:
        return Verdict.NO_DATA
    status, usage, _ = one.value
    if not status.pid:
        return Verdict.FAIL
    if usage is None:
        return Verdict.NO_DATA
    return Verdict.WARN if status.restarts or usage.cpu > BUSY_CORE else Verdict.PASS


def _detail(one: Answer[Process]) -> list[str]:
    if one.value is None:
        return [_words(one)]
    status, usage, collection = one.value
    found = [f"{one.instance.name}: {status.state}, process {status.pid or 'none'}, restarts {status.restarts}"]
    if usage is not None:
        files = "not known" if usage.files is None else str(usage.files)
        found += [
            f"  processor {percent(usage.cpu)} of one core, memory {size(usage.memory)}, "
            f"{count(usage.threads, 'thread')}, open files {files}",
            f"  disk: read {size(usage.read_bytes)}, written {size(usage.written_bytes)} since its start",
        ]
    return [*found, f"  garbage collection: {collection or 'the instance reports nothing'}"] if status.pid else found


def _host_words(host: HostUsage) -> str:
    return (
        f"host: load {host.load:.1f} on {count(host.cores, 'core')}, {percent(host.memory_free / host.memory)} of the "
        f"memory and {percent(host.disk_free / host.disk)} of the disk free"
    )


def _host_verdict(host: HostUsage | None) -> Verdict:
    if host is None:
        return Verdict.NO_DATA
    free = min(host.memory_free / host.memory, host.disk_free / host.disk)
    if free < TOO_LITTLE:
        return Verdict.FAIL
    return Verdict.WARN if free < LITTLE or host.load / host.cores > BUSY_LOAD else Verdict.PASS


def _host_detail(host: HostUsage) -> list[str]:
    return [
        f"Host: load {host.load:.2f} over one minute on {count(host.cores, 'core')}",
        f"  memory: {size(host.memory_free)} of {size(host.memory)} free",
        f"  disk of releases and logs: {size(host.disk_free)} of {size(host.disk)} free",
    ]
