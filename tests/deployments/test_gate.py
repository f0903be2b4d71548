"""The deployment gate: each check blocks for its reason and says what to do; an override is seen; rollback is free."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.domain import InvalidRequest, SubjectChanged
from accounts.errors import Forbidden
from demo.releases import build_releases
from deployments import actions, approval_actions, approvals, freezes, gate, gate_words, preflight, test_reports
from deployments.checks import CheckResult, Exceptions
from deployments.errors import PreflightFailed, WrongState
from deployments.models import Deployment, Release, RollbackReport
from deployments.steps.base import Done
from environments.models import Environment
from opsconsole.management.commands import prepare_demo
from runbooks.models import Checklist, ChecklistRun, ChecklistVersion
from tests.api.matrix_things import make_deployment
from tests.deployments.toys import carry_on, observe, set_state, trail

REASON = "Because"
NOW = timezone.now


@pytest.fixture
def new(serve, release):
    """v1.2.5 with all that the gate asks for, while v1.2.4 is live."""
    serve()
    return release("v1.2.5")


def found(environment: Environment, release) -> dict[str, CheckResult]:
    """Each check of the gate by name."""
    return {one.name: one for one in gate.results(environment, release)}


def blocked(environment: Environment, release) -> set[str]:
    """Names of the checks that block, each with something to do."""
    results = [one for one in gate.results(environment, release) if one.blocks]
    assert all(one.detail and one.todo for one in results)
    return {one.name for one in results}


def ask(environment: Environment, **members) -> None:
    """Change the gate in the environment's policy."""
    environment.policy_data["gate"] = {**environment.policy_data["gate"], **members}
    environment.save()


def say(release, kind: str, passed: bool, **data) -> None:
    """A report as the database keeps it."""
    kept = {"kind": kind, "passed": passed, "summary": "As told", "data": data, "reported_by_name": "CI"}
    test_reports.TestReport.objects.create(service=release.service, digest=release.digest, **kept)


def frozen(environment: Environment, admin, hours: float = 1, since: float = -1):
    """A freeze from so many hours from now for so many hours."""
    begins = NOW() + timedelta(hours=since)
    return freezes.Freeze.objects.create(
        environment=environment, starts_at=begins, ends_at=NOW() + timedelta(hours=hours), reason="Fair", set_by=admin
    )


def test_all_is_well_in_few_queries_and_nothing_is_asked_of_staging(production, staging, new):
    with CaptureQueriesContext(connection) as asked:
        results = gate.results(production, new)
    assert all(one.ok and one.detail and not one.todo for one in results), [one for one in results if not one.ok]
    assert len(asked) <= 8
    assert [one.name for one in gate.asked(staging, new)] == ["freeze"]
    assert len(gate.asked(production, new)) == len(gate.CHECKS)
    ask(production, enabled=False)
    assert [one.name for one in gate.asked(production, new)] == ["freeze"]


def test_a_bare_release_is_told_all_that_is_missing(production, serve, release):
    serve()
    bare = release("v1.2.5", reported=False, migrations=["0002_fills"])
    assert blocked(production, bare) == {"migrations_reversible", "tests", "review", "benchmarks", "rollback_plan"}
    results = found(production, bare)
    assert "nobody said" in results["migrations_reversible"].detail
    assert "opsctl report review v1.2.5" in results["review"].todo and bare.digest[:19] in results["review"].detail
    ask(production, require=["tests"])
    assert {"review", "benchmarks"}.isdisjoint(blocked(production, bare))
    with pytest.raises(PreflightFailed) as refused:
        actions.start(*_start(production, bare))
    assert {reason["check"] for reason in refused.value.reasons} == {"migrations_reversible", "tests", "rollback_plan"}
    assert all(reason["overridable"] for reason in refused.value.reasons) and not Deployment.objects.exists()


def _start(environment, release):
    from audit.actors import system

    return system("tests"), environment, release, "blue_green", REASON


def test_migrations_that_can_be_taken_back_pass_and_others_do_not(production, release):
    good, bad = (release(f"v1.2.{n}", migrations=["0002"], reversible=n == 5) for n in (5, 6))
    assert blocked(production, good) == set() and blocked(production, bad) == {"migrations_reversible"}


def test_the_newest_report_counts_and_a_failed_one_revokes(production, new):
    say(new, "tests", False)
    assert blocked(production, new) == {"tests"} and "Not passed: As told" in found(production, new)["tests"].detail
    say(new, "tests", True)
    assert blocked(production, new) == set()


@pytest.mark.parametrize(
    ("data", "own"),
    [
        ({"author": "Ann Lee", "reviewers": ["ann lee "]}, True),
        ({"author": "Ann", "reviewer": "Ann"}, True),
        ({"author": "Ann", "reviewers": ["Ann", "Bob"]}, False),
        ({"author": "Ann"}, False),
        ({"reviewers": ["Ann"]}, False),
        ({"author": 7, "reviewers": {"a": 1}}, False),
    ],
)
def test_nobody_reviews_their_own_change(data, own):
    assert bool(gate_words.reviewed_by_author(data)) is own


