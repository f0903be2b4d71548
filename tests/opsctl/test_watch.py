"""``watch`` and ``rollback``: each change is told when the console says so, and the end is the exit code.

The rows of a deployment are moved on as the engine leaves them, each after the line before it was read.
"""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import timedelta

import pytest
from django.utils import timezone

from deployments.models import Deployment, Step, VerdictRow
from tests.opsctl.conftest import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Lines until one has the words; that one."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return line
    raise AssertionError(f"{words!r} never came. Output: {''.join(seen)} {process.stderr and process.stderr.read()}")


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def move(deployment: Deployment, status: str, **fields) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(status=status, **fields)


def finish_step(deployment: Deployment, index: int, status: str = "succeeded", detail: str = "") -> None:
    now = timezone.now()
    began = now - timedelta(seconds=1)
    deployment.steps.filter(index=index).update(status=status, started_at=began, finished_at=now, detail=detail)


def test_watch_tells_each_change_and_ends_with_success(shell_of, operator, deployment):
    made = deployment("running")
    watching = shell_of(operator).start("watch")
    assert "v1.2.4 to v1.2.5" in read_until(watching, f"Deploy {made.pk}")
    finish_step(made, 0, detail="6 checks passed.")
    assert "✓ preflight: done (1.0 s): 6 checks passed." in read_until(watching, "preflight")
    kept = {"kind": "error_rate", "action": "rollback", "since": timezone.now(), "at": timezone.now()}
    VerdictRow.objects.create(deployment=made, rule="Error rate", verdict="warn", reason="Near.", **kept)
    assert "! Error rate: near limit. Near." in read_until(watching, "Error rate")
    move(made, "succeeded", finished_at=timezone.now())
    assert "v1.2.5 is live and marked successful." in read_until(watching, "marked successful")
    assert end(watching)[0] == 0


def test_watch_as_json_lines(shell_of, operator, deployment):
    made = deployment("running")
    watching = shell_of(operator).start("watch", str(made.pk), "--json")
    first = json.loads(read_until(watching, '"deployment"'))
    assert first["kind"] == "deployment" and first["id"] == made.pk
    move(made, "aborted", finished_at=timezone.now(), failure_reason="Wrong version")
    code, out, _ = end(watching)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and lines[-1]["kind"] == "end"
    assert (lines[-1]["status"], lines[-1]["exit_code"]) == ("aborted", 1)


def test_ctrl_c_leaves_the_deployment_alone(shell_of, operator, deployment):
    made = deployment("running")
    watching = shell_of(operator).start("watch")
    read_until(watching, "Running")
    watching.send_signal(signal.SIGINT)
    code, _, err = end(watching)
    assert code == 130 and f"Deployment {made.pk} goes on" in err
    made.refresh_from_db()
    assert made.status == "running"


def test_a_watch_that_takes_too_long(shell_of, operator, deployment):
    made = deployment("running")
    done = shell_of(operator).run("watch", "--timeout", "1")
    assert done.returncode == 8 and f"opsctl watch {made.pk}" in done.stderr


def test_the_last_one_of_an_environment(shell_of, operator, deployment):
    made = deployment("succeeded", finished_at=timezone.now())
    done = shell_of(operator).run("watch", "--env", "production")
    assert done.returncode == 0 and f"Deploy {made.pk}" in done.stdout
    assert shell_of(operator).run("watch", "--env", "staging").returncode == 5


def rollback_of(made: Deployment) -> Deployment:
    return Deployment.objects.get(reverts=made)


def test_rollback_says_done_when_it_was_read_back(shell_of, admin, deployment):
    made = deployment("watching")
    asked = shell_of(admin).start("rollback", "--reason", "Odd fills")
    assert "production from v1.2.5 back to v1.2.4" in read_until(asked, "Requested")
    back = rollback_of(made)
    assert back.reason == "Odd fills"
    move(back, "running", promoted_at=back.created_at + timedelta(seconds=0.4))
    assert "Traffic back after 0.4 s: all new requests go to v1.2.4." in read_until(asked, "Traffic")
    move(back, "succeeded", finished_at=back.created_at + timedelta(seconds=2))
    assert "✓ Rolled back after 2.0 s: v1.2.4 serves" in read_until(asked, "Rolled back")
    assert end(asked)[0] == 0


def test_a_rollback_that_fails_says_so(shell_of, admin, deployment):
    made = deployment("watching")
    asked = shell_of(admin).start("rollback")
    read_until(asked, "Requested")
    back = rollback_of(made)
    assert back.reason == "Not stated"
    Step.objects.filter(deployment=back, name="shift_traffic").update(status="failed", detail="No answer.")
    assert "failed, going on: No answer." in read_until(asked, "Shift")
    move(back, "failed", finished_at=timezone.now(), failure_reason="Blue is not healthy")
    code, out, err = end(asked)
    assert code == 1 and "FAILED" in out and "Blue is not healthy" in out and "opsctl status production" in err


def test_a_rollback_under_way_is_joined(shell_of, admin, deployment):
    made = deployment("watching")
    shell = shell_of(admin)
    first = shell.json("rollback", "--no-wait")
    assert first["reverts"] == made.pk
    joined = shell.start("rollback", "--env", "production")
    read_until(joined, "A rollback is under way already")
    move(rollback_of(made), "succeeded", finished_at=timezone.now())
    assert end(joined)[0] == 0 and Deployment.objects.filter(reverts__isnull=False).count() == 1


def test_rollback_of_the_last_one(shell_of, admin, deployment):
    made = deployment("succeeded", finished_at=timezone.now())
    shell = shell_of(admin)
    unnamed = shell.run("rollback")
    assert unnamed.returncode == 2 and "--env production" in unnamed.stderr
    assert shell.json("rollback", "--env", "production", "--no-wait")["reverts"] == made.pk
    move(rollback_of(made), "succeeded", finished_at=timezone.now())
    move(made, "rolled_back")
    again = shell.run("rollback", "--env", "production")
    assert again.returncode == 5 and "went back to v1.2.4 already" in again.stderr


def test_abort_waits_until_it_is_done(shell_of, admin, deployment):
    made = deployment("running")
    asked = shell_of(admin).start("abort")
    read_until(asked, "Requested: abort")
    made.refresh_from_db()
    assert made.status == "aborting"
    move(made, "aborted", finished_at=timezone.now())
    code, out, _ = end(asked)
    assert code == 0 and "v1.2.4 kept serving" in out
