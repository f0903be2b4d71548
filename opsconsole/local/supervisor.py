"""The supervisord that keeps the local services and programs alive, whoever started it.

It is a daemon with a Unix socket (mode 700, no TCP port): it outlives the process that started it, and a later
process finds it again by its folder. Configuration: supervisord.org/configuration.html.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from supervisor.states import ProcessStates

from environments.drivers.base import DriverUnreachable
from environments.drivers.program import Program, plain_value, render_program
from environments.drivers.rpc import ProgramInfo, SupervisorClient
from opsconsole.local import leftovers
from opsconsole.local.paths import LocalServiceError, socket_path, write_private

DAEMON = Path(__file__).resolve().parent / "eager_supervisord.py"
POLL_SECONDS = 0.05


class Supervisor:
    """One supervisord. directory: holds its configuration, logs and (when short enough) its socket.

    `socket` tells where the socket really is. Methods that talk to it raise DriverUnreachable when it is not
    running or does not answer within 2 seconds, and UnknownProgram for a name it does not have.
    """

    def __init__(self, directory: Path, name: str = "opsconsole") -> None:
        self.directory = directory.resolve()
        self.name = name
        self.socket = socket_path(self.directory, "supervisor.sock")
        self.client = SupervisorClient(self.socket)
        self._programs = self.directory / "programs"
        self._config = self.directory / "supervisord.conf"
        self._pid_file = self.directory / "supervisord.pid"

    def up(self, programs: Sequence[Program]) -> int:
        """Ensure that supervisord runs with exactly these programs; returns its pid.

        When it runs already: new programs are added, changed ones restarted, others removed, the rest left alone.
        Processes that a killed supervisord left behind are stopped first. Raises LocalServiceError.
        """
        names = [program.name for program in programs]
        if len(set(names)) != len(names):
            raise LocalServiceError(f"two programs have the same name: {sorted(names)}")
        socket_path(self.directory, "supervisor.sock")
        with self._locked():
            for path in self._programs.glob("*.ini"):
                if path.stem not in names:
                    path.unlink()
            for program in programs:
                self._write_program(program)
            self._write_config()
            if self.running():
                self.client.reload()
            else:
                leftovers.stop(self.socket, self._stop_signals())
                self._launch()
            return int(self.client.call("supervisor.getPID"))

    def running(self) -> int | None:
        """The pid of supervisord, None when it does not answer."""
        try:
            return int(self.client.call("supervisor.getPID"))
        except DriverUnreachable:
            return None

    def connect(self) -> SupervisorClient:
        """A client of the running supervisord. Raises DriverUnreachable."""
        self.client.call("supervisor.getState")
        return self.client

    def add(self, program: Program) -> None:
        """Add a program, or replace the one of the same name."""
        with self._locked():
            self._write_program(program)
            self._write_config()
            self.client.reload()

    def start(self, name: str) -> ProgramInfo:
        """Ensure that a program is started; does not wait until it is up. Raises StartFailed."""
        return self.client.start(name)

    def stop(self, name: str, *, force: bool = False, timeout: float = 15.0) -> ProgramInfo:
        """Ensure that a program is stopped; returns when it is. Raises StopFailed after `timeout` seconds."""
        return self.client.stop(name, force=force, timeout=timeout)

    def restart(self, name: str) -> ProgramInfo:
        """Stop a program, then start it."""
        self.client.stop(name)
        return self.client.start(name)

    def status(self) -> dict[str, ProgramInfo]:
        """Every program by its name."""
        return {info.name: info for info in self.client.all_info()}

    def signal(self, name: str, signal_name: str) -> None:
        """Send a signal ("HUP", "USR2") to a program's process. Raises DriverError when it is not running."""
        self.client.signal(name, signal_name)

    def pid(self, name: str) -> int | None:
        """The pid of a program, None when it has no process."""
        return self.client.info(name).pid or None

    def wait_running(self, names: Sequence[str], timeout: float = 15.0) -> None:
        """Return when all these programs have been up for their start time.

        Raises LocalServiceError, with the end of its log, for one that was given up, or after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self.status()
            missing = [name for name in names if name not in found]
            if missing:
                raise LocalServiceError(f"the supervisor has no program {', '.join(missing)}")
            waiting = [found[name] for name in names if found[name].state != ProcessStates.RUNNING]
            if not waiting:
                return
            given_up = [info for info in waiting if info.state == ProcessStates.FATAL]
            if given_up or time.monotonic() > deadline:
                info = (given_up or waiting)[0]
                raise LocalServiceError(f"{info.name} did not come up ({info.state_name}); {_log_end(info.log)}")
            time.sleep(POLL_SECONDS)

    def shutdown(self, timeout: float = 40.0) -> None:
        """Stop every program and supervisord; returns when no process of theirs is left.

        What does not stop in `timeout` seconds is killed. Harmless when nothing runs. Raises LocalServiceError
        when something survives even that.
        """
        daemon = leftovers.Watched.of_pid_file(self._pid_file, str(self._config))
        try:
            self.client.call("supervisor.shutdown")
        except DriverUnreachable:
            timeout = 0
        if daemon and not daemon.wait(timeout):
            daemon.kill()
        leftovers.stop(self.socket, self._stop_signals())
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.directory:
            # The stand-in for a folder with a long path; `up` makes it again.
            with suppress(OSError):
                self.socket.parent.rmdir()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._programs.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write_program(self, program: Program) -> None:
        program.log.parent.mkdir(parents=True, exist_ok=True)
        write_private(self._programs / f"{program.name}.ini", render_program(program))

    def _write_config(self) -> None:
        where = "supervisord"
        lines = [
            "[supervisord]",
            f"identifier={plain_value(self.name, where)}",
            f"directory={plain_value(str(self.directory), where)}",
            f"pidfile={plain_value(str(self._pid_file), where)}",
            f"logfile={plain_value(str(self.directory / 'supervisord.log'), where)}",
            "logfile_maxbytes=5MB",
            "logfile_backups=2",
            "silent=true",
            # Said aloud, so that supervisord neither warns nor drops what its programs need.
            *(["user=root"] if os.getuid() == 0 else []),
            "[unix_http_server]",
            f"file={plain_value(str(self.socket), where)}",
            "chmod=0700",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        ]
        # One file: the format's own include cannot have a space in its path.
        programs = [path.read_text() for path in sorted(self._programs.glob("*.ini"))]
        write_private(self._config, "\n".join(lines) + "\n\n" + "\n".join(programs))

    def _stop_signals(self) -> dict[str, str]:
        signals = {}
        for path in self._programs.glob("*.ini"):
            settings = dict(line.partition("=")[::2] for line in path.read_text().splitlines())
            signals[path.stem] = settings.get("stopsignal", "TERM")
        return signals

    def _launch(self) -> None:
        command = [sys.executable, "-P", str(DAEMON), "-c", str(self._config)]
        done = subprocess.run(
            command, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        )
        if done.returncode != 0:
            raise LocalServiceError(f"supervisord did not start: {(done.stderr or done.stdout).strip()}")
        deadline = time.monotonic() + 10
        while not self.running():
            if time.monotonic() > deadline:
                raise LocalServiceError(f"supervisord does not answer; {_log_end(self.directory / 'supervisord.log')}")
            time.sleep(POLL_SECONDS)


def _log_end(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()[-8:]
    except OSError as error:
        return f"its log cannot be read: {error}"
    return f"the end of {path}:\n" + "\n".join(lines)
