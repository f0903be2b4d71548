"""What a process takes of this host, and how busy it is. No Django.

A supervisor on a Unix socket runs on this host, or behind a mount in a container with process ids of its own; a process
counts as the instance's only when it began when the supervisor says.
"""

import os
import shutil
from pathlib import Path

import psutil

from environments.drivers.base import HostUsage, ProcessUsage

SAME_START_SECONDS = 5.0
"""The supervisor notes a start in whole seconds, right before the process begins."""
MEASURED_SECONDS = 0.2


def of_process(pid: int, started_at: float) -> ProcessUsage | None:
    """What a process takes; None when this host has no such process. Takes `MEASURED_SECONDS`."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - started_at) > SAME_START_SECONDS:
            return None
        cpu = process.cpu_percent(interval=MEASURED_SECONDS) / 100
        return ProcessUsage(
            pid, cpu, process.memory_info().rss, process.num_threads(), _files(process), *_disk(process)
        )
    except psutil.Error:
        return None


def of_host(supervisor: int, folder: Path) -> HostUsage | None:
    """How busy this host is; None when the supervisor is no process of it, or `folder` is not here."""
    try:
        if "supervisord" not in " ".join(psutil.Process(supervisor).cmdline()):
            return None
        disk = shutil.disk_usage(folder)
    except (psutil.Error, OSError):
        return None
    memory = psutil.virtual_memory()
    load = psutil.getloadavg()[0]
    return HostUsage(load, os.cpu_count() or 1, memory.available, memory.total, disk.free, disk.total)


def _files(process: psutil.Process) -> int | None:
    try:
        return int(process.num_fds())
    except psutil.AccessDenied:
        return None


def _disk(process: psutil.Process) -> tuple[int | None, int | None]:
    try:
        found = process.io_counters()
    except (psutil.AccessDenied, NotImplementedError):
        return None, None
    return found.read_bytes, found.write_bytes