def test_an_own_review_blocks(production, new):
    say(new, "review", True, author="Ann", reviewers=["Ann"])
    assert (
        blocked(production, new) == {"review"} and "Ann reviewed their own" in found(production, new)["review"].detail
    )


def test_the_way_back_is_measured_by_the_last_rollback(production, new, release, admin):
    assert "measured here yet" in found(production, new)["rollback_time"].detail
    bad = make_deployment("rolled_back", production, release, admin)
    back = make_deployment("succeeded", production, release, admin, reverts=bad)
    Deployment.objects.filter(pk=back.pk).update(traffic_back_at=back.created_at + timedelta(seconds=2))
    assert "after 2.0 s" in found(production, new)["rollback_time"].detail
    Deployment.objects.filter(pk=back.pk).update(traffic_back_at=back.created_at + timedelta(seconds=301))
    assert "rollback_time" in blocked(production, new)
    set_state(back, status="failed", traffic_back_at=None)
    assert "rollback_time" in blocked(production, new)
    ask(production, rollback_seconds=10)
    Deployment.objects.filter(pk=back.pk).delete()
    assert "at most 30 s" in found(production, new)["rollback_time"].detail
    assert "rollback_time" in blocked(production, new), "the plan itself takes longer"


def test_what_serves_must_be_registered(production, new):
    production.live_slot.digest = "sha256:" + "0" * 64
    production.live_slot.save()
    assert blocked(production, new) == {"previous_ready"}


def test_staging_counts_when_the_same_artifact_was_stable_there(production, staging, new, admin, release):
    assert not found(production, new)["staging"].asked
    ask(production, staging=None)
    assert blocked(production, new) == {"staging"} and "never live" in found(production, new)["staging"].detail
    made = make_deployment("watching", staging, release, admin)
    assert "of the 40 s" in found(production, new)["staging"].detail
    Deployment.objects.filter(pk=made.pk).update(promoted_at=NOW() - timedelta(seconds=41))
    assert blocked(production, new) == set()
    set_state(made, status="rolled_back")
    assert blocked(production, new) == {"staging"}
    for name, says in (("moon", "no environment moon"), (None, "no staging environment")):
        ask(production, staging=name)
        Environment.objects.filter(pk=staging.pk).update(kind="development")
        assert says in found(production, new)["staging"].detail and blocked(production, new) == set()


def test_a_large_change_asks_for_a_reason_that_is_kept(production, serve, release, ada):
    serve()
    big = release("v1.2.5", changes={"files": 3, "insertions": 400, "deletions": 101})
    assert blocked(production, big) == {"change_size"}
    with pytest.raises(PreflightFailed) as refused:
        actions.start(ada, production, big, "blue_green", REASON, Exceptions(override_reason="It is fine"))
    assert [(one["check"], one["overridable"]) for one in refused.value.reasons] == [("change_size", False)]
    made = actions.start(ada, production, big, "blue_green", REASON, Exceptions("A renamed package"))
    assert (made.large_change_reason, made.overrides, made.override_reason) == ("A renamed package", [], "")
    assert gate.changed_lines(release("v1.2.6", changes={"insertions": "many"})) is None


def test_a_checklist_that_is_asked_for_must_be_complete(production, new):
    ask(production, checklist="deployment")
    assert "was not begun" in found(production, new)["checklist"].detail
    kept = Checklist.objects.create(service=production.service, slug="deployment")
    version = ChecklistVersion.objects.create(checklist=kept, number=1, digest="0" * 64, text="")
    run = ChecklistRun.objects.create(
        checklist=kept, version=version, environment=production, period="v1.2.5", opens_at=NOW()
    )
    assert "is open" in found(production, new)["checklist"].detail and blocked(production, new) == {"checklist"}
    ChecklistRun.objects.filter(pk=run.pk).update(status="complete")
    assert blocked(production, new) == set()


def test_an_override_takes_an_admin_and_stands_out(production, serve, release, ada, developer, actor_of, admin):
    serve()
    bare = release("v1.2.5", reported=False)
    frozen(production, admin)
    given = Exceptions(override_reason="Ann reviewed it by phone")
    with pytest.raises(Forbidden):
        actions.start(actor_of(developer), production, bare, "blue_green", REASON, given)
    with pytest.raises(InvalidRequest):
        actions.start(ada, production, bare, "blue_green", REASON, Exceptions(override_reason="x" * 2001))
    assert not Deployment.objects.exists()
    made = actions.start(ada, production, bare, "blue_green", REASON, given)
    names = [one["check"] for one in made.overrides]
    assert names == ["freeze", "tests", "review", "benchmarks", "rollback_plan"]
    assert made.override_reason == given.override_reason
    (record,) = trail("deployment.gate_overridden")
    assert (record.reason, record.environment, record.object_id) == (made.override_reason, "production", str(made.pk))
    assert [one["check"] for one in record.after["checks"]] == names
    assert gate.against_promotion(made) == ""
    kept = preflight.check(production, bare, "blue_green", gate.exceptions_of(made))
    assert not any(one.blocks for one in kept) and sum(one.overridden for one in kept) == 5


