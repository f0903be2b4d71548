"""What a slot driver is: the Protocol, its data and its errors. No Django."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

ProcessState = Literal["running", "starting", "stopping", "stopped", "exited", "fatal", "unknown"]


@dataclass(frozen=True)
class InstanceSpec:
    """One instance of a slot.

    name: e.g. "production-blue-1", unique. program: its name at the supervisor. port: where it listens.
    state_dir: its own folder, kept over releases and restarts.
    """

    name: str
    program: str
    port: int
    state_dir: Path


@dataclass(frozen=True)
class ArtifactSpec:
    """The artifact of a release.

    version: e.g. "v1.2.5". digest: SHA-256, 64 hex digits, with or without "sha256:" before.
    path: the archive (tar, any compression). service: what it is a release of.
    """

    version: str
    digest: str
    path: Path
    service: str


@dataclass(frozen=True)
class ProcessStatus:
    """An instance's process, as read from the supervisor.

    state: "starting" is alive for less than its start time; "exited" ended by itself and may be started again by the
        supervisor; "fatal" was given up after failed starts.
    pid: None when no process is alive. started_at: of the last start, seconds since 1970.
    exit_status: of the last end, -1 when a signal ended it; None while alive, never started, or failed while starting.
    restarts: how often the supervisor has started it again by itself since `start` was called.
    version, digest: of the release that this process was started from; None when not alive, or not known.
    """

    state: ProcessState
    pid: int | None
    started_at: float | None
    exit_status: int | None
    restarts: int
    version: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class ProcessUsage:
    """What the process of an instance takes of its host. None: the host does not tell.

    cpu: share of one core over the last moment, 0.5 is half a core. memory: resident bytes. threads, files: open now.
    read_bytes, written_bytes: from and to the disk since the process started.
    """

    pid: int
    cpu: float
    memory: int
    threads: int
    files: int | None
    read_bytes: int | None
    written_bytes: int | None


@dataclass(frozen=True)
class HostUsage:
    """How busy the host of the instances is.

    load: processes that run or wait, on average over one minute. memory_free, memory, disk_free, disk: bytes; the disk
    is the one with the releases and the logs.
    """

    load: float
    cores: int
    memory_free: int
    memory: int
    disk_free: int
    disk: int


class DriverError(Exception):
    """A slot driver did not do what was asked."""


class ArtifactMissing(DriverError):
    """The artifact file is not there, or no release was installed before the start."""


class DigestMismatch(DriverError):
    """The artifact is not the one of the release: never use it. expected, actual: SHA-256 as hex."""

    def __init__(self, path: Path, expected: str, actual: str) -> None:
        super().__init__(f"artifact {path} has SHA-256 {actual}, but the release says {expected}; it was not installed")
        self.expected = expected
        self.actual = actual


class ArtifactUnsafe(DriverError):
    """The archive cannot be read, is too large, or has a member that would leave its folder."""


class DriverUnreachable(DriverError):
    """The supervisor could not be reached or did not answer in time; what it did is not known: read it."""


class UnknownProgram(DriverError):
    """The supervisor has no program of that name."""


class StartFailed(DriverError):
    """The supervisor could not start the process."""


class StopFailed(DriverError):
    """The process is still alive after the time allowed."""


class SlotDriver(Protocol):
    """Starts and stops the instances of a slot. Every call converges: running it twice is harmless."""

    def install(self, instance: InstanceSpec, release: ArtifactSpec) -> Path:
        """Verify the artifact and make it what the next `start` runs. A running process is left alone.

        Returns the folder of the unpacked release.
        Raises ArtifactMissing, DigestMismatch, ArtifactUnsafe.
        """

    def start(self, instance: InstanceSpec) -> ProcessStatus:
        """Ensure that the instance runs the installed release; one that runs another is stopped first.

        Returns once the process exists; whether it is healthy is for the caller to see.
        Raises ArtifactMissing, UnknownProgram, StartFailed, StopFailed, DriverUnreachable.
        """

    def stop(self, instance: InstanceSpec, force: bool = False) -> ProcessStatus:
        """Ensure that no process of the instance is alive; force: SIGKILL at once.

        Raises UnknownProgram, StopFailed, DriverUnreachable.
        """

    def status(self, instance: InstanceSpec) -> ProcessStatus:
        """Read the process. Raises UnknownProgram, DriverUnreachable."""

    def tail(self, instance: InstanceSpec, lines: int, *, since: float = 0.0) -> list[str]:
        """The last lines that the instance's processes wrote, oldest first, as they are: they may hold secrets.

        since: unix seconds; nothing when nothing was written after that. At most 64 KB are read.
        Raises UnknownProgram, DriverUnreachable.
        """

    def usage(self, instance: InstanceSpec) -> ProcessUsage | None:
        """What the instance's process takes; None when no process is alive, or it runs on another host.

        Takes 0.2 s. Raises UnknownProgram, DriverUnreachable.
        """

    def host(self) -> HostUsage | None:
        """How busy the host of the instances is; None when it is not this one. Raises DriverUnreachable."""
