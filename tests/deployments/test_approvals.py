"""The review before production: who asks, who decides, what a decision does, and what lets a request fall."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from accounts.domain import InvalidRequest, NotWaiting, RequestExpired, SubjectChanged
from accounts.errors import Forbidden, NotYours, OwnRequest
from accounts.limits import Limits
from audit.models import Record
from deployments import actions, approval_actions, approvals, due, tasks
from deployments.approval_subject import subject_hash
from deployments.clock import db_now
from deployments.errors import Blocked, PreflightFailed, WrongState
from deployments.models import Approval, Deployment
from environments.models import Environment
from tests.deployments.approvals_world import fresh_approval, of
from tests.deployments.toys import carry_on, fresh, statuses, trail

REASON = "Because"
ENDED = ("rejected", "withdrawn", "fallen", "expired", "approved")


@pytest.fixture
def dora(developer, actor_of):
    """Asks."""
    return actor_of(developer)


@pytest.fixture
def ask(serve, release, production, script, dora):
    """Dora asks for v1.2.5 over a live v1.2.4: ``ask()``; the request."""

    def make(version: str = "v1.2.5", actor=dora) -> Approval:
        if Environment.objects.get(pk=production.pk).live_slot_id is None:
            serve()
        place = Environment.objects.get(pk=production.pk)
        return of(actions.start(actor, place, release(version), "blue_green", "Fix of the slippage"))

    return make


@pytest.fixture
def strict(production):
    """Production where also an Admin needs a second person."""
    production.policy_data["approval"]["second_person"] = True
    production.save()
    return production


def test_who_may_only_ask_makes_a_request_that_starts_nothing(ask, developer, dora, production):
    approval = ask()
    deployment = approval.deployment
    assert (deployment.status, deployment.due_at, deployment.started_at) == ("awaiting_approval", None, None)
    assert deployment.steps.count() == 0 and not due.due_deployments()
    assert (approval.state, approval.requested_by, approval.requested_by_name) == ("waiting", developer, dora.name)
    assert approval.reason == deployment.reason == "Fix of the slippage"
    assert approval.expires_at - approval.created_at == timedelta(hours=24)
    assert approval.subject_hash == subject_hash(approval.subject), "also after the way through the database"
    assert approval.subject["live"] == {
        "release": "v1.2.4", "digest": deployment.from_release.digest, "slot": "blue", "deployment": None
    }  # fmt: skip
    assert [step["name"] for step in approval.subject["plan"]][:2] == ["preflight", "start_slot"]
    (record,) = trail("deployment.requested")
    assert (record.actor, record.role, record.environment) == (developer, "Developer", "production")
    assert record.reason == "Fix of the slippage" and record.after["subject_hash"] == approval.subject_hash
    assert not trail("deployment.started")


def test_several_requests_wait_and_block_nobody(ask, ada, production, release, serve):
    ask(), ask("v1.2.6")
    assert Approval.objects.waiting().count() == 2
    assert actions.start(ada, production, release("v1.2.7"), "blue_green", REASON).status == "pending"


def test_a_request_is_refused_as_a_start_is(ask, dora, production, release, begin, tmp_path):
    with pytest.raises(InvalidRequest):
        actions.start(dora, production, release("v1.2.5"), "blue_green", "  ")
    (tmp_path / "paper-trader-v1.2.5.tar.gz").write_bytes(b"something else")
    with pytest.raises(PreflightFailed):
        actions.start(dora, production, production.service.releases.get(version="v1.2.5"), "blue_green", REASON)
    begin("v1.2.6")
    with pytest.raises(Blocked):
        actions.start(dora, production, release("v1.2.7"), "blue_green", REASON)
    assert not Approval.objects.exists() and not trail("deployment.requested")


def test_an_approval_starts_it_at_once(ask, ada, admin, developer, changes):
    approval = ask()
    done = approval_actions.approve(ada, approval, approval.subject_hash, "Looks right")
    deployment = fresh(done.deployment)
    assert (deployment.status, deployment.requested_by) == ("pending", developer) and deployment.due_at is not None
    assert (done.state, done.decided_by, done.decision_reason) == ("approved", admin, "Looks right")
    planned = [(step.name, step.title, step.params) for step in deployment.steps.all()]
    assert planned == [(step["name"], step["title"], step["params"]) for step in approval.subject["plan"]]
    (record,) = trail("deployment.approved")
    assert (record.actor, record.reason, record.environment) == (admin, "Looks right", "production")
    assert record.before == {"status": "awaiting_approval", "state": "waiting"}
    assert (record.after["status"], record.after["subject_hash"]) == ("pending", approval.subject_hash)
    assert trail("deployment.started")[0].after["requested_by"] == "Dora Developer"
    assert carry_on(deployment).status == "succeeded"
    assert ("awaiting_approval", "pending") in changes()


def test_an_admin_deploys_directly_where_no_second_person_is_asked_for(begin):
    assert begin().status == "pending"


def test_an_admin_needs_a_second_person_where_the_policy_says_so(strict, ask, ada, person, actor_of):
    approval = ask(actor=ada)
    assert approval.deployment.status == "awaiting_approval"
    with pytest.raises(OwnRequest, match="^You asked for this; another person must approve.$"):
        approval_actions.approve(ada, approval, approval.subject_hash)
    anna = actor_of(person("anna", "Admin"))
    assert approval_actions.approve(anna, approval, approval.subject_hash).deployment.status == "pending"


def test_production_needs_a_second_person_unless_its_policy_says_no(production, staging):
    for environment, wanted in ((production, True), (staging, False)):
        environment.policy_data.pop("approval", None)
        assert environment.needs_second_person is wanted
        for said in (True, False):
            environment.policy_data["approval"] = {"second_person": said}
            assert environment.needs_second_person is said


def test_rollback_abort_and_hold_are_never_gated(strict, ask, ada, person, actor_of):
    approval = ask(actor=ada)
    anna = actor_of(person("anna", "Admin"))
    deployment = approval_actions.approve(anna, approval, approval.subject_hash).deployment
    assert actions.resume(ada, actions.hold(ada, deployment, REASON), REASON).status == "running"
    carry_on(deployment)
    assert actions.roll_back(ada, fresh(deployment), REASON).status == "pending"


def test_nobody_decides_on_an_own_request_with_whatever_key(strict, ask, ada, admin):
    approval = ask(actor=ada)
    admin.limits = Limits(frozenset({"approve_deployment"}), None)
    key = type(ada)(name="Key of Ada", via="key", user=admin, role="Admin")
    for decide in (
        lambda: approval_actions.approve(key, approval, approval.subject_hash),
        lambda: approval_actions.reject(key, approval, REASON),
    ):
        with pytest.raises(OwnRequest):
            decide()
    assert fresh_approval(approval).is_waiting
    assert [record.outcome for record in trail("access.denied")] == ["denied", "denied"]
    assert trail("access.denied")[0].after["act"] == "deployments.approval_actions.approve"


@pytest.mark.parametrize("who", ["operator", "developer", "nobody"])
def test_who_may_not_approve(who, request, ask, person, actor_of):
    approval = ask(actor=actor_of(person("dan", "Developer")))
    actor = actor_of(person("zed", None) if who == "nobody" else request.getfixturevalue(who))
    with pytest.raises(Forbidden, match="It takes: Admin"):
        approval_actions.approve(actor, approval, approval.subject_hash)
    with pytest.raises(Forbidden):
        approval_actions.reject(actor, approval, REASON)
    assert fresh_approval(approval).is_waiting and fresh(approval.deployment).status == "awaiting_approval"


@pytest.mark.parametrize("scopes", [set(), {"deploy_environment"}])
def test_a_key_without_the_scope_does_not_approve(ask, ada, admin, scopes):
    approval = ask()
    admin.limits = Limits(frozenset(scopes), None)
    with pytest.raises(Forbidden, match="approve_deployment"):
        approval_actions.approve(ada, approval, approval.subject_hash)


def test_a_rejection_needs_a_reason_and_starts_nothing(ask, ada, admin, changes):
    approval = ask()
    with pytest.raises(InvalidRequest, match="Say why"):
        approval_actions.reject(ada, approval, " ")
    assert approval_actions.reject(ada, approval, "Not before the close").state == "rejected"
    deployment = fresh(approval.deployment)
    assert deployment.status == "aborted" and deployment.finished_at and deployment.steps.count() == 0
    assert deployment.failure_reason == "Rejected by Ada Admin: Not before the close"
    (record,) = trail("deployment.rejected")
    assert (record.actor, record.reason) == (admin, "Not before the close")
    assert record.after["subject_hash"] == approval.subject_hash and record.after["status"] == "aborted"
    assert changes() == [("awaiting_approval", "aborted")]


def test_who_asked_withdraws_and_nobody_else(ask, dora, ada, person, actor_of):
    approval = ask()
    for other in (ada, actor_of(person("dan", "Developer"))):
        with pytest.raises(NotYours, match="It takes: Dora Developer"):
            approval_actions.withdraw(other, approval)
    assert approval_actions.withdraw(dora, approval, "Wrong release").state == "withdrawn"
    assert fresh(approval.deployment).failure_reason == "Withdrawn by Dora Developer: Wrong release"
    assert trail("deployment.request_withdrawn")[0].reason == "Wrong release"


@pytest.mark.parametrize("state", ENDED)
def test_what_has_ended_is_not_decided_again(state, ask, ada, dora):
    approval = ask()
    Approval.objects.filter(pk=approval.pk).update(state=state, decided_by_name="Somebody", decision_reason="Why.")
    expected = {"fallen": SubjectChanged, "expired": RequestExpired}.get(state, NotWaiting)
    before = Record.objects.count()
    for decide in (
        lambda: approval_actions.approve(ada, approval, approval.subject_hash),
        lambda: approval_actions.reject(ada, approval, REASON),
        lambda: approval_actions.withdraw(dora, approval),
    ):
        with pytest.raises(expected):
            decide()
    assert fresh_approval(approval).state == state and Record.objects.count() == before


def test_another_hash_than_the_one_seen_does_nothing(ask, ada):
    approval = ask()
    with pytest.raises(SubjectChanged, match="not the request that you saw"):
        approval_actions.approve(ada, approval, "0" * 64)
    assert fresh_approval(approval).is_waiting and not trail("deployment.approval_fell")


def set_policy(production, **fields):
    Environment.objects.filter(pk=production.pk).update(policy_data={**production.policy_data, **fields})


CHANGES = {
    "policy.watch_seconds": lambda production, approval: set_policy(production, watch_seconds=7),
    "plan": lambda production, approval: set_policy(production, stable_seconds=900),
    "live.release": lambda production, approval: production.slots.filter(name="blue").update(version="v1.2.3"),
    "live.digest": lambda production, approval: production.slots.filter(name="blue").update(digest="sha256:0"),
    "slot": lambda production, approval: Environment.objects.filter(pk=production.pk).update(
        live_slot=production.slots.get(name="green")
    ),
    "release.digest": lambda production, approval: production.service.releases.filter(version="v1.2.5").update(
        digest="sha256:" + "0" * 64
    ),
    "release.config_revision": lambda production, approval: production.service.releases.filter(version="v1.2.5").update(
        config_revision="18"
    ),
    "strategy": lambda production, approval: Approval.objects.filter(pk=approval.pk).update(
        subject={**approval.subject, "strategy": "hope"}
    ),
    "subject_hash": lambda production, approval: Approval.objects.filter(pk=approval.pk).update(subject_hash="f" * 64),
}


@pytest.mark.parametrize("member", CHANGES)
def test_a_changed_subject_lets_the_request_fall(member, ask, ada, production):
    approval = ask()
    CHANGES[member](production, approval)
    seen = fresh_approval(approval).subject_hash
    with pytest.raises(SubjectChanged) as caught:
        approval_actions.approve(ada, fresh_approval(approval), seen)
    assert member in [change["member"] for change in caught.value.changes], caught.value.changes
    fallen = fresh_approval(approval)
    assert fallen.state == "fallen" and fallen.changes == caught.value.changes
    deployment = fresh(approval.deployment)
    assert deployment.status == "aborted" and deployment.failure_reason.startswith("What was asked for has changed: ")
    assert deployment.steps.count() == 0 and not trail("deployment.started")
    (record,) = trail("deployment.approval_fell")
    assert (record.role, record.after["changes"], record.actor) == ("System", fallen.changes, None)
    with pytest.raises(SubjectChanged):
        approval_actions.approve(ada, approval, seen)


def test_another_archive_on_disk_lets_it_fall_and_a_missing_one_only_waits(ask, ada, tmp_path):
    approval = ask()
    archive = Path(approval.deployment.to_release.artifact)
    good = archive.read_bytes()
    archive.unlink()
    with pytest.raises(PreflightFailed):
        approval_actions.approve(ada, approval, approval.subject_hash)
    assert approval_actions.settle(approval_actions.REVIEW, approval).is_waiting
    archive.write_bytes(good + b"more")
    with pytest.raises(SubjectChanged) as caught:
        approval_actions.approve(ada, approval, approval.subject_hash)
    assert [change["member"] for change in caught.value.changes] == ["archive"]
    assert fresh_approval(approval).state == "fallen"


def test_away_and_back_again_is_a_change_too(ask, ada, begin):
    approval = ask()
    deployment = carry_on(begin("v1.2.6"))
    carry_on(actions.roll_back(ada, deployment, REASON))
    found = approvals.changes_since(fresh_approval(approval))
    assert [change.member for change in found] == ["live.deployment"]


def test_it_falls_by_itself_when_the_live_release_changes(ask, begin):
    first, second = ask(), ask("v1.2.7")
    assert approval_actions.settle_all() == 0
    carry_on(begin("v1.2.6"))
    assert approval_actions.settle_all() == 2 and approval_actions.settle_all() == 0
    for approval in (first, second):
        assert "the live release: v1.2.4, now v1.2.6" in fresh_approval(approval).decision_reason


@pytest.mark.parametrize("look", [tasks.ring_due, lambda: due.DueWork().look()], ids=["beat", "monitor"])
def test_time_ends_a_request(look, ask, ada, dora):
    approval = ask()
    look()
    assert fresh_approval(approval).is_waiting
    Approval.objects.update(expires_at=db_now() - timedelta(seconds=1))
    look()
    ended = fresh_approval(approval)
    assert ended.state == "expired" and ended.decision_reason.startswith("Nobody decided until ")
    assert fresh(approval.deployment).status == "aborted"
    (record,) = trail("deployment.approval_expired")
    assert record.environment == "production" and record.after["subject_hash"] == approval.subject_hash


def test_a_request_whose_time_is_over_is_not_approved_even_if_nobody_looked(ask, ada):
    approval = ask()
    Approval.objects.update(expires_at=db_now() - timedelta(milliseconds=1))
    with pytest.raises(RequestExpired, match="ask again"):
        approval_actions.approve(ada, approval, approval.subject_hash)
    assert fresh_approval(approval).state == "expired" and not trail("deployment.started")


def test_a_running_deployment_lets_it_wait(ask, ada, begin):
    approval = ask()
    running = begin("v1.2.6")
    with pytest.raises(Blocked) as caught:
        approval_actions.approve(ada, approval, approval.subject_hash)
    assert caught.value.blocking_id == running.pk and fresh_approval(approval).is_waiting
    carry_on(actions.abort(ada, running, REASON))
    assert approval_actions.approve(ada, approval, approval.subject_hash).state == "approved"


def test_what_blocks_a_start_blocks_an_approval_and_it_waits(ask, ada, production):
    approval = ask()
    set_away = {**production.router, "address": "unix:/nowhere.sock"}
    Environment.objects.update(router=set_away)
    with pytest.raises(PreflightFailed):
        approval_actions.approve(ada, fresh_approval(approval), approval.subject_hash)
    assert fresh_approval(approval).is_waiting and not trail("deployment.approved")


@pytest.mark.parametrize("act", ["promote", "hold", "resume", "abort", "roll_back"])
def test_a_waiting_request_takes_no_act(act, ask, ada):
    deployment = ask().deployment
    with pytest.raises(WrongState, match="reject or withdraw the request"):
        getattr(actions, act)(ada, deployment, REASON)


def test_a_waiting_request_hinders_no_rollback(ask, begin, ada):
    live = carry_on(begin("v1.2.6"))
    ask()
    assert actions.roll_back(ada, fresh(live), REASON).to_release.version == "v1.2.4"


def test_a_developer_deploys_to_staging_without_asking(serve, release, staging, dora, script):
    serve(environment=staging)
    assert actions.start(dora, staging, release("v1.2.5"), "blue_green", REASON).status == "pending"


def test_looking_at_many_takes_two_queries(ask, django_assert_num_queries):
    ask()
    with django_assert_num_queries(2):
        approval_actions.settle_all()
    for version in ("v1.2.6", "v1.2.7", "v1.2.8"):
        ask(version)
    with django_assert_num_queries(2):
        approval_actions.settle_all()


def test_a_status_that_may_not_follow_is_not_saved(ask, begin):
    deployment = ask().deployment
    for status in ("running", "succeeded", "failing"):
        deployment.status = status
        with pytest.raises(ValueError, match=f"cannot go from awaiting_approval to {status}"):
            deployment.save()
    assert statuses(deployment) == [] and Deployment.objects.get(pk=deployment.pk).status == "awaiting_approval"
    deployment.status = "aborted"
    deployment.save()
    deployment.refresh_from_db()
    deployment.status = "pending"
    with pytest.raises(ValueError, match="from aborted"):
        deployment.save()
