"""The use cases: who may, what they refuse, what they change, and what the audit trail says of it."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from accounts.domain import InvalidRequest
from accounts.errors import Forbidden
from audit.actors import Actor
from audit.models import Outcome, Record
from deployments import actions, starting
from deployments.errors import Blocked, PreflightFailed, WrongState
from deployments.models import Deployment
from deployments.steps.base import Done
from tests.deployments.toys import carry_on, fresh, statuses, trail

REASON = "Because"
ACTS = ("promote", "hold", "resume", "abort", "roll_back")


def snapshot(deployment):
    """Everything that is kept of deployments and steps."""
    return list(Deployment.objects.order_by("id").values()), list(deployment.steps.values())


def test_a_start_plans_every_step_and_is_audited(begin, ada, admin, production):
    deployment = begin()
    assert (deployment.status, deployment.requested_by, deployment.requested_by_name) == ("pending", admin, ada.name)
    assert (deployment.from_release.version, deployment.to_release.version) == ("v1.2.4", "v1.2.5")
    assert (deployment.from_slot.name, deployment.to_slot.name) == ("blue", "green")
    assert deployment.policy_data == production.policy_data and deployment.due_at is not None
    assert [name for name, _ in statuses(deployment)][:5] == [
        "preflight", "start_slot", "wait_healthy", "smoke_test", "await_promotion",
    ]  # fmt: skip
    (record,) = trail("deployment.started")
    assert (record.actor, record.role, record.environment, record.outcome) == (admin, "Admin", "production", "done")
    assert record.reason == deployment.reason == "Fix of the slippage"
    assert record.after == {"from": "v1.2.4", "to": "v1.2.5", "strategy": "blue_green", "slot": "green"}


def test_the_first_deployment_has_nothing_to_go_back_to(begin):
    deployment = begin(first=True)
    assert (deployment.from_release, deployment.from_slot) == (None, None)
    assert "watch" not in dict(statuses(deployment))


def test_a_second_start_is_blocked_and_told_by_what(begin, ada, production, release):
    first = begin()
    with pytest.raises(Blocked, match=f"Deployment {first.pk} .* is pending") as caught:
        actions.start(ada, production, release("v1.2.6"), "blue_green", REASON)
    assert caught.value.blocking_id == first.pk and len(trail("deployment.started")) == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_start_at_once_one_starts_and_one_is_blocked(serve, release, ada, production):
    serve()
    releases = [release(version) for version in ("v1.2.5", "v1.2.6")]
    barrier, outcomes = threading.Barrier(2), []

    def try_it(chosen):
        barrier.wait()
        try:
            outcomes.append(actions.start(ada, production, chosen, "blue_green", REASON))
        except Blocked as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=try_it, args=(chosen,)) for chosen in releases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    started, blocked = sorted(outcomes, key=lambda one: isinstance(one, Blocked))
    assert Deployment.objects.get() == started and blocked.blocking_id == started.pk
    assert len(trail("deployment.started")) == 1


def test_the_table_itself_holds_one_active_deployment(begin, monkeypatch, ada, production, release):
    """Even if both had looked before either had started."""
    begin()
    monkeypatch.setattr(starting, "refuse_when_busy", lambda environment: None)
    with pytest.raises(Blocked):
        actions.start(ada, production, release("v1.2.6"), "blue_green", REASON)
    assert Deployment.objects.count() == 1


def test_the_checks_block_a_start_and_say_why(serve, release, ada, production, tmp_path):
    serve()
    wrong = release("v1.2.5")
    (tmp_path / "paper-trader-v1.2.5.tar.gz").write_bytes(b"something else")
    with pytest.raises(PreflightFailed) as caught:
        actions.start(ada, production, wrong, "blue_green", REASON)
    assert [reason["check"] for reason in caught.value.reasons] == ["artifact"]
    assert not Deployment.objects.exists() and not trail("deployment.started")


@pytest.mark.parametrize(("change", "field"), [({"strategy": "hope"}, "strategy"), ({"reason": " "}, "reason"),
                                               ({"reason": "x" * 2001}, "reason")])  # fmt: skip
def test_a_wrong_field_is_named(serve, release, ada, production, change, field):
    serve()
    fields = {"strategy": "blue_green", "reason": REASON, **change}
    with pytest.raises(InvalidRequest) as caught:
        actions.start(ada, production, release("v1.2.5"), **fields)
    assert caught.value.field == field and not Deployment.objects.exists() and not trail("deployment.started")


@pytest.mark.parametrize("act", ACTS)
def test_without_permission_nothing_happens_but_a_record_of_the_denial(begin, operator, actor_of, act):
    deployment = begin()
    before, otto = snapshot(deployment), actor_of(operator)
    with pytest.raises(Forbidden, match="It takes: Admin"):
        getattr(actions, act)(otto, deployment, REASON)
    assert snapshot(deployment) == before
    (record,) = trail("access.denied")
    assert (record.actor, record.outcome, record.environment) == (operator, Outcome.DENIED, "production")
    assert record.after["act"] == f"deployments.actions.{act}"
    assert Record.objects.filter(actor=operator).count() == 1


@pytest.mark.parametrize("who", ["operator", "nobody", "gone"])
def test_who_may_not_start_in_production(request, serve, release, production, person, actor_of, who):
    serve()
    user = (
        person("zed", "Admin" if who == "gone" else None) if who in ("nobody", "gone") else request.getfixturevalue(who)
    )
    user.is_active, user.is_superuser = who != "gone", True  # the flag of Django's admin grants nothing here
    user.save()
    with pytest.raises(Forbidden):
        actions.start(actor_of(user), production, release("v1.2.5"), "blue_green", REASON)
    assert not Deployment.objects.exists() and len(trail("access.denied")) == 1


def test_a_developer_may_start_in_staging(serve, release, staging, developer, actor_of):
    serve(environment=staging)
    started = actions.start(actor_of(developer), staging, release("v1.2.5"), "blue_green", REASON)
    assert started.requested_by == developer


def test_an_actor_without_a_person_is_nobody(begin):
    for via in ("session", "key", "cli"):
        with pytest.raises(Forbidden):
            actions.abort(
                Actor(name="?", via=via, role="Admin"),
                begin() if via == "session" else Deployment.objects.get(),
                REASON,
            )


@pytest.mark.parametrize("act", ["promote", "hold", "abort"])
def test_a_stale_token_changes_nothing(begin, ada, act):
    deployment = begin()
    Deployment.objects.filter(pk=deployment.pk).update(status="held")
    token, before = fresh(deployment).state_token, len(Record.objects.all())
    Deployment.objects.filter(pk=deployment.pk).update(status="running")
    kept = snapshot(deployment)
    with pytest.raises(WrongState, match="changed to Running meanwhile. Nothing was done") as caught:
        getattr(actions, act)(ada, deployment, REASON, token)
    assert caught.value.current == "running"
    assert snapshot(deployment) == kept and Record.objects.count() == before
    getattr(actions, act)(ada, deployment, REASON, fresh(deployment).state_token)
    assert snapshot(deployment) != kept


@pytest.mark.parametrize("act", ["promote", "hold", "abort"])
def test_a_token_outlives_what_the_engine_does_by_itself(begin, ada, act):
    deployment = begin()
    assert deployment.status == "pending"
    Deployment.objects.filter(pk=deployment.pk).update(status="running")
    kept = snapshot(deployment)
    getattr(actions, act)(ada, deployment, REASON, deployment.state_token)
    assert snapshot(deployment) != kept


@pytest.mark.parametrize("act", ACTS)
def test_an_act_without_reason_does_nothing(begin, ada, act):
    deployment = begin()
    before = snapshot(deployment)
    with pytest.raises(InvalidRequest):
        getattr(actions, act)(ada, deployment, "\n ")
    assert snapshot(deployment) == before


@pytest.mark.parametrize(
    ("act", "action", "status"),
    [
        ("promote", "deployment.promoted", "pending"),
        ("hold", "deployment.held", "held"),
        ("abort", "deployment.aborted", "aborting"),
    ],
)
def test_an_act_takes_effect_at_once_and_is_audited(begin, ada, act, action, status):
    deployment = begin()
    assert getattr(actions, act)(ada, deployment, f"  {REASON} ").status == fresh(deployment).status == status
    (record,) = trail(action)
    assert (record.reason, record.after, record.object_id) == (REASON, {"status": status}, str(deployment.pk))


def test_hold_stops_between_steps_and_resume_goes_on(begin, ada, script):
    deployment = begin()
    script.play("start_slot", lambda ctx: actions.hold(ada, ctx.deployment, REASON) and None, Done("ok"))
    held = carry_on(deployment)
    assert held.status == "held" and held.due_at is None and held.held_at is not None
    assert statuses(held)[1:3] == [("start_slot", "succeeded"), ("wait_healthy", "pending")]
    assert carry_on(deployment).status == "held"  # a message that comes late moves nothing
    assert actions.resume(ada, held, REASON).status == "running"
    assert carry_on(deployment).status == "succeeded"
    assert len(trail("deployment.held")) == len(trail("deployment.resumed")) == 1


def test_a_deployment_that_was_held_before_it_ran_has_a_start_time(begin, ada):
    deployment = actions.resume(ada, actions.hold(ada, begin(), REASON), REASON)
    assert carry_on(deployment).started_at is not None


def test_who_keeps_the_new_version_is_in_the_trail(begin, ada):
    deployment = begin()
    Deployment.objects.filter(pk=deployment.pk).update(status="running")
    Deployment.objects.filter(pk=deployment.pk).update(status="watching")
    assert actions.promote(ada, deployment, REASON).accepted_at is not None
    assert len(trail("deployment.accepted")) == 1 and not trail("deployment.promoted")
    with pytest.raises(WrongState):
        actions.promote(ada, deployment, REASON)


def test_an_act_that_cannot_be_audited_is_not_done(begin, ada, monkeypatch):
    deployment = begin()
    before = snapshot(deployment)

    def unwritable(*_, **__):
        raise OSError("the trail cannot be written")

    monkeypatch.setattr(actions, "record", unwritable)
    for act in ("promote", "hold", "abort"):
        with pytest.raises(OSError, match="the trail cannot be written"):
            getattr(actions, act)(ada, deployment, REASON)
    assert snapshot(deployment) == before
