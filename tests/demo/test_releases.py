"""Releases: complete, self-contained, and the same bytes each time."""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from demo.releases import BuiltRelease, build_releases, main
from demo.trading_system.config import ConfigError, load_config
from demo.trading_system.settings import SettingsError, read_settings
from tests.demo.processes import Stack

VERSIONS = ["v1.2.4", "v1.2.5", "v1.2.6", "v1.2.7", "v1.2.8", "v1.2.9", "v1.3.0", "v1.3.1", "v1.3.2"]
BROKEN = "v1.2.9"


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, releases: dict[str, BuiltRelease]) -> None:
    again = build_releases(tmp_path / "again")
    assert [release.version for release in again] == VERSIONS
    for release in again:
        assert release.digest == releases[release.version].digest
        assert release.digest == "sha256:" + hashlib.sha256(release.path.read_bytes()).hexdigest()
    assert len({release.digest for release in again}) == len(VERSIONS)


def test_description_next_to_the_artifact(releases: dict[str, BuiltRelease]) -> None:
    for version, release in releases.items():
        described = json.loads((release.path.parent / f"{version}.json").read_text())
        assert described["service"] == "paper-trader"
        assert described["artifact"] == release.path.name
        assert described["digest"] == release.digest
        assert described["size"] == release.path.stat().st_size
        assert described["migrations"] == []
        assert described["notes"].startswith(f"## {version} - {described['released_at'][:10]}\n")
        for heading in ("### Added", "### Changed", "### Fixed", "### Deployment Notes"):
            assert heading in described["notes"]
        assert len(described["commit"]) == 40
        assert described["rollback_plan"]
        kinds = {one["kind"] for one in described["reports"] if one["passed"]}
        assert kinds == {"tests", "benchmarks"} | (set() if version == "v1.3.2" else {"review"})
        assert set(described["changes"]) == {"files", "insertions", "deletions"}


def test_artifact_holds_plain_files_only_and_its_configuration(
    tmp_path: Path, releases: dict[str, BuiltRelease]
) -> None:
    for version, release in releases.items():
        with tarfile.open(release.path) as archive:
            members = archive.getmembers()
            archive.extractall(tmp_path / version)  # our own archive
        assert all(member.isfile() and member.uid == 0 and member.mtime == members[0].mtime for member in members)
        assert {"release.json", "config.yaml", "trading_system/__main__.py"} <= {member.name for member in members}
        if version == BROKEN:
            with pytest.raises(ConfigError, match="/strategies/kinematics/order_usd: must be a number"):
                load_config(tmp_path / version / "config.yaml")
        else:
            assert load_config(tmp_path / version / "config.yaml").revision == release.config_revision


def test_only_the_release_carries_the_fault(tmp_path: Path, releases: dict[str, BuiltRelease]) -> None:
    faults = {}
    for version, release in releases.items():
        with tarfile.open(release.path) as archive:
            member = archive.extractfile("release.json")
            assert member is not None
            faults[version] = json.load(member)["faults"]
    assert faults["v1.2.4"] == faults["v1.2.5"] == {}
    assert faults["v1.2.6"] == {"error_rate": 0.05}
    assert [v for v in VERSIONS if faults[v]] == ["v1.2.6", "v1.2.7", "v1.2.8", "v1.3.0", "v1.3.1"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out")]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == VERSIONS
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def environment(tmp_path: Path) -> dict[str, str]:
    """A complete environment of an instance."""
    (tmp_path / "tokens").write_text("secret\nother read\n")
    (tmp_path / "key").write_text("0x" + "2" * 64)
    return {
        "OPSC_INSTANCE": "production-blue-1",
        "OPSC_ENVIRONMENT": "production",
        "OPSC_PORT": "0",
        "OPSC_STATE_DIR": str(tmp_path / "state"),
        "OPSC_EXCHANGE_URL": "http://127.0.0.1:9",
        "OPSC_EXCHANGE_ACCOUNT": "0x" + "1" * 40,
        "OPSC_EXCHANGE_KEY_FILE": str(tmp_path / "key"),
        "OPSC_DATABASE_URL_FILE": str(tmp_path / "book.url"),
        "OPSC_TOKEN_FILE": str(tmp_path / "tokens"),
    }


def test_a_missing_or_wrong_variable_is_named(tmp_path: Path) -> None:
    complete = environment(tmp_path)
    assert read_settings(complete).tokens["other"] == {"read"}
    for name in complete:
        with pytest.raises(SettingsError, match=f"{name} is not set"):
            read_settings({key: value for key, value in complete.items() if key != name})
    (tmp_path / "bad").write_text("token superuser\n")
    (tmp_path / "empty").write_text("# nothing\n")
    for name, wrong in (
        ("OPSC_PORT", "http"),
        ("OPSC_PORT", "70000"),
        ("OPSC_STATE_DIR", str(tmp_path / "tokens")),
        ("OPSC_EXCHANGE_KEY_FILE", str(tmp_path / "nowhere")),
        ("OPSC_EXCHANGE_KEY_FILE", str(tmp_path / "tokens")),
        ("OPSC_TOKEN_FILE", str(tmp_path / "nowhere")),
        ("OPSC_TOKEN_FILE", str(tmp_path / "bad")),
        ("OPSC_TOKEN_FILE", str(tmp_path / "empty")),
    ):
        with pytest.raises(SettingsError, match=name):
            read_settings(complete | {name: wrong})


def test_the_process_names_what_is_missing(stack: Stack) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "trading_system"], cwd=stack.unpack("v1.2.4"), env={}, capture_output=True, timeout=20
    )
    assert ended.returncode == 2
    assert ended.stderr.decode() == (
        "trading system cannot start: OPSC_STATE_DIR is not set; the trading system cannot start without it\n"
    )
