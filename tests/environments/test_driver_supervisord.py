"""The supervisord driver: real processes of a tiny trading system, started, swapped, killed and counted."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from environments.drivers.base import (
    ArtifactMissing,
    ArtifactSpec,
    DigestMismatch,
    DriverError,
    DriverUnreachable,
    InstanceSpec,
    UnknownProgram,
)
from environments.drivers.supervisord import SupervisordDriver, instance_spec, program_for
from opsconsole.local.supervisor import Supervisor
from tests.environments.artifact import build
from tests.environments.httpload import wait_until


@dataclass
class Slot:
    """One instance under the real driver, and two releases for it."""

    driver: SupervisordDriver
    instance: InstanceSpec
    old: ArtifactSpec
    new: ArtifactSpec

    def run(self, release: ArtifactSpec) -> dict[str, object]:
        self.driver.install(self.instance, release)
        (self.instance.state_dir / "seen.json").unlink(missing_ok=True)
        self.driver.start(self.instance)
        return self.seen()

    def seen(self, not_pid: int | None = None) -> dict[str, object]:
        """What the process itself saw, once it has (and is another one than not_pid)."""
        path = self.instance.state_dir / "seen.json"
        wait_until(lambda: path.exists() and json.loads(path.read_text())["pid"] != not_pid, 10, "the process is up")
        return json.loads(path.read_text())

    def exit(self, status: int) -> None:
        (self.instance.state_dir / "exit").write_text(str(status))


@pytest.fixture
def slot(supervisor: Supervisor, tmp_path: Path) -> Iterator[Slot]:
    root = tmp_path / "a root"
    instance = instance_spec(root, "production-blue-1", 12345)
    supervisor.add(program_for(instance, root, Path(sys.executable), {"OPSC_EXTRA": "50 % of 'all', = [x]"}))
    driver = SupervisordDriver(supervisor.socket, root)
    yield Slot(driver, instance, build(tmp_path, "v1.2.4"), build(tmp_path, "v1.2.5"))
    driver.stop(instance, force=True)


def test_start_runs_the_installed_release_in_its_environment(slot: Slot) -> None:
    assert slot.driver.status(slot.instance).state == "stopped"
    seen = slot.run(slot.old)
    status = slot.driver.status(slot.instance)
    assert status.state in ("starting", "running")
    assert (status.version, status.digest) == ("v1.2.4", slot.old.digest.removeprefix("sha256:"))
    assert (seen["version"], seen["pid"]) == ("v1.2.4", status.pid)
    assert seen["cwd"] == str(slot.driver.installed(slot.instance).path)
    assert (seen["instance"], seen["port"], seen["extra"]) == ("production-blue-1", "12345", "50 % of 'all', = [x]")
    assert status.started_at and abs(time.time() - status.started_at) < 10
    wait_until(lambda: slot.driver.status(slot.instance).state == "running", 5, "running after its start time")
    assert slot.driver.status(slot.instance).restarts == 0


def test_the_last_lines_of_the_log(slot: Slot) -> None:
    assert slot.driver.tail(slot.instance, 5) == []
    slot.run(slot.old)
    wait_until(lambda: slot.driver.tail(slot.instance, 5) == ["up v1.2.4"], 5, "the line is written")
    log = slot.driver.client.info(slot.instance.program).log
    with log.open("a") as file:
        file.write("".join(f"{number:09d}\n" for number in range(10_000)))
    assert slot.driver.tail(slot.instance, 2) == ["000009998", "000009999"]
    everything = slot.driver.tail(slot.instance, 20_000)
    assert 6000 < len(everything) < 6600 and {len(line) for line in everything} == {9}
    assert slot.driver.tail(slot.instance, 2, since=log.stat().st_mtime + 1) == []


def test_start_again_leaves_the_process_alone(slot: Slot) -> None:
    first = slot.run(slot.old)["pid"]
    slot.driver.install(slot.instance, slot.old)
    assert [slot.driver.start(slot.instance).pid for _ in range(3)] == [first] * 3


def test_start_swaps_a_process_of_another_release(slot: Slot) -> None:
    first = slot.run(slot.old)
    second = slot.run(slot.new)
    assert (second["version"], slot.driver.status(slot.instance).version) == ("v1.2.5", "v1.2.5")
    assert not psutil.pid_exists(int(str(first["pid"])))
    third = slot.run(slot.old)
    assert third["version"] == "v1.2.4"


def test_install_leaves_a_running_process_and_its_restarts_on_the_old_release(slot: Slot) -> None:
    first = int(str(slot.run(slot.old)["pid"]))
    slot.driver.install(slot.instance, slot.new)
    os.kill(first, signal.SIGKILL)
    again = slot.seen(not_pid=first)
    assert (again["version"], slot.driver.status(slot.instance).version) == ("v1.2.4", "v1.2.4")


def test_a_crash_is_answered_by_a_restart_that_is_counted(slot: Slot) -> None:
    pid = int(str(slot.run(slot.old)["pid"]))
    for count in (1, 2):
        wait_until(lambda: slot.driver.status(slot.instance).state == "running", 5, "running")
        began = time.monotonic()
        if count == 1:
            slot.exit(3)
        else:
            os.kill(pid, signal.SIGKILL)
        pid = int(str(slot.seen(not_pid=pid)["pid"]))
        assert time.monotonic() - began < 1, "the supervisor is to act at once, not at its next round"
        status = slot.driver.status(slot.instance)
        assert (status.pid, status.restarts, status.version) == (pid, count, "v1.2.4")
    slot.driver.stop(slot.instance)
    slot.driver.start(slot.instance)
    assert slot.driver.status(slot.instance).restarts == 0


def test_a_clean_end_stays_ended(slot: Slot) -> None:
    slot.run(slot.old)
    wait_until(lambda: slot.driver.status(slot.instance).state == "running", 5, "running")
    slot.exit(0)
    wait_until(lambda: slot.driver.status(slot.instance).state == "exited", 5, "exited")
    status = slot.driver.status(slot.instance)
    assert (status.pid, status.exit_status, status.restarts, status.version) == (None, 0, 0, None)


def test_stop_is_polite_and_can_be_repeated(slot: Slot) -> None:
    pid = int(str(slot.run(slot.old)["pid"]))
    status = slot.driver.stop(slot.instance)
    assert (status.state, status.pid, status.exit_status) == ("stopped", None, 0)
    assert not psutil.pid_exists(pid)
    assert slot.driver.stop(slot.instance).state == "stopped"


@pytest.mark.parametrize("suspended", [False, True])
def test_force_ends_a_process_that_does_not_listen(slot: Slot, tmp_path: Path, suspended: bool) -> None:
    pid = int(str(slot.run(build(tmp_path, "v9", stubborn=True))["pid"]))
    if suspended:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    status = slot.driver.stop(slot.instance, force=True)
    took = time.monotonic() - began
    assert not psutil.pid_exists(pid)
    assert (status.state, status.pid) == ("stopped", None)
    assert took < 0.5
    quiet_until = time.monotonic() + 0.3
    while time.monotonic() < quiet_until:
        assert slot.driver.status(slot.instance).pid is None, "a stopped process must not come back"


def test_force_during_a_polite_stop(slot: Slot, tmp_path: Path) -> None:
    slot.run(build(tmp_path, "v9", stubborn=True))
    slot.driver.client.call("supervisor.stopProcess", slot.instance.program, False)
    assert slot.driver.status(slot.instance).state == "stopping"
    began = time.monotonic()
    slot.driver.stop(slot.instance, force=True)
    assert time.monotonic() - began < 0.5


def test_stop_right_after_a_crash_stops_the_restarted_process_too(slot: Slot) -> None:
    for _ in range(3):
        pid = int(str(slot.run(slot.old)["pid"]))
        wait_until(lambda: slot.driver.status(slot.instance).state == "running", 5, "running")
        os.kill(pid, signal.SIGKILL)
        assert slot.driver.stop(slot.instance).state in ("stopped", "exited")
        quiet_until = time.monotonic() + 0.15
        while time.monotonic() < quiet_until:
            assert slot.driver.status(slot.instance).pid is None


def test_nothing_starts_without_an_installed_release(slot: Slot) -> None:
    with pytest.raises(ArtifactMissing, match="production-blue-1 has no next release"):
        slot.driver.start(slot.instance)


def test_a_wrong_digest_is_refused_and_the_installed_release_stays(slot: Slot) -> None:
    pid = slot.run(slot.old)["pid"]
    with pytest.raises(DigestMismatch):
        slot.driver.install(slot.instance, replace(slot.new, digest="f" * 64))
    assert slot.driver.installed(slot.instance).version == "v1.2.4"
    assert slot.driver.start(slot.instance).pid == pid


def test_a_release_that_cannot_start_is_given_up_and_can_be_replaced(slot: Slot, tmp_path: Path) -> None:
    from tarfile import TarInfo

    from tests.environments.artifact import pack

    broken = pack(tmp_path, "v0", [(TarInfo("trading_system/__init__.py"), b"")])
    slot.driver.install(slot.instance, broken)
    slot.driver.start(slot.instance)
    wait_until(lambda: slot.driver.status(slot.instance).state == "exited", 5, "failed start")
    assert slot.run(slot.old)["version"] == "v1.2.4"


def test_errors_name_what_is_wrong(slot: Slot, tmp_path: Path) -> None:
    with pytest.raises(UnknownProgram, match="no program nobody-1"):
        slot.driver.status(replace(slot.instance, program="nobody-1"))
    with pytest.raises(DriverUnreachable, match="none.sock"):
        SupervisordDriver(tmp_path / "none.sock", slot.driver.root).status(slot.instance)
    with pytest.raises(DriverError, match="cannot name a folder"):
        instance_spec(tmp_path, "../x", 1)


def test_a_hung_supervisor_is_told_in_time(tmp_path: Path) -> None:
    other = Supervisor(tmp_path / "sup")
    pid = other.up([])
    try:
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(DriverUnreachable):
            SupervisordDriver(other.socket, tmp_path, timeout=0.5).status(instance_spec(tmp_path, "a", 1))
        assert time.monotonic() - began < 1
    finally:
        os.kill(pid, signal.SIGCONT)
        other.shutdown()
