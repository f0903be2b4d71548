"""What makes a release acceptable: a semantic version, and an archive that matches its digest."""

from __future__ import annotations

from pathlib import Path

import semver
from django.db import IntegrityError, transaction

from accounts.domain import InvalidRequest
from audit.actions import record
from audit.actors import Actor
from deployments.errors import ReleaseExists
from deployments.models import Release
from deployments.preflight import artifact_spec
from environments.drivers.artifacts import verify_artifact
from environments.drivers.base import DriverError

VERSION_LIMIT = 40


def clean_version(version: str) -> str:
    """The version as it is kept: ``v`` and a semantic version (semver.org 2.0.0).

    Raises:
        InvalidRequest: it is none.
    """
    text = (version or "").strip()
    try:
        clean = f"v{semver.Version.parse(text.removeprefix('v'))}"
    except (ValueError, TypeError):
        raise InvalidRequest("version", f"{text!r} is no semantic version; write for example v1.2.5.") from None
    if len(clean) > VERSION_LIMIT:
        raise InvalidRequest("version", f"The version has {len(clean)} characters; at most {VERSION_LIMIT} are kept.")
    return clean


def verified_size(release: Release) -> int:
    """Bytes of the archive, after it was compared with its digest.

    Raises:
        InvalidRequest: the archive is missing, or its digest does not match.
    """
    try:
        verify_artifact(artifact_spec(release))
    except DriverError as error:
        raise InvalidRequest("artifact", f"{error}.") from error
    return Path(release.artifact).stat().st_size


def kept(actor: Actor, release: Release) -> Release:
    """A new release, compared with its archive, saved, and kept in the audit trail.

    Raises:
        InvalidRequest: the archive is missing, or its digest does not match.
        ReleaseExists: the version is registered already.
    """
    release.size = verified_size(release)
    save_new(release)
    record(actor, "release.registered", release, after={"version": release.version, "digest": release.digest})
    return release


def save_new(release: Release) -> None:
    """Save a release that must be new.

    Raises:
        ReleaseExists: the version is registered already.
    """
    try:
        with transaction.atomic():
            release.save()
    except IntegrityError as error:
        raise ReleaseExists(
            f"{release.version} of {release.service} is registered already; releases never change."
        ) from error
