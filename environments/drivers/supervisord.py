"""Start and stop the instances of a slot under supervisord. No Django.

Layout under `root`:
    releases/<digest12>-<version>/   unpacked releases, see artifacts.py
    slots/<instance>/next            link to the release that `start` shall run, set by `install`
    slots/<instance>/current         link to the release that every start runs, swapped only while stopped
    slots/<instance>/started.jsonl   one line for each start of the process since `start`: pid and release folder
    slots/<instance>/state/          the instance's own files

The supervisor starts a process that died again by itself, without the console, from `current`.
"""

import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from supervisor.states import ProcessStates

from environments.drivers import usage
from environments.drivers.artifacts import InstalledRelease, install_release, read_release
from environments.drivers.base import (
    ArtifactMissing,
    ArtifactSpec,
    DriverError,
    DriverUnreachable,
    HostUsage,
    InstanceSpec,
    ProcessState,
    ProcessStatus,
    ProcessUsage,
)
from environments.drivers.program import Program
from environments.drivers.rpc import ProgramInfo, SupervisorClient

TAIL_BYTES = 65_536
STATES: dict[int, ProcessState] = {
    ProcessStates.STOPPED: "stopped",
    ProcessStates.STARTING: "starting",
    ProcessStates.RUNNING: "running",
    ProcessStates.BACKOFF: "exited",
    ProcessStates.STOPPING: "stopping",
    ProcessStates.EXITED: "exited",
    ProcessStates.FATAL: "fatal",
    ProcessStates.UNKNOWN: "unknown",
}


def instance_spec(root: Path, name: str, port: int) -> InstanceSpec:
    """The instance `name` in the layout of this driver; its program at the supervisor has the same name."""
    return InstanceSpec(name=name, program=name, port=port, state_dir=_slot(root, name) / "state")


def program_for(
    instance: InstanceSpec,
    root: Path,
    python: Path,
    env: Mapping[str, str],
    *,
    log: Path | None = None,
    autostart: bool = False,
    stop_wait_seconds: int = 5,
    priority: int = 50,
) -> Program:
    """The supervisor's program for an instance: `python -m trading_system` in the folder of its release.

    The same for every release: the supervisor's configuration does not change with a deployment. Creates the folders.
    env is added to OPSC_INSTANCE, _PORT and _STATE_DIR. A process that dies comes back from the same release.
    """
    slot = _slot(root, instance.name)
    instance.state_dir.mkdir(parents=True, exist_ok=True)
    # The shell notes which process runs which release, then becomes the trading system: same pid, no parent left.
    note = f'printf \'{{"pid": %d, "release": "%s"}}\\n\' "$$" "$(basename "$(pwd -P)")" >> {shlex.quote(str(slot))}'
    return Program(
        name=instance.program,
        command=("/bin/sh", "-c", f'{note}/started.jsonl && exec "$0" -m trading_system', str(python)),
        cwd=slot / "current",
        log=log or slot / "output.log",
        env={
            "OPSC_INSTANCE": instance.name,
            "OPSC_PORT": str(instance.port),
            "OPSC_STATE_DIR": str(instance.state_dir),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # a release folder stays exactly what its artifact holds
            **env,
        },
        autostart=autostart,
        autorestart="unexpected",
        startsecs=1,
        startretries=5,
        stop_wait_seconds=stop_wait_seconds,
        priority=priority,
    )


