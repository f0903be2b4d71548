"""Asking, approving, rejecting, withdrawing; keys; the export of the trail."""

from __future__ import annotations

import csv
import json
import stat

import pytest

from accounts.models import APIKey
from audit.models import Record
from deployments.models import Approval, Deployment

pytestmark = pytest.mark.django_db(transaction=True)
ASK = ("deploy", "production", "v1.2.5", "--reason", "Fix of the slippage", "--yes")


@pytest.fixture
def asked(ready, release, shell_of, developer):
    """Dora has asked for v1.2.5 on production."""
    release("v1.2.5")
    shell = shell_of(developer)
    done = shell.run(*ASK)
    assert done.returncode == 0, done.stderr
    return shell, done


def test_asking_says_how_it_goes_on(asked):
    shell, done = asked
    approval = Approval.objects.get()
    assert "waits for another person's approval; nothing was started" in done.stdout
    assert f"opsctl approve {approval.pk}" in done.stdout and f"opsctl withdraw {approval.pk}" in done.stdout
    waits = shell.run(*ASK, "--watch")
    assert waits.returncode == 7, waits.stderr
    assert shell.run("watch", str(approval.deployment_id)).returncode == 7
    assert f"Waiting for approval {approval.pk}: v1.2.5 to production, asked by Dora" in shell.run("status").stdout


def test_approve_shows_what_will_happen_and_starts_it(asked, shell_of, admin):
    approval = Approval.objects.get()
    shell = shell_of(admin)
    assert "v1.2.5" in shell.run("approvals").stdout
    unasked = shell.run("approve", str(approval.pk))
    assert unasked.returncode == 2 and approval.state == "waiting"
    for words in ("Asked by     Dora", "New          v1.2.5 on", "sha256:", "Pre-checks", approval.subject_hash[:12]):
        assert words in unasked.stderr
    done = shell.run("approve", str(approval.pk), "--reason", "Reviewed", "--yes")
    assert done.returncode == 0, done.stderr
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by, approval.decision_reason) == ("approved", admin, "Reviewed")
    assert Deployment.objects.get().status == "pending"
    again = shell.run("approve", str(approval.pk), "--yes")
    assert again.returncode == 5 and "is approved: nothing was done" in again.stderr
    assert shell.json("approvals")["approvals"] == []
    assert len(shell.json("approvals", "--all")["approvals"]) == 1


def test_nobody_approves_an_own_request(asked, shell_of, admin):
    approval = Approval.objects.get()
    Approval.objects.update(requested_by=admin)
    Deployment.objects.update(requested_by=admin)
    done = shell_of(admin).run("approve", str(approval.pk))
    assert done.returncode == 4 and "another person must approve" in done.stderr


def test_a_changed_subject_is_not_approved(asked, shell_of, admin, production):
    approval = Approval.objects.get()
    production.policy_data = production.policy_data | {"watch_seconds": 77}
    production.save()
    done = shell_of(admin).run("approve", str(approval.pk), "--yes")
    assert done.returncode == 5 and "is fallen: nothing was done" in done.stderr and "77" in done.stderr
    assert Deployment.objects.get().status == "aborted"


def test_reject_and_withdraw(asked, shell_of, admin):
    shell, _ = asked
    approval = Approval.objects.get()
    assert shell.run("reject", str(approval.pk), "--reason", "No").returncode == 4
    assert shell_of(admin).run("reject", str(approval.pk)).returncode == 2, "a reason is needed"
    assert "Rejected" in shell_of(admin).run("reject", str(approval.pk), "--reason", "Too big").stdout
    approval.refresh_from_db()
    assert (approval.state, approval.decision_reason) == ("rejected", "Too big")
    shell.run(*ASK)
    newest = Approval.objects.latest("pk")
    assert shell.run("withdraw", str(newest.pk)).returncode == 0
    newest.refresh_from_db()
    assert newest.state == "withdrawn"


def test_keys_are_made_rotated_and_revoked(shell_of, developer, system):
    shell = shell_of(developer)
    made = shell.run("keys", "create", "CI", "--scope", "deploy_environment", "--env", "staging", "--days", "2")
    assert made.returncode == 0, made.stderr
    key = APIKey.objects.get(name="CI")
    assert made.stdout.strip().startswith(f"opsc_{key.prefix}_") and "shown this once" in made.stderr
    assert shell.json("status", "--token-file", _file(shell, made.stdout))["environments"][0]["name"] == "staging"
    assert "CI" in shell.run("keys").stdout and "CI" in shell.run("keys", "list", "--due").stdout
    out = shell.home / "new.key"
    rotated = shell.run("keys", "rotate", key.prefix, "--overlap", "1", "--out", str(out))
    assert rotated.returncode == 0 and "opsc_" not in rotated.stdout, rotated.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600 and out.read_text().startswith("opsc_")
    assert shell.run("keys", "rotate", key.prefix, "--out", str(out)).returncode == 2, "no key is lost to an old file"
    assert shell.run("keys", "revoke", key.prefix).returncode == 0
    key.refresh_from_db()
    assert key.revoked_at is not None and shell.run("keys", "revoke", "nosuchkey").returncode == 2


def _file(shell, text: str) -> str:
    path = shell.home / "token"
    path.write_text(text)
    return str(path)


def test_export_of_the_trail(asked, shell_of, admin):
    shell = shell_of(admin)
    done = shell.run("audit", "--env", "production", "--export", "trail.csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((shell.home / "trail.csv").open()))
    assert "deployment.requested" in {row["action"] for row in rows}
    assert shell.run("audit", "--export", "trail.csv").returncode == 2, "nothing is overwritten"
    assert shell.json("audit", "--since", "1h", "--export", "trail.jsonl")["format"] == "jsonl"
    lines = [json.loads(line) for line in (shell.home / "trail.jsonl").read_text().splitlines()]
    assert {line["type"] for line in lines} & {"record", "pending"}
    assert Record.objects.filter(action="audit.exported").count() >= 2
    assert [path.name for path in shell.home.glob(".trail*")] == []


def test_searching_the_trail(asked, shell_of, admin):
    shell = shell_of(admin)
    assert len(shell.json("audit", "--search", "slippage", "--since", "10m")["records"]) == 1
    assert shell.json("audit", "--until", "2020-01-01")["records"] == []
    chain = shell.run("audit", "--chain")
    assert chain.returncode == 0 and "Chain not checked yet" in chain.stdout
