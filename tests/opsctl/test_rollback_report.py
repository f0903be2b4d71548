"""``opsctl rollback-report``: what is owed, one report, a draft, completing, and what is refused."""

from __future__ import annotations

import pytest

from deployments.models import RollbackReport
from tests.pages import stories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def report(production, release) -> RollbackReport:
    _, back = stories.rolled_back(production, release("v1.2.4"), release("v1.2.5"))
    return RollbackReport.objects.create(rollback=back)


def test_a_report_is_shown_drafted_and_completed(shell_of, operator, report):
    shell, number = shell_of(operator), str(report.rollback.reverts_id)
    owed = shell.run("rollback-report", "show")
    assert owed.returncode == 0, owed.stderr
    assert "v1.2.5 back to v1.2.4" in owed.stdout and number in owed.stdout
    one = shell.run("rollback-report", "show", str(report.rollback_id)).stdout
    assert "Rule         Error rate: 5.1 % of 412 requests failed" in one and "not written yet" in one
    missing = shell.run("rollback-report", "write", number, "--what", "Errors")
    assert missing.returncode == 2 and "--why is missing" in missing.stderr and "Measured: " in missing.stderr
    draft = shell.run("rollback-report", "write", number, "--what", "Errors", "--draft")
    assert draft.returncode == 0 and RollbackReport.objects.get().what_failed == "Errors"
    rest = ("--why", "Orders failed", "--prevention", "A test for it")
    done = shell.json("rollback-report", "write", number, *rest)
    assert (done["state"], done["what_failed"], done["completed_by"]) == ("complete", "Errors", "Otto Operator")
    again = shell.run("rollback-report", "write", number, *rest)
    assert again.returncode == 5 and "Otto Operator completed it" in again.stderr
    assert "No rollback report is owed." in shell.run("rollback-report", "show").stdout
    unknown = shell.run("rollback-report", "show", "999999")
    assert unknown.returncode == 5 and "has no rollback report" in unknown.stderr
