"""A system check: ``manage.py check`` names what is wrong in the files of runbooks."""

from __future__ import annotations

from django.core.checks import CheckMessage, Warning, register

from runbooks import library

HINT = "The form of a runbook: runbooks/library/README.md. The console works without this file."


@register("runbooks")
def runbooks_can_be_used(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """W001: a file that cannot be used, or that names what this console does not have."""
    problems = [problem for one in library.broken() for problem in one.problems]
    return [Warning(problem, hint=HINT, id="runbooks.W001") for problem in problems]