class SupervisordDriver:
    """A `SlotDriver` for instances that are programs of one supervisord.

    socket: of the supervisord. root: see the layout above. timeout: seconds for one call to the supervisor.
    """

    def __init__(self, socket: Path, root: Path, timeout: float = 2.0) -> None:
        self.root = root
        self.client = SupervisorClient(socket, timeout)

    def install(self, instance: InstanceSpec, release: ArtifactSpec) -> Path:
        """See `SlotDriver.install`."""
        installed = install_release(self.root, release)
        slot = _slot(self.root, instance.name)
        instance.state_dir.mkdir(parents=True, exist_ok=True)
        _swap_link(slot / "next", installed.path)
        return installed.path

    def installed(self, instance: InstanceSpec) -> InstalledRelease:
        """The release that `start` would run. Raises ArtifactMissing when none is installed."""
        return read_release(self._resolve(instance, "next"))

    def start(self, instance: InstanceSpec) -> ProcessStatus:
        """See `SlotDriver.start`."""
        wanted = self.installed(instance)
        status = self.status(instance)
        if status.state in ("running", "starting") and status.digest == wanted.digest:
            return status
        # Also when no process is alive: the supervisor may be about to start a dead one again.
        if status.state != "stopped":
            self.stop(instance)
        slot = _slot(self.root, instance.name)
        _swap_link(slot / "current", wanted.path)
        (slot / "started.jsonl").write_text("")
        info = self.client.start(instance.program)
        return self._describe(instance, info)

    def stop(self, instance: InstanceSpec, force: bool = False) -> ProcessStatus:
        """See `SlotDriver.stop`. A process that ignores its signal is killed by the supervisor in time."""
        return self._describe(instance, self.client.stop(instance.program, force=force))

    def status(self, instance: InstanceSpec) -> ProcessStatus:
        """See `SlotDriver.status`."""
        return self._describe(instance, self.client.info(instance.program))

    def tail(self, instance: InstanceSpec, lines: int, *, since: float = 0.0) -> list[str]:
        """See `SlotDriver.tail`."""
        log = self.client.info(instance.program).log
        try:
            with log.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                if os.fstat(file.fileno()).st_mtime < since:
                    return []
                file.seek(max(0, end - TAIL_BYTES))
                text = file.read(TAIL_BYTES).decode(errors="replace")
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                return []
            raise DriverUnreachable(f"the log of {instance.name} at {log} cannot be read: {error.strerror}") from error
        # What the bytes cut in two is no line.
        whole = text.splitlines()[1:] if end > TAIL_BYTES else text.splitlines()
        return whole[-lines:]

    def usage(self, instance: InstanceSpec) -> ProcessUsage | None:
        """See `SlotDriver.usage`."""
        info = self.client.info(instance.program)
        return usage.of_process(info.pid, info.start) if info.pid else None

    def host(self) -> HostUsage | None:
        """See `SlotDriver.host`."""
        return usage.of_host(int(self.client.call("supervisor.getPID")), self.root)

    def _describe(self, instance: InstanceSpec, info: ProgramInfo) -> ProcessStatus:
        starts = _read_starts(_slot(self.root, instance.name) / "started.jsonl")
        # The supervisor forgets the exit status of a process that ended within its start time.
        ended = info.stop > 0 and info.state in (ProcessStates.STOPPED, ProcessStates.EXITED)
        status = ProcessStatus(
            state=STATES.get(info.state, "unknown"),
            pid=info.pid or None,
            started_at=info.start or None,
            exit_status=info.exit_status if ended else None,
            restarts=max(0, len(starts) - 1),
        )
        if not status.pid:
            return status
        folder = dict(starts).get(status.pid)
        try:
            # Without a line of the shell yet: `current` was swapped before the start and not since.
            path = self.root / "releases" / folder if folder else self._resolve(instance, "current")
            release = read_release(path)
        except ArtifactMissing:
            return status
        return replace(status, version=release.version, digest=release.digest)

    def _resolve(self, instance: InstanceSpec, link: str) -> Path:
        path = _slot(self.root, instance.name) / link
        if not path.is_symlink():
            raise ArtifactMissing(f"instance {instance.name} has no {link} release: install one first")
        return path.resolve()


def _slot(root: Path, instance_name: str) -> Path:
    if instance_name in ("", ".", "..") or "/" in instance_name:
        raise DriverError(f"instance name {instance_name!r} cannot name a folder")
    return root / "slots" / instance_name


def _swap_link(link: Path, target: Path) -> None:
    """Point `link` at `target`, so that a reader sees the old or the new one and nothing else."""
    with tempfile.TemporaryDirectory(prefix=".link.", dir=link.parent) as folder:
        fresh = Path(folder) / link.name
        fresh.symlink_to(os.path.relpath(target, link.parent))
        fresh.rename(link)


def _read_starts(path: Path) -> list[tuple[int, str]]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    starts = []
    for line in lines:
        try:
            entry = json.loads(line)
            starts.append((int(entry["pid"]), str(entry["release"])))
        except (ValueError, KeyError):
            # A line that the shell is writing at this moment.
            continue
    return starts
