"""Each command against a console that really listens: what is printed, what is done, and the exit code."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from audit.models import Record
from deployments.models import Deployment
from tests.opsctl.conftest import Shell

pytestmark = pytest.mark.django_db(transaction=True)
DEPLOY = ("deploy", "production", "v1.2.5", "--reason", "Fix of the slippage")


@pytest.fixture
def free_to_deploy(ready, release):
    """A release, and an outside to bring it to."""
    return release("v1.2.5")


def test_status_tells_what_is_live_and_that_nothing_is_known(shell_of, operator, deployment):
    deployment("watching")
    shell = shell_of(operator)
    done = shell.run("status")
    assert done.returncode == 0, done.stderr
    assert "production (production, paper-trader): v1.2.5 on green" in done.stdout
    assert "? No data" in done.stdout and "v1.2.4 to v1.2.5, ● Watching" in done.stdout
    assert "\x1b" not in done.stdout, "no colour without a terminal"
    assert "staging" not in shell.run("status", "production").stdout
    found = shell.json("status", "production")["environments"][0]
    assert (found["name"], found["health"], found["live_slot"]) == ("production", "no_data", "green")


def test_deploy_starts_one_deployment(shell_of, admin, free_to_deploy):
    shell = shell_of(admin)
    done = shell.run(*DEPLOY, "--yes")
    assert done.returncode == 0, done.stderr
    started = Deployment.objects.get()
    assert (started.to_release.version, started.reason) == ("v1.2.5", "Fix of the slippage")
    assert f"Deployment {started.pk} of v1.2.5 to production has begun." in done.stdout
    assert f"opsctl watch {started.pk}" in done.stdout
    assert "Live now     nothing" in done.stderr, "what will happen is told first, beside the answer"
    again = shell.run(*DEPLOY, "--yes")
    assert again.returncode == 5 and f"opsctl watch {started.pk}" in again.stderr


def test_deploy_prints_one_document(shell_of, admin, free_to_deploy):
    started = shell_of(admin).json(*DEPLOY, "--yes")
    assert (started["environment"], started["status"]) == ("production", "pending")


@pytest.mark.parametrize("missing", [("--yes",), ("--reason", "Fix of the slippage")])
def test_nothing_is_started_when_nobody_can_be_asked(shell_of, admin, free_to_deploy, missing):
    given = [part for part in (*DEPLOY, "--yes") if part not in missing]
    done = shell_of(admin).run(*given)
    assert done.returncode == 2 and missing[0] in done.stderr
    assert not Deployment.objects.exists()


def test_blocking_checks_are_listed(shell_of, admin, production, release):
    release("v1.2.5")
    shell = shell_of(admin)
    done = shell.run(*DEPLOY, "--yes")  # neither load balancer nor supervisor runs
    assert done.returncode == 5
    for words in ("opsctl: Checks block the deployment.", "- router: ", "- driver: ", "Request ", "POST http://"):
        assert words in done.stderr
    error = shell.json(*DEPLOY, "--yes", code=5)["error"]
    assert error["code"] == "preflight_failed" and error["exit_code"] == 5 and len(error["reasons"]) == 2


@pytest.mark.parametrize("act", ["hold", "resume", "abort", "promote"])
def test_acts_reach_the_deployment_under_way(shell_of, admin, deployment, act):
    made = deployment("held" if act == "resume" else "running")
    more = ("--reason", "Because", "--yes") if act == "promote" else ("--reason", "Because")
    done = shell_of(admin).run(act, *more, *(("--no-wait",) if act == "abort" else ()))
    assert done.returncode == 0, done.stderr
    record = Record.objects.exclude(action="access.denied").order_by("-id").first()
    verb = {"hold": "held", "resume": "resumed", "abort": "aborted", "promote": "promoted"}[act]
    assert (record.action, record.object_id, record.reason) == (f"deployment.{verb}", str(made.pk), "Because")


def test_safety_acts_need_no_reason_and_no_confirmation(shell_of, admin, deployment):
    deployment("running")
    assert shell_of(admin).run("hold").returncode == 0
    assert Record.objects.get(action="deployment.held").reason == "Not stated"


def test_promote_shows_the_recommendation_and_wants_a_yes(shell_of, admin, deployment):
    made = deployment("running")
    done = shell_of(admin).run("promote", "--reason", "Because")
    assert done.returncode == 2 and "Recommendation: " in done.stderr and "--yes" in done.stderr
    made.refresh_from_db()
    assert made.promote_requested_at is None


def test_an_act_that_does_not_fit_is_refused(shell_of, admin, deployment):
    made = deployment("succeeded", finished_at=timezone.now())
    shell = shell_of(admin)
    done = shell.run("hold", str(made.pk))
    assert done.returncode == 5 and "cannot be held" in done.stderr
    assert shell.run("hold").returncode == 5, "no deployment is under way"
    assert shell.run("hold", "999").returncode == 2


def test_who_may_not_is_told_who_may(shell_of, operator, deployment):
    deployment("running")
    done = shell_of(operator).run("hold")
    assert done.returncode == 4 and "Admin" in done.stderr


def test_two_under_way_must_be_named(shell_of, admin, deployment, staging):
    first, second = deployment("running"), deployment("running", staging)
    shell = shell_of(admin)
    done = shell.run("hold")
    assert done.returncode == 2 and f"{first.pk} (production" in done.stderr and f"{second.pk} (staging" in done.stderr
    assert shell.json("hold", "--env", "staging")["id"] == second.pk


def test_releases(shell_of, operator, release):
    release("v1.2.5", notes="## v1.2.5\n\n- One fix.")
    shell = shell_of(operator)
    assert "v1.2.5" in shell.run("releases").stdout
    assert "- One fix." in shell.run("releases", "v1.2.5").stdout
    missing = shell.run("releases", "v9.9.9")
    assert missing.returncode == 2 and missing.stdout == ""


def test_audit_of_an_object(shell_of, admin, deployment):
    made = deployment("running")
    shell = shell_of(admin)
    shell.run("hold", "--reason", "Odd\x1b[31m fills")
    done = shell.run("audit", "--object", f"deployment:{made.pk}", "--action", "deployment.held")
    assert done.returncode == 0 and "Odd[31m fills" in done.stdout and "Ada Admin (key)" in done.stdout
    records = shell.json("audit", "--limit", "1")["records"]
    assert len(records) == 1 and records[0]["action"] == "deployment.held"
    assert shell.run("audit", "--action", "no.such").returncode == 2


def test_without_a_sign_in(live_server, shell):
    done = shell.run("status", "--url", live_server.url)
    assert done.returncode == 3 and "opsctl login" in done.stderr and done.stdout == ""


def test_an_unknown_key_is_named_by_its_origin(shell_of, admin):
    done = shell_of(admin).run("status", OPSCTL_TOKEN="opsc_abcdefghij_" + "x" * 43)
    assert done.returncode == 3 and "OPSCTL_TOKEN" in done.stderr and "Request " in done.stderr


def test_a_console_that_is_not_there(shell: Shell):
    done = shell.run("status", "--url", "http://127.0.0.1:9", "--json", OPSCTL_TOKEN="opsc_x")
    assert done.returncode == 6 and "http://127.0.0.1:9 does not answer" in done.stderr
    assert json.loads(done.stdout)["error"]["exit_code"] == 6


def test_something_else_at_the_address(shell_of, admin, live_server):
    """A page that is no answer of the API: said so, not shown."""
    done = shell_of(admin).run("status", "../../livez")
    assert done.returncode == 2, done.stderr


def test_a_report_lets_a_blocked_release_go(shell_of, admin, ready, release):
    release("v1.2.5", reported=False, rollback_plan="Roll back")
    shell = shell_of(admin)
    blocked = shell.run(*DEPLOY, "--yes")
    assert blocked.returncode == 5 and "- review: " in blocked.stderr and "--override" in blocked.stderr
    assert shell.run("report", "tests", "v1.2.5", "--passed", "412", "--failed", "1").returncode == 0
    told = shell.json("report", "tests", "v1.2.5", "--passed", "412")
    assert (told["passed"], told["summary"]) == (True, "412 passed, 0 failed")
    shell.run("report", "review", "v1.2.5", "--author", "Ann", "--reviewer", "Bob")
    assert shell.run("report", "benchmarks", "v1.2.5", "--figure", "p99_ms=3.1").returncode == 2, "not said whether ok"
    shell.run("report", "benchmarks", "v1.2.5", "--ok", "--figure", "p99_ms=3.1")
    assert shell.run("report", "review", "--author", "Ann", "--reviewer", "Bob").returncode == 2, "of which build?"
    assert shell.run("report", "list", "v1.2.5").stdout.count("passed") >= 4
    assert shell.run(*DEPLOY, "--yes").returncode == 0


def test_an_override_is_told(shell_of, admin, ready, release):
    release("v1.2.5", reported=False)
    done = shell_of(admin).run(*DEPLOY, "--yes", "--override", "Ann read it by phone")
    assert done.returncode == 0, done.stderr
    assert "Overridden, and kept in the audit trail: all tests pass" in done.stdout
    assert Deployment.objects.get().override_reason == "Ann read it by phone"
