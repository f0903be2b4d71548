"""supervisord as the local services use it: found again, brought up to date, shut down without a trace."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from environments.drivers.base import DriverError, DriverUnreachable, UnknownProgram
from environments.drivers.program import Program
from opsconsole.local import leftovers
from opsconsole.local.paths import LONGEST_SOCKET_PATH, LocalServiceError, private_folder, private_folder_path
from opsconsole.local.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]


def sleeper(supervisor: Supervisor, name: str, text: str = "up", **settings: object) -> Program:
    """Prints `text`, then waits; leaves a child of its own behind when it is killed."""
    script = (
        f"import subprocess, time; subprocess.Popen(['sleep', '600']); print({text!r}, flush=True); time.sleep(600)"
    )
    log = supervisor.directory / f"{name}.log"
    return Program(name, (sys.executable, "-c", script), Path("/"), log, **settings)


def wait_until(condition: Callable[[], object], what: str, timeout: float = 5) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.01)


def test_programs_run_and_their_output_is_kept(supervisor: Supervisor) -> None:
    supervisor.up([sleeper(supervisor, "one", "first line"), sleeper(supervisor, "two", autostart=False)])
    supervisor.wait_running(["one"])
    assert {name: info.state_name for name, info in supervisor.status().items()} == {"one": "RUNNING", "two": "STOPPED"}
    assert (supervisor.directory / "one.log").read_text() == "first line\n"
    assert stat.S_IMODE(supervisor.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE((supervisor.directory / "supervisord.conf").stat().st_mode) == 0o600
    assert not [c for c in psutil.Process(supervisor.running()).net_connections("inet") if c.status == "LISTEN"]


def test_it_outlives_its_starter_and_is_found_again(supervisor: Supervisor) -> None:
    script = (
        "import sys, os, signal; from pathlib import Path; from opsconsole.local.supervisor import Supervisor;"
        "from environments.drivers.program import Program; d = Path(sys.argv[1]);"
        "print(Supervisor(d).up([Program('one', ('sleep', '600'), d, d / 'one.log')]), flush=True);"
        "os.killpg(0, signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(supervisor.directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert supervisor.running() == int(done.stdout)
    pid = supervisor.connect().info("one").pid
    same = Program("one", ("sleep", "600"), supervisor.directory, supervisor.directory / "one.log")
    assert supervisor.up([same]) == int(done.stdout)
    assert supervisor.pid("one") == pid


def test_up_changes_only_what_differs(supervisor: Supervisor) -> None:
    daemon = supervisor.up([sleeper(supervisor, name) for name in ("same", "changed", "gone")])
    before = {name: info.pid for name, info in supervisor.status().items()}
    programs = [sleeper(supervisor, "same"), sleeper(supervisor, "changed", "else"), sleeper(supervisor, "added")]
    assert supervisor.up(programs) == daemon
    after = {name: info.pid for name, info in supervisor.status().items()}
    assert set(after) == {"same", "changed", "added"}
    assert after["same"] == before["same"]
    assert after["changed"] != before["changed"]
    assert not psutil.pid_exists(before["gone"])


def test_add_start_stop_restart_signal(supervisor: Supervisor) -> None:
    supervisor.up([])
    supervisor.add(sleeper(supervisor, "one", autostart=False))
    assert supervisor.pid("one") is None
    first = supervisor.start("one").pid
    assert supervisor.start("one").pid == first == supervisor.pid("one")
    second = supervisor.restart("one").pid
    assert second != first
    supervisor.wait_running(["one"])
    supervisor.signal("one", "KILL")
    wait_until(lambda: supervisor.pid("one") not in (None, second), "started again after a kill", timeout=1)
    assert supervisor.stop("one").pid == 0
    with pytest.raises(DriverError, match="NOT_RUNNING"):
        supervisor.signal("one", "HUP")
    with pytest.raises(UnknownProgram, match="no program none"):
        supervisor.start("none")


def test_shutdown_leaves_no_process(supervisor: Supervisor) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    log = supervisor.directory / "stubborn.log"
    program = Program("stubborn", (sys.executable, "-c", stubborn), Path("/"), log, stop_wait_seconds=1)
    daemon = supervisor.up([sleeper(supervisor, "one"), program])
    supervisor.wait_running(["one", "stubborn"])
    wait_until(lambda: len(leftovers.find(supervisor.socket)) == 3, "three processes")
    supervisor.shutdown()
    assert leftovers.find(supervisor.socket) == []
    assert not supervisor.running()
    assert not psutil.pid_exists(daemon) or psutil.Process(daemon).status() == psutil.STATUS_ZOMBIE
    supervisor.shutdown()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_shutdown_also_when_supervisord_is_dead_or_hung(supervisor: Supervisor, signal_number: int) -> None:
    daemon = supervisor.up([sleeper(supervisor, "one")])
    wait_until(lambda: len(leftovers.find(supervisor.socket)) == 2, "the program and its child")
    os.kill(daemon, signal_number)
    supervisor.client.timeout = 0.5
    supervisor.shutdown()
    assert leftovers.find(supervisor.socket) == []


def test_up_after_a_killed_supervisord_leaves_no_second_copy(supervisor: Supervisor) -> None:
    daemon = supervisor.up([sleeper(supervisor, "one")])
    orphan = supervisor.pid("one")
    wait_until(lambda: len(leftovers.find(supervisor.socket)) == 2, "the program and its child")
    os.kill(daemon, signal.SIGKILL)
    assert supervisor.up([sleeper(supervisor, "one")]) != daemon
    assert supervisor.pid("one") != orphan
    wait_until(lambda: len(leftovers.find(supervisor.socket)) == 2, "one copy and its child")


def test_two_at_once_start_one(supervisor: Supervisor) -> None:
    found: list[int] = []
    starts = [
        threading.Thread(target=lambda: found.append(Supervisor(supervisor.directory).up([sleeper(supervisor, "one")])))
        for _ in range(2)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(found) == 2
    assert len(set(found)) == 1


def test_a_program_that_does_not_come_up_is_told_with_its_log(supervisor: Supervisor) -> None:
    log = supervisor.directory / "bad.log"
    command = (sys.executable, "-c", "raise SystemExit('no database here')")
    supervisor.up([Program("bad", command, Path("/"), log, startretries=0)])
    with pytest.raises(LocalServiceError, match=r"bad did not come up \(FATAL\)(.|\n)*no database here"):
        supervisor.wait_running(["bad"])
    with pytest.raises(LocalServiceError, match="no program none"):
        supervisor.wait_running(["none"])


def test_nothing_running_is_told_in_time(supervisor: Supervisor) -> None:
    began = time.monotonic()
    assert supervisor.running() is None
    with pytest.raises(DriverUnreachable):
        supervisor.connect()
    assert time.monotonic() - began < 1


def test_a_long_path_puts_the_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    other = Supervisor(folder)
    try:
        assert len(str(other.socket)) <= LONGEST_SOCKET_PATH
        assert stat.S_IMODE(other.socket.parent.stat().st_mode) == 0o700
        other.up([])
        assert Supervisor(folder).running()
    finally:
        other.shutdown()
    assert not other.socket.parent.exists()
    other.up([])
    other.shutdown()


def test_a_private_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    taken = private_folder_path(tmp_path / "key", tmp_path)
    taken.symlink_to("/etc")
    with pytest.raises(LocalServiceError, match="belongs to somebody else"):
        private_folder(tmp_path / "key", tmp_path)
