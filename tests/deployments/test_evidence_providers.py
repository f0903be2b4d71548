"""What deployments tell a checklist or a runbook: why a start failed, the way back, a release's papers, remedies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.errors import Forbidden
from deployments import models
from deployments.errors import WrongState
from deployments.models import Deployment, RollbackReport
from deployments.start_failures import recognise
from environments import adapters, evidence, remedies
from environments.drivers.base import ArtifactSpec
from environments.evidence import Subject, Verdict
from environments.models import SampleRow, Slot
from tests.deployments.toys import set_state
from tests.deployments.world import until


@pytest.fixture
def read(production):
    """One reading about production, as it is now."""

    def now(name: str, release: str = ""):
        production.refresh_from_db()
        found = evidence.read(f"deployments.{name}", Subject(production, release)).reading
        assert not found.value.startswith("Could not be read"), found.value
        return found

    return now


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("trading system cannot start: /strategies/kinematics/order_usd: must be a number", "Configuration error"),
        ("config/production.yaml is not YAML: mapping values are not allowed here", "Configuration error"),
        ("OPSC_TOKEN_FILE is not set; the trading system cannot start without it", "Missing environment variable"),
        ("KeyError: 'HYPERLIQUID_API_KEY'", "Missing environment variable"),
        ("trading system cannot start: port 8080: Address already in use", "Port already in use"),
        ("OSError: [Errno 98] error while attempting to bind on address", "Port already in use"),
        ('django.db.utils.ProgrammingError: relation "trades" does not exist', "Database migration failed"),
        ("applying migration 0007_fees failed: column fee already exists", "Database migration failed"),
        ("connection to server at 127.0.0.1, port 5432 failed: Connection refused", "Database not reachable"),
        ("python: No module named trading_system", "A module is missing"),
        ("MemoryError", "Killed for lack of memory"),
    ],
)
def test_the_common_causes_are_recognised(line, title):
    cause = recognise(["2026-11-23 INFO starting", line, "exit status 2"])
    assert cause is not None and (cause.title, cause.line) == (title, line) and cause.todo


def test_what_is_not_common_is_not_called_so():
    assert recognise(["INFO role ACTIVE epoch=1", "INFO v1.2.4 on port 8080", "reads config.yaml"]) is None
    assert recognise([]) is None
    two = ["KeyError: 'API_KEY'", "Address already in use"]
    assert recognise(two).title == "Port already in use", "the last line counts"


def test_a_start_that_failed_with_the_log_of_the_real_process(production, serve, release, begin, read):
    assert read("start_failure").value == "No start has failed here"
    deployment = begin()
    spec = adapters.instance_spec(deployment.to_slot.instances.get())
    new, driver = deployment.to_release, adapters.driver(production)
    driver.install(spec, ArtifactSpec(new.version, new.digest, Path(new.artifact), "paper-trader"))
    driver.start(spec)
    until(lambda: any("No module named" in line for line in driver.tail(spec, 20)), "it ends")
    driver.stop(spec, force=True)
    Slot.objects.filter(pk=deployment.to_slot_id).update(version="v1.2.5")
    step = deployment.steps.filter(name="wait_healthy").first()
    deployment.steps.filter(pk=step.pk).update(status="failed", detail="production-green-1 ended right after its start")
    set_state(deployment, status="failed", failure_reason="production-green-1 ended", finished_at=timezone.now())
    found = read("start_failure")
    assert found.verdict == Verdict.FAIL and f"failed at “{step.title}”. A module is missing" in found.value
    assert "No module named" in found.value and "== log of production-green-1 ==" in found.detail
    assert "What to do: The artifact is not complete" in found.detail and found.link == f"/deployments/{deployment.pk}/"
    assert "No module named" in found.detail.splitlines()[-1]
    Slot.objects.filter(pk=deployment.to_slot_id).update(version="v1.2.6")
    assert "green holds v1.2.6 by now" in read("start_failure").detail
    made = Deployment.objects.create(
        environment=production,
        to_release=new,
        to_slot=deployment.to_slot,
        strategy="blue_green",
        reason="Fix",
        status="succeeded",
        promoted_at=timezone.now(),
    )
    found = read("start_failure")
    assert found.verdict == Verdict.PASS and f"went live (deployment {made.pk})" in found.value


def test_before_and_during_and_after(production, begin, read):
    assert read("running").value == "None is under way" and read("recent").value == "None in the last 7 days"
    assert read("rollback_ready").verdict == Verdict.NO_DATA
    deployment = begin()
    found = read("running")
    assert found.verdict == Verdict.WARN and f"Deployment {deployment.pk} (v1.2.4 to v1.2.5) is " in found.value
    set_state(deployment, status="aborted", started_at=timezone.now(), failure_reason="Smoke tests: 1 of 6 failed")
    found = read("recent")
    assert found.verdict == Verdict.WARN and found.value == "1 deployment, 0 succeeded, 1 failed or rolled back"
    assert "1 of 6 failed" in found.detail
    Deployment.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert "None in the last 7 days; the last was v1.2.4 to v1.2.5" in read("recent").value


def test_the_way_back_and_its_remedy(production, watched, read, ada, operator, actor_of, tmp_path):
    found = read("rollback_ready")
    assert found.verdict == Verdict.PASS and "Back to v1.2.4 on blue: artifact verified" in found.value
    assert "never measured here" in found.value
    remedy, subject = remedies.remedy("deployments.roll_back"), Subject(production)
    assert "back to blue (v1.2.4)" in remedy.effect(subject) and "unknown number of open positions" in remedy.effect(
        subject
    )
    assert "The hand-over has begun" in remedies.remedy("deployments.abort").effect(subject)
    with pytest.raises(Forbidden):
        remedy.run(actor_of(operator), subject, "Too slow")
    archive = tmp_path / "paper-trader-v1.2.4.tar.gz"
    whole = archive.read_bytes()
    archive.write_bytes(b"else")
    assert read("rollback_ready").verdict == Verdict.FAIL
    archive.write_bytes(whole)
    said = remedy.run(ada, subject, "Too slow")
    rollback = Deployment.objects.get(reverts=watched)
    assert f"deployment {rollback.pk} takes v1.2.5 back to v1.2.4" in said
    assert remedy.effect(subject).startswith(f"Deployment {watched.pk} cannot be rolled back")
    with pytest.raises(WrongState):
        remedy.run(ada, subject, "Again")


def test_aborting_as_a_remedy(production, begin, ada):
    remedy, subject = remedies.remedy("deployments.abort"), Subject(production)
    assert remedy.effect(subject) == "No deployment is under way."
    deployment = begin()
    assert "green (v1.2.5) is stopped. It never got traffic." in remedy.effect(subject)
    assert remedy.run(ada, subject, "Wrong version").startswith(f"Deployment {deployment.pk} is aborting: v1.2.4 keeps")


def sample(production, age, ok, errors, wins, losses):
    instance = production.live_slot.instances.get()
    data = {"requests_ok": ok, "requests_error": errors, "trades_win": wins, "trades_loss": losses, "mismatches": 0}
    data |= {"latency_buckets": [[0.01, ok], ["+Inf", ok]], "components": []}
    SampleRow.objects.create(instance=instance, at=timezone.now() - timedelta(seconds=age), ok=True, data=data)


def test_the_key_metrics_against_the_last_baseline(production, watched, read):
    watched.baseline = {"error_rate": 0.001, "latency_p99_ms": 9.0, "win_rate": 0.5}
    watched.save()
    production.refresh_from_db()
    sample(production, 10, 0, 0, 0, 0)
    sample(production, 0, 1000, 1, 6, 4)
    found = read("baseline")
    assert found.verdict == Verdict.PASS and "error rate 0.10 % (was 0.10 %)" in found.value
    assert "latency p99 9.9 ms (was 9.0 ms)" in found.value and "win rate 60.0 % (was 50.0 %)" in found.value
    assert f"Baseline of deployment {watched.pk}" in found.detail
    SampleRow.objects.all().delete()
    sample(production, 10, 0, 0, 0, 0)
    sample(production, 0, 950, 50, 1, 9)
    found = read("baseline")
    assert found.verdict == Verdict.FAIL and "Error rate: 5.0 %, baseline 0.10 %, limit 1 %: beyond" in found.detail
    subject = Subject(production)
    assert evidence.read("environments.error_rate", subject).reading.verdict == Verdict.FAIL
    assert f"(deployment {watched.pk}," in evidence.read("environments.latency", subject).reading.value


def test_the_papers_of_a_release(production, staging, release, system, read):
    made = release("v1.2.5")
    for name in ("tests", "review", "benchmarks"):
        assert read(name).verdict == Verdict.NO_DATA, "no release is named"
        assert read(name, "v9.9.9").verdict == Verdict.NO_DATA, "no such release"
        models.TestReport.objects.filter(kind=name).delete()
        assert read(name, "v1.2.5").verdict == Verdict.NO_DATA, "nobody reported"
        given = {"service": system, "digest": made.digest, "kind": name, "reported_by_name": "CI"}
        models.TestReport.objects.create(**given, passed=True, summary="412 passed", data={"passed": 412})
        found = read(name, "v1.2.5")
        assert found.verdict == Verdict.PASS and "412 passed" in found.value and found.link == "/releases/v1.2.5/"
        models.TestReport.objects.create(**given, passed=False, summary="1 failed")
        assert read(name, "v1.2.5").verdict == Verdict.FAIL, "a newer one revokes"
    found = read("staging", "v1.2.5")
    assert found.verdict in (Verdict.FAIL, Verdict.WARN) and "was never live in staging" in found.value
    type(made).objects.filter(pk=made.pk).update(rollback_plan="", migrations=[])
    assert read("rollback_plan", "v1.2.5").verdict == Verdict.FAIL
    type(made).objects.filter(pk=made.pk).update(rollback_plan="Roll back\nand verify.", migrations=["0007"])
    found = read("rollback_plan", "v1.2.5")
    assert found.verdict == Verdict.FAIL and "nobody said whether" in found.value
    type(made).objects.filter(pk=made.pk).update(reversible=True)
    assert read("rollback_plan", "v1.2.5").verdict == Verdict.PASS


def test_a_report_that_is_owed(production, watched, read, ada):
    assert read("reports_owed").value == "None is owed"
    remedies.remedy("deployments.roll_back").run(ada, Subject(production), "Too slow")
    rollback = Deployment.objects.get(reverts=watched)
    RollbackReport.objects.get_or_create(rollback=rollback)
    found = read("reports_owed")
    assert found.verdict == Verdict.WARN and found.value.startswith("1 report owed") and "v1.2.5" in found.detail
    RollbackReport.objects.update(completed_at=timezone.now())
    assert read("reports_owed").verdict == Verdict.PASS