def test_an_override_without_a_block_is_nothing(production, new, ada):
    made = actions.start(ada, production, new, "blue_green", REASON, Exceptions(override_reason="To be sure"))
    assert (made.overrides, made.override_reason) == ([], "") and not trail("deployment.gate_overridden")


def test_what_nobody_may_override_still_blocks(production, new, ada, tmp_path):
    (tmp_path / "paper-trader-v1.2.5.tar.gz").write_bytes(b"else")
    with pytest.raises(PreflightFailed) as refused:
        actions.start(ada, production, new, "blue_green", REASON, Exceptions(override_reason="Now"))
    assert [one["check"] for one in refused.value.reasons] == ["artifact"]


def test_an_override_is_part_of_what_is_approved_and_the_gate_is_asked_again(
    production, serve, release, ada, person, actor_of
):
    serve()
    production.policy_data["approval"]["second_person"] = True
    production.save()
    bare = release("v1.2.5", reported=False)
    plain = approvals.subject_of(production, bare, "blue_green", production.slots.get(name="green"), None)
    asked = actions.start(ada, production, bare, "blue_green", REASON, Exceptions(override_reason="By phone"))
    assert (asked.status, len(trail("deployment.gate_overridden"))) == ("awaiting_approval", 1)
    subject = asked.approval.subject
    assert "exceptions" not in plain and subject["exceptions"]["override_reason"] == "By phone"
    second = actor_of(person("alan", "Admin"))
    freeze = frozen(production, ada.user)
    with pytest.raises(PreflightFailed) as refused:
        approval_actions.approve(second, asked.approval, asked.approval.subject_hash)
    assert [one["check"] for one in refused.value.reasons] == ["freeze"], "what was overridden is not asked again"
    freezes.lift(ada, freeze, REASON)
    Deployment.objects.filter(pk=asked.pk).update(override_reason="By fax")
    with pytest.raises(SubjectChanged):
        approval_actions.approve(second, approvals.Approval.objects.get(), asked.approval.subject_hash)


def test_a_request_is_approved_with_its_override(production, serve, release, ada, person, actor_of):
    serve()
    production.policy_data["approval"]["second_person"] = True
    production.save()
    bare = release("v1.2.5", reported=False)
    asked = actions.start(ada, production, bare, "blue_green", REASON, Exceptions(override_reason="By phone"))
    done = approval_actions.approve(actor_of(person("alan", "Admin")), asked.approval, asked.approval.subject_hash)
    assert done.deployment.status == "pending"


@pytest.mark.parametrize("trouble", ["freeze", "review"])
def test_the_gate_shuts_again_before_the_promotion(begin, script, serve, production, ada, admin, trouble):
    serve()
    script.real("await_promotion")
    deployment = begin()
    observe(production.live_slot)
    script.play("preflight", Done("ok"))
    hold = frozen(production, admin) if trouble == "freeze" else say(deployment.to_release, "review", False)
    waiting = carry_on(deployment)
    assert (waiting.status, waiting.handover_at) == ("running", None)
    detail = waiting.steps.get(name="await_promotion").detail
    assert detail.startswith("No freeze: Frozen until" if trouble == "freeze" else "Code reviewed: Not passed")
    with pytest.raises(WrongState, match="Frozen until" if trouble == "freeze" else "Not passed"):
        actions.promote(ada, waiting, REASON)
    if trouble == "freeze":
        freezes.lift(ada, hold, REASON)
    else:
        say(deployment.to_release, "review", True)
    observe(production.live_slot)
    assert carry_on(set_state(waiting, due_at=NOW())).promoted_at is not None


def test_a_rollback_is_never_gated(watched, ada, admin):
    """Whatever the gate says of where it leads, and of the environment."""
    frozen(watched.environment, admin)
    release = watched.from_release
    test_reports.TestReport.objects.all().delete()
    type(release).objects.update(rollback_plan="", migrations=["0002"], reversible=False)
    release.refresh_from_db()
    assert len(blocked(watched.environment, release)) >= 5
    back = actions.roll_back(ada, watched, REASON)
    assert back.reverts == watched and not any(one.name == "preflight" for one in back.steps.all())
    assert gate.against_promotion(back) == ""
    assert RollbackReport.objects.filter(rollback=back).exists()


def test_the_demo_brings_what_the_gate_asks_for_but_once(production, serve, tmp_path):
    serve("v1.2.3")
    for built in build_releases(tmp_path / "built"):
        prepare_demo._register(tmp_path / "built", built.as_json())
    releases = {one.version: one for one in Release.objects.exclude(version="v1.2.3")}
    found = {version: blocked(production, release) for version, release in releases.items()}
    assert found.pop("v1.3.0") == {"change_size"} and found.pop("v1.3.2") == {"review"}
    assert len(found) == 7 and not any(found.values()), found
    assert {one.reported_by_name for one in test_reports.of(releases["v1.2.6"])} == {"CI (demo)"}
