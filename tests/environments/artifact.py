"""A tiny trading system, packed as the artifact of a release, for tests."""

import hashlib
import io
import tarfile
from pathlib import Path

from environments.drivers.base import ArtifactSpec

MAIN = """
import json, os, signal, sys, time
from pathlib import Path

state = Path(os.environ["OPSC_STATE_DIR"])
signal.signal(signal.SIGTERM, signal.SIG_IGN if {stubborn} else lambda *_: sys.exit(0))
(state / "seen.json.tmp").write_text(json.dumps({{
    "version": {version!r}, "pid": os.getpid(), "cwd": os.getcwd(), "instance": os.environ["OPSC_INSTANCE"],
    "port": os.environ["OPSC_PORT"], "extra": os.environ.get("OPSC_EXTRA"),
}}))
(state / "seen.json.tmp").rename(state / "seen.json")
print("up", {version!r})
while True:
    if (state / "exit").exists():
        status = int((state / "exit").read_text())
        (state / "exit").unlink()
        sys.exit(status)
    time.sleep(0.01)
"""


def build(folder: Path, version: str, *, stubborn: bool = False) -> ArtifactSpec:
    """An artifact whose process notes in its state folder what it sees; stubborn: it ignores SIGTERM."""
    files = {
        "trading_system/__init__.py": "",
        "trading_system/__main__.py": MAIN.format(version=version, stubborn=stubborn),
        "release.json": f'{{"version": "{version}"}}',
    }
    return pack(folder, version, [(tarfile.TarInfo(name), text.encode()) for name, text in files.items()])


def pack(folder: Path, version: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> ArtifactSpec:
    """An artifact with exactly these members."""
    path = folder / f"paper-trader-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ArtifactSpec(version, f"sha256:{digest}", path, "paper-trader")
