"""Where sockets and private folders go when the obvious place does not serve."""

import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

# AF_UNIX paths end at 108 bytes on Linux (unix(7)), 104 on macOS; supervisord and HAProxy bind "<path>.<pid>…" first.
LONGEST_SOCKET_PATH = 85


class LocalServiceError(Exception):
    """A local service cannot be set up or did not come up; the message says why and what to do."""


def socket_path(directory: Path, name: str) -> Path:
    """A path for the Unix socket `name`: in `directory`, or in a private folder when that path is too long.

    The same arguments always give the same path. The folder exists, mode 700. Raises LocalServiceError.
    """
    path = directory.resolve() / name
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
    return private_folder(directory, short_place()) / name


def short_place() -> Path:
    """A place open to all with a short path. Not TMPDIR: the same call must answer the same in every session."""
    return next((place for place in (Path("/tmp"), Path("/var/tmp")) if place.is_dir()), Path(tempfile.gettempdir()))


def open_place() -> Path:
    """A place open to all, kept over a reboot where there is such a place."""
    return next((place for place in (Path("/var/tmp"), Path("/tmp")) if place.is_dir()), Path(tempfile.gettempdir()))


def private_folder_path(key: Path, parent: Path) -> Path:
    """The path that `private_folder` would make."""
    digest = hashlib.sha256(os.fsencode(key.resolve())).hexdigest()[:12]
    return parent / f"opsconsole-{os.getuid()}-{digest}"


def private_folder(key: Path, parent: Path, mode: int = 0o700) -> Path:
    """A folder in `parent` (a place open to all, like /tmp) that belongs to this user, named after `key`.

    Raises LocalServiceError when somebody else has made it: using it would let them read or swap its files.
    """
    folder = private_folder_path(key, parent)
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise LocalServiceError(f"{folder} belongs to somebody else or is no folder: remove it") from None
    folder.chmod(mode)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 600, replaced in one step."""
    partial = path.with_name(path.name + ".tmp")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def kept_password(path: Path) -> str:
    """The password kept in `path` (mode 600), generated the first time."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text().strip()
