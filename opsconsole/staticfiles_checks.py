"""System check: the third-party files served to browsers are exactly the ones that were reviewed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register

from opsconsole.staticfiles import CARRIED, digest, locate


@register(Tags.staticfiles)
def carried_files(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each carried file is installed and has the expected SHA-256."""
    problems: list[CheckMessage] = []
    for name, carried in CARRIED.items():
        path = locate(name)
        if path is None:
            text = f"{name} is missing: {carried.path} of the package {carried.package} is not installed."
            problems.append(Error(text, hint="Install requirements.txt.", id="opsconsole.E101"))
        elif digest(path) != carried.sha256:
            text = f"{name} ({path}) does not have the reviewed SHA-256 {carried.sha256}."
            hint = f"Reinstall {carried.package} from requirements.txt, or review the update and change CARRIED."
            problems.append(Error(text, hint=hint, id="opsconsole.E102"))
    return problems
