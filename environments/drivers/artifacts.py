"""Verify the artifact of a release and unpack it once. No Django.

Layout: `root`/releases/<first 12 digits of the digest>-<version>/… is what the archive holds, and in it the
read-only file `.release.json` with version and digest, written last.
"""

import hashlib
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from environments.drivers.base import ArtifactMissing, ArtifactSpec, ArtifactUnsafe, DigestMismatch

MARKER = ".release.json"
LARGEST_UNPACKED_BYTES = 512 * 1024 * 1024
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class InstalledRelease:
    """An unpacked release. digest: SHA-256 of its artifact, 64 hex digits."""

    version: str
    digest: str
    path: Path


def install_release(root: Path, release: ArtifactSpec) -> InstalledRelease:
    """Verify the artifact, every time, and unpack it unless that was done before.

    Unpacked in a temporary folder and renamed, so that a release folder is whole or not there.
    Raises ArtifactMissing, DigestMismatch, ArtifactUnsafe.
    """
    if not VERSION.fullmatch(release.version):
        raise ArtifactUnsafe(f"version {release.version!r} cannot name a folder: use letters, digits and . _ + -")
    with _open_verified(release) as file:
        digest = plain_digest(release.digest)
        target = root / "releases" / f"{digest[:12]}-{release.version}"
        if not (target / MARKER).is_file():
            _unpack_into_place(file, release, digest, target)
    return read_release(target)


def verify_artifact(release: ArtifactSpec) -> None:
    """Return when the artifact is there and is the one of the release. Changes nothing.

    Raises ArtifactMissing, DigestMismatch; ArtifactUnsafe for a digest that cannot be one.
    """
    _open_verified(release).close()


def read_release(folder: Path) -> InstalledRelease:
    """The release unpacked in `folder`. Raises ArtifactMissing when there is none."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        return InstalledRelease(marker["version"], marker["digest"], folder)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactMissing(f"no unpacked release in {folder}: {error}") from error


def plain_digest(digest: str) -> str:
    """SHA-256 as 64 lower-case hex digits, from "sha256:…" or the digits alone. Raises ArtifactUnsafe."""
    digits = digest.lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ArtifactUnsafe(f"digest {digest!r} is not sha256: and 64 hex digits")
    return digits


def _open_verified(release: ArtifactSpec) -> BinaryIO:
    expected = plain_digest(release.digest)
    try:
        file = release.path.open("rb")
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactMissing(f"artifact of {release.service} {release.version}: {error}") from error
    if actual != expected:
        file.close()
        raise DigestMismatch(release.path, expected, actual)
    # What is unpacked is what was verified: the same open file.
    file.seek(0)
    return file


def _unpack_into_place(file: BinaryIO, release: ArtifactSpec, digest: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _unpack(file, release.path, partial)
        marker = partial / MARKER
        text = json.dumps({"service": release.service, "version": release.version, "digest": digest})
        marker.write_text(text + "\n")
        marker.chmod(0o444)
        partial.chmod(0o755)
        partial.rename(target)
    except OSError as error:
        # Another worker may have unpacked the same release meanwhile.
        if not (target / MARKER).is_file():
            raise ArtifactUnsafe(f"artifact {release.path} could not be unpacked: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpack(file: BinaryIO, path: Path, folder: Path) -> None:
    # Not extractall(): its safe filter (PEP 706) came with Python 3.11.4 only, and a release needs files alone.
    try:
        with tarfile.open(fileobj=file) as archive:
            members = archive.getmembers()
            _check_members(members, path)
            for member in members:
                target = folder / member.name
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with cast(BinaryIO, archive.extractfile(member)) as content, target.open("wb") as copy:
                    shutil.copyfileobj(content, copy)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ArtifactUnsafe(f"artifact {path} was refused: {error}") from error


def _check_members(members: list[tarfile.TarInfo], path: Path) -> None:
    for member in members:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise ArtifactUnsafe(f"artifact {path} was refused: member {member.name!r} leaves the folder")
        if not (member.isfile() or member.isdir()):
            raise ArtifactUnsafe(f"artifact {path} was refused: member {member.name!r} is neither a file nor a folder")
        if str(name) == MARKER:
            raise ArtifactUnsafe(f"artifact {path} was refused: member {MARKER} is written by the driver only")
    size = sum(member.size for member in members)
    if size > LARGEST_UNPACKED_BYTES:
        raise ArtifactUnsafe(f"artifact {path} was refused: {size} bytes unpacked, {LARGEST_UNPACKED_BYTES} allowed")
