"""The cast of every test, as plain functions: ``conftest.py`` makes fixtures of them, the matrix one world for all."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def apply_system(folder: Path) -> Any:
    """The inventory of demo/system.yaml, applied; nothing of it runs."""
    from audit.actors import system as system_actor
    from environments.actions import apply_definition
    from environments.definition import load

    token = folder / "token"
    token.write_text("test-token")
    variables = {
        "OPSC_DEMO_RUN": str(folder),
        "OPSC_DEMO_HOSTS": str(folder / "hosts"),
        "OPSC_DEMO_TOKEN": str(token),
        "OPSC_DEMO_DATABASES": str(folder / "trading-databases"),
        "OPSC_DEMO_BACKUPS": str(folder / "backups"),
    }
    definition = load(ROOT / "demo/system.yaml", {"127.0.0.1"}, variables)
    return apply_definition(system_actor("tests"), definition)


def make_person(username: str, role: str | None) -> Any:
    """A person with a role, or with none."""
    from django.contrib.auth.models import Group

    from accounts.models import User

    first, last = username.capitalize(), role or "Nobody"
    user = User.objects.create_user(username, first_name=first, last_name=last)
    if role:
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


def make_release(system: Any, folder: Path, version: str, *, reported: bool = True, **fields: Any) -> Any:
    """A release of a service with a real archive, and with all that the deployment gate asks for."""
    from deployments.models import Release

    source = folder / "release.json"
    source.write_text(f'{{"version": "{version}"}}')
    archive = folder / f"paper-trader-{version}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "release.json")
    digest = "sha256:" + hashlib.sha256(archive.read_bytes()).hexdigest()
    if reported:
        fields = {"rollback_plan": "Roll back: the earlier version stays warm.", **fields}
        report_all(system, digest)
    return Release.objects.create(service=system, version=version, artifact=str(archive), digest=digest, **fields)


def report_all(system: Any, digest: str) -> None:
    """What a build system reports about a good build: tests, review and benchmarks."""
    from deployments import models

    kinds = models.TestReport.Kind.values
    made = [models.TestReport(service=system, digest=digest, kind=kind, passed=True, summary="Good.") for kind in kinds]
    models.TestReport.objects.bulk_create(made)
