"""A client of supervisord's XML-RPC interface on its Unix socket, with bounded waiting. No Django.

Protocol: supervisord.org/api.html. Every call waits at most `timeout` seconds; nothing here uses the
interface's own waiting, which would hold a call as long as a process takes.
"""

import http.client
import socket
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from supervisor.states import ProcessStates, getProcessStateDescription
from supervisor.xmlrpc import Faults, SupervisorTransport

from environments.drivers.base import DriverError, DriverUnreachable, StartFailed, StopFailed, UnknownProgram

ALIVE = frozenset({ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.STOPPING})
# A signal that comes between fork and exec is swallowed by supervisord's own handlers in the child. A process that was
# only just started is therefore asked once more.
SIGNAL_LOST_SECONDS = 0.25
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ProgramInfo:
    """A program as the supervisor reports it.

    state: one of supervisor.states.ProcessStates. pid: 0 when not alive. start, stop: seconds since 1970 of the
    last start and end, 0 when never. exit_status: of the last end, -1 when by a signal. log: what it prints.
    """

    name: str
    state: int
    pid: int
    start: float
    stop: float
    exit_status: int
    spawn_error: str
    log: Path

    @property
    def alive(self) -> bool:
        """True while there is a process."""
        return self.state in ALIVE

    @property
    def state_name(self) -> str:
        """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN."""
        return str(getProcessStateDescription(self.state))


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class SupervisorClient:
    """Talks to the supervisord behind a Unix socket. Safe to share between threads: one connection a call.

    timeout: seconds for one call. Every method raises DriverUnreachable when there is no answer in time, and
    UnknownProgram for a name the supervisor does not know.
    """

    def __init__(self, socket_path: Path, timeout: float = 2.0) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def call(self, method: str, *arguments: Any) -> Any:
        """Call e.g. "supervisor.getState". A fault of the supervisor is raised as xmlrpc.client.Fault."""
        transport = SupervisorTransport(serverurl=f"unix://{self.socket_path}")
        connection = _Connection(str(self.socket_path), self.timeout)
        transport._get_connection = lambda: connection
        try:
            with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
                return getattr(proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.BAD_NAME:
                name = arguments[0] if arguments else "?"
                raise UnknownProgram(f"the supervisor at {self.socket_path} has no program {name}") from fault
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            reason = str(error) or type(error).__name__
            raise DriverUnreachable(f"no answer from the supervisor at {self.socket_path}: {reason}") from error
        finally:
            connection.close()

    def info(self, name: str) -> ProgramInfo:
        """Read one program."""
        return _to_info(self.call("supervisor.getProcessInfo", name))

    def all_info(self) -> list[ProgramInfo]:
        """Read every program, in the order of their priorities."""
        return [_to_info(raw) for raw in self.call("supervisor.getAllProcessInfo")]

    def start(self, name: str) -> ProgramInfo:
        """Ensure that the program is started; does not wait for its start time. Raises StartFailed."""
        try:
            self.call("supervisor.startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise StartFailed(f"program {name} could not be started: {fault.faultString}") from fault
        return self.info(name)

    def stop(self, name: str, *, force: bool = False, timeout: float = 15.0) -> ProgramInfo:
        """Ensure that the program is stopped and stays so; returns when its process has ended and was reaped.

        force: SIGKILL at once, which also ends a process that is suspended. timeout: seconds until StopFailed.
        """
        deadline = time.monotonic() + timeout
        repeat_at = None
        while True:
            before = self._ask_to_stop(name, force)
            info = self.info(name)
            if before.state == ProcessStates.STARTING or before.pid not in (0, info.pid):
                repeat_at = time.monotonic() + SIGNAL_LOST_SECONDS
            if repeat_at and time.monotonic() > repeat_at and info.state == ProcessStates.STOPPING:
                repeat_at = None
                self._unless_gone("supervisor.signalProcess", name, "TERM")
            if _stays_down(before, info):
                return info
            if time.monotonic() > deadline:
                raise StopFailed(f"program {name} (process {info.pid}) is still alive after {timeout:g} s")
            time.sleep(POLL_SECONDS)

    def signal(self, name: str, signal_name: str) -> None:
        """Send a signal ("HUP", "USR2", …) to the program's process. Raises DriverError when it is not running."""
        try:
            self.call("supervisor.signalProcess", name, signal_name)
        except xmlrpc.client.Fault as fault:
            raise DriverError(f"signal {signal_name} to program {name}: {fault.faultString}") from fault

    def reload(self) -> None:
        """Read the configuration file again: add what is new, restart what changed, remove what is gone."""
        try:
            ((added, changed, removed),) = self.call("supervisor.reloadConfig")
        except xmlrpc.client.Fault as fault:
            raise DriverError(f"the supervisor cannot read its configuration: {fault.faultString}") from fault
        for name in [*changed, *removed]:
            self.stop(name)
            self.call("supervisor.removeProcessGroup", name)
        for name in [*added, *changed]:
            self.call("supervisor.addProcessGroup", name)

    def _ask_to_stop(self, name: str, force: bool) -> ProgramInfo:
        """Returns the program as it was before."""
        info = self.info(name)
        if info.state in (ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.BACKOFF):
            self._unless_gone("supervisor.stopProcess", name, False)
        # The stop comes first: it tells the supervisor not to start the process again.
        if force and info.alive:
            self._unless_gone("supervisor.signalProcess", name, "KILL")
        return info

    def _unless_gone(self, method: str, *arguments: Any) -> None:
        try:
            self.call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:
                raise StopFailed(f"program {arguments[0]}: {fault.faultString}") from fault


def _stays_down(before: ProgramInfo, info: ProgramInfo) -> bool:
    # The supervisor starts what is due to be started again in the round in which it answers: a process that is found
    # ended by two questions in a row is not due.
    ended = ProcessStates.EXITED
    return info.state in (ProcessStates.STOPPED, ProcessStates.FATAL) or before.state == info.state == ended


def _to_info(raw: Any) -> ProgramInfo:
    fields = cast("dict[str, Any]", raw)
    return ProgramInfo(
        name=str(fields["name"]),
        state=int(fields["state"]),
        pid=int(fields["pid"]),
        start=float(fields["start"]),
        stop=float(fields["stop"]),
        exit_status=int(fields["exitstatus"]),
        spawn_error=str(fields["spawnerr"]),
        log=Path(str(fields["stdout_logfile"])),
    )
