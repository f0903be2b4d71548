"""Artifacts: verified every time, unpacked once and whole, never outside their folder."""

import hashlib
import io
import stat
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from environments.drivers import artifacts
from environments.drivers.artifacts import install_release, read_release, verify_artifact
from environments.drivers.base import ArtifactMissing, ArtifactUnsafe, DigestMismatch
from tests.environments.artifact import build, pack


def test_an_artifact_is_unpacked_under_its_digest_and_version(tmp_path: Path) -> None:
    release = build(tmp_path, "v1.2.5")
    installed = install_release(tmp_path / "root", release)
    digest = release.digest.removeprefix("sha256:")
    assert installed.path == tmp_path / "root" / "releases" / f"{digest[:12]}-v1.2.5"
    assert (installed.version, installed.digest) == ("v1.2.5", digest)
    assert (installed.path / "trading_system" / "__main__.py").is_file()
    assert stat.S_IMODE((installed.path / artifacts.MARKER).stat().st_mode) == 0o444
    assert read_release(installed.path) == installed


def test_a_changed_artifact_is_refused_also_when_it_was_installed_before(tmp_path: Path) -> None:
    release = build(tmp_path, "v1.2.5")
    install_release(tmp_path / "root", release)
    verify_artifact(release)
    content = bytearray(release.path.read_bytes())
    content[len(content) // 2] ^= 1
    release.path.write_bytes(content)
    for use in (lambda: install_release(tmp_path / "root", release), lambda: verify_artifact(release)):
        with pytest.raises(DigestMismatch, match="it was not installed") as refusal:
            use()
        assert refusal.value.expected == release.digest.removeprefix("sha256:") != refusal.value.actual


def test_a_mismatch_leaves_nothing_behind(tmp_path: Path) -> None:
    release = replace(build(tmp_path, "v1.2.5"), digest="sha256:" + "0" * 64)
    with pytest.raises(DigestMismatch):
        install_release(tmp_path / "root", release)
    assert not (tmp_path / "root").exists()


def test_a_missing_artifact_is_named(tmp_path: Path) -> None:
    release = replace(build(tmp_path, "v1.2.5"), path=tmp_path / "gone.tar.gz")
    with pytest.raises(ArtifactMissing, match="paper-trader v1.2.5.*gone.tar.gz"):
        install_release(tmp_path / "root", release)


def _link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("/etc/outside"),
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("a/../../outside"),
        _link("link", "/etc/passwd", tarfile.SYMTYPE),
        _link("link", "../../outside", tarfile.SYMTYPE),
        _link("link", "../../outside", tarfile.LNKTYPE),
        _link("device", "", tarfile.CHRTYPE),
        tarfile.TarInfo(artifacts.MARKER),
        tarfile.TarInfo(f"./{artifacts.MARKER}"),
    ],
    ids=lambda member: f"{member.name}-{member.linkname}",
)
def test_a_member_that_leaves_the_folder_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    release = pack(tmp_path, "v1", [(tarfile.TarInfo("good"), b"x"), (member, b"")])
    with pytest.raises(ArtifactUnsafe, match="was refused"):
        install_release(tmp_path / "root", release)
    assert list((tmp_path / "root" / "releases").iterdir()) == []
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00 broken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    release = build(tmp_path, "v1")
    release.path.write_bytes(content)
    release = replace(release, digest=hashlib.sha256(content).hexdigest())
    with pytest.raises(ArtifactUnsafe):
        install_release(tmp_path / "root", release)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        member = tarfile.TarInfo("big")
        member.size = 50_000
        archive.addfile(member, io.BytesIO(b"x" * 50_000))
    release = build(tmp_path, "v1")
    content = whole.getvalue()[:20_000]
    release.path.write_bytes(content)
    release = replace(release, digest=hashlib.sha256(content).hexdigest())
    with pytest.raises(ArtifactUnsafe):
        install_release(tmp_path / "root", release)
    assert list((tmp_path / "root" / "releases").iterdir()) == []


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "LARGEST_UNPACKED_BYTES", 100_000)
    release = pack(tmp_path, "v1", [(tarfile.TarInfo("zeros"), bytes(60_000))] * 2)
    with pytest.raises(ArtifactUnsafe, match="allowed"):
        install_release(tmp_path / "root", release)


@pytest.mark.parametrize("version", ["", "..", "a/b", ".hidden", "a b"])
def test_a_version_that_cannot_name_a_folder_is_refused(tmp_path: Path, version: str) -> None:
    release = replace(build(tmp_path, "v1"), version=version)
    with pytest.raises(ArtifactUnsafe, match="cannot name a folder"):
        install_release(tmp_path / "root", release)


def test_a_digest_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactUnsafe, match="64 hex digits"):
        verify_artifact(replace(build(tmp_path, "v1"), digest="md5:123"))


def test_many_at_once_install_the_same_release(tmp_path: Path) -> None:
    release = build(tmp_path, "v1.2.5")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(install_release(tmp_path / "root", release).path))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert list((tmp_path / "root" / "releases").iterdir()) == [found[0]]
