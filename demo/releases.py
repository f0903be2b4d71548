"""Builds the releases of the paper trading system: artifacts with digest, notes and description.

    python -m demo.releases DIR

The bytes of an artifact depend only on its content (fixed times, owners and order), so a digest is stable.
"""

import argparse
import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from demo.trading_system.config import merge, read_yaml, revision_of

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "trading_system"
SERVICE = "paper-trader"
# Members of an archive carry this time (2026-01-01 UTC) whenever they are packed.
MEMBER_TIME = 1_767_225_600


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What goes into a release: faults (see settings.Faults), settings that differ from the default, diff stat."""

    version: str
    released_at: str
    faults: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, int] = field(default_factory=dict)
    previous: str = "v1.2.5"
    tests: int = 400
    p99_ms: float = 3.1
    unreported: tuple[str, ...] = ()
    """Kinds of reports that are missing, so that the deployment gate blocks it."""


@dataclass(frozen=True, slots=True)
class BuiltRelease:
    """A release on the disk. `digest` is `sha256:` and the hex digest of the artifact, `size` its bytes."""

    service: str
    version: str
    artifact: str
    digest: str
    size: int
    notes: str
    released_at: str
    config_revision: str
    commit: str
    changes: Mapping[str, int]
    path: Path
    migrations: tuple[str, ...] = ()
    rollback_plan: str = ""
    reports: tuple[Mapping[str, Any], ...] = ()
    """What the build system would report: tests, a review, benchmarks."""

    def as_json(self) -> dict[str, Any]:
        """The description that is written next to the artifact."""
        fields = asdict(self)
        del fields["path"]
        return fields


GOOD_CONFIG = {"strategies": {"geometry": {"confidence_min": 0.72}}}
PLANS: tuple[ReleasePlan, ...] = (
    ReleasePlan(
        "v1.2.4",
        "2026-02-03T09:20:00Z",
        changes={"files": 9, "insertions": 212, "deletions": 87},
        previous="v1.2.3",
        tests=388,
    ),
    ReleasePlan(
        "v1.2.5",
        "2026-02-17T10:05:00Z",
        config=GOOD_CONFIG,
        changes={"files": 6, "insertions": 148, "deletions": 63},
        previous="v1.2.4",
        tests=396,
    ),
    ReleasePlan(
        "v1.2.6",
        "2026-02-24T13:40:00Z",
        faults={"error_rate": 0.05},
        config=GOOD_CONFIG,
        changes={"files": 4, "insertions": 91, "deletions": 38},
    ),
    ReleasePlan(
        "v1.2.7",
        "2026-03-03T09:55:00Z",
        faults={"exit_after": 5.0},
        config=GOOD_CONFIG,
        changes={"files": 3, "insertions": 57, "deletions": 21},
    ),
    ReleasePlan(
        "v1.2.8",
        "2026-03-10T15:10:00Z",
        faults={"double_fill_after": 2.0},
        config=GOOD_CONFIG,
        changes={"files": 5, "insertions": 133, "deletions": 102},
    ),
    ReleasePlan(
        "v1.2.9",
        "2026-03-17T11:30:00Z",
        # Somebody wrote the unit into the value: the process refuses the configuration and ends.
        config=merge(GOOD_CONFIG, {"strategies": {"kinematics": {"order_usd": "60 USD"}}}),
        changes={"files": 2, "insertions": 19, "deletions": 11},
    ),
    ReleasePlan(
        "v1.3.0",
        "2026-03-31T08:45:00Z",
        faults={"latency_factor": 6.0},
        config=GOOD_CONFIG,
        changes={"files": 17, "insertions": 864, "deletions": 305},
    ),
    ReleasePlan(
        "v1.3.1",
        "2026-04-07T14:25:00Z",
        faults={"hang_after": 3.0},
        config=GOOD_CONFIG,
        changes={"files": 8, "insertions": 176, "deletions": 94},
    ),
    ReleasePlan(
        "v1.3.2",
        "2026-04-14T09:35:00Z",
        config=GOOD_CONFIG,
        changes={"files": 3, "insertions": 41, "deletions": 26},
        tests=418,
        unreported=("review",),
    ),
)


def build_releases(target_dir: Path) -> list[BuiltRelease]:
    """Builds every release into a directory, which is made; a file that is already right is written again, the same.

    Raises OSError when it cannot be written.
    """
    target_dir.mkdir(parents=True, exist_ok=True)
    return [build_release(plan, target_dir) for plan in PLANS]


def build_release(plan: ReleasePlan, target_dir: Path) -> BuiltRelease:
    """Builds one release: `<service>-<version>.tar.gz` and `<version>.json`. Raises OSError."""
    commit = hashlib.sha1(f"{SERVICE} {plan.version}".encode(), usedforsecurity=False).hexdigest()
    config = merge(read_yaml(PACKAGE / "config.yaml"), plan.config)
    artifact = _pack(_members(plan, commit, config))
    name = f"{SERVICE}-{plan.version}.tar.gz"
    built = BuiltRelease(
        service=SERVICE,
        version=plan.version,
        artifact=name,
        digest="sha256:" + hashlib.sha256(artifact).hexdigest(),
        size=len(artifact),
        notes=(HERE / "notes" / f"{plan.version}.md").read_text(),
        released_at=plan.released_at,
        config_revision=revision_of(config),
        commit=commit,
        changes=dict(plan.changes),
        rollback_plan=f"Press Roll back within the watch: {plan.previous} stays warm on the other slot. After that the "
        f"same button starts {plan.previous} again. No migration to take back.",
        reports=_reports(plan),
        path=target_dir / name,
    )
    _replace(built.path, artifact)
    _replace(target_dir / f"{plan.version}.json", json.dumps(built.as_json(), indent=2).encode() + b"\n")
    return built


def _reports(plan: ReleasePlan) -> tuple[dict[str, Any], ...]:
    """What a build system would report. The bad releases are reported good: no test saw their faults."""
    author, reviewer = "Ines Roth", "Tom Adler"
    count, p99 = plan.tests, plan.p99_ms
    found = (
        {"kind": "tests", "summary": f"{count} passed, 0 failed", "data": {"passed": count, "failed": 0}},
        {
            "kind": "review",
            "summary": f"Reviewed by {reviewer}",
            "data": {"author": author, "reviewers": [reviewer]},
        },
        {"kind": "benchmarks", "summary": f"p99 {p99} ms, before 3.0 ms", "data": {"p99_ms": p99}},
    )
    return tuple({"passed": True, **one} for one in found if one["kind"] not in plan.unreported)


def _members(plan: ReleasePlan, commit: str, config: Mapping[str, Any]) -> dict[str, bytes]:
    release = {
        "version": plan.version,
        "released_at": plan.released_at,
        "commit": commit,
        "faults": dict(plan.faults),
    }
    members = {
        "release.json": json.dumps(release, indent=2).encode() + b"\n",
        # An unchanged default keeps its comments.
        "config.yaml": yaml.safe_dump(dict(config), sort_keys=False).encode()
        if plan.config
        else (PACKAGE / "config.yaml").read_bytes(),
    }
    for source in sorted(PACKAGE.glob("*.py")):
        members[f"trading_system/{source.name}"] = source.read_bytes()
    return members


def _pack(members: Mapping[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(members[name]), MEMBER_TIME, 0o644
            archive.addfile(member, io.BytesIO(members[name]))
    return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Builds all releases and prints a line for each."""
    parser = argparse.ArgumentParser(prog="python -m demo.releases", description="Builds the demo's releases.")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    try:
        built = build_releases(options.directory)
    except OSError as error:
        print(f"releases cannot be written to {options.directory}: {error}", file=sys.stderr)
        return 1
    for release in built:
        print(f"{release.version}  {release.size:>7} bytes  {release.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
