"""The check of the gate that asks for the report after a rollback before the next deployment goes there."""

from __future__ import annotations

from deployments.checks import CheckResult
from deployments.models import RollbackReport
from environments.models import Environment

NAME, TITLE = "rollback_report", "Rollback report written"


def owed(environment: Environment) -> CheckResult:
    """Blocks while a report of the environment is owed; an Admin may override it. One query."""
    reports = RollbackReport.objects.owed().filter(rollback__environment=environment).order_by("pk")
    found = list(reports.select_related("rollback__reverts__to_release"))
    if not found:
        return CheckResult(NAME, TITLE, True, f"No rollback of {environment} waits for its report.", overridable=True)
    named = ", ".join(
        f"deployment {one.rollback.reverts_id} ({one.rollback.reverts.to_release.version})"
        for one in found
        if one.rollback.reverts is not None
    )
    link = f"/rollback-reports/{found[0].pk}/"
    return CheckResult(
        NAME,
        TITLE,
        False,
        f"Taken back, and nobody has written why: {named}.",
        f"Write what failed, why it was rolled back, and how to prevent it: {link}",
        overridable=True,
        link=link,
    )
