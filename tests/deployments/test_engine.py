"""The engine: one look at a step is intent, act, outcome; and where each outcome leads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployments import actions, engine
from deployments.clock import db_now
from deployments.models import Deployment, Step
from deployments.steps.base import Done, Failed, Wait
from environments import adapters
from environments.drivers.base import DriverUnreachable
from environments.target import TargetMalformed, TargetRefused, TargetUnreachable
from environments.traffic.base import ReadBackDiffers, RouterState, RouterUnreachable
from tests.deployments.toys import carry_on, fresh, fresh_environment, observe, set_state, statuses, trail

PREPARE = ["preflight", "start_slot", "wait_healthy", "smoke_test", "await_promotion"]
REASON = "Because"


def steps_of(deployment, status):
    return [name for name, found in statuses(deployment) if found == status]


def test_a_run_from_click_to_success(begin, changes):
    done = carry_on(begin())
    assert changes() == [("pending", "running"), ("running", "watching"), ("watching", "succeeded")]
    assert {status for _, status in statuses(done)} == {"succeeded"}
    assert done.started_at <= done.handover_at <= done.promoted_at <= done.finished_at
    assert (done.due_at, done.lease_expires_at, done.failure_reason) == (None, None, "")
    environment = fresh_environment(done.environment)
    assert environment.live_slot == environment.writer_slot == done.to_slot
    assert environment.desired_weights == {"blue": 0, "green": 100}
    state = adapters.router(environment).read()
    assert state.weights == {"production-blue-1": 0, "production-green-1": 100}
    assert state.epoch == environment.traffic_epoch


def test_every_step_and_the_end_are_audited_in_order(begin):
    done = carry_on(begin())
    plan = [name for name, _ in statuses(done)]
    assert [record.after["step"] for record in trail("deployment.step_started")] == plan
    assert [record.after["step"] for record in trail("deployment.step_succeeded")] == plan
    assert {record.outcome for record in trail("deployment.step_started")} == {"intent"}
    assert [record.outcome for record in trail("traffic.shift")] == ["intent", "done"]
    (end,) = trail("deployment.finished")
    assert (end.after, end.outcome, end.actor_name) == ({"status": "succeeded", "version": "v1.2.5"}, "done", "engine")


def test_the_intent_of_the_shift_is_kept_before_the_act(begin, script):
    seen = []

    def look(ctx):
        environment = fresh_environment(ctx.environment)
        seen.append((environment.desired_weights, environment.traffic_epoch == ctx.epoch, len(trail("traffic.shift"))))
        return Failed("enough")

    script.play("shift_traffic", look)
    carry_on(begin())
    assert seen[0] == ({"blue": 0, "green": 100}, True, 1)


@pytest.mark.parametrize("failing", PREPARE)
def test_a_failure_before_the_hand_over_aborts_and_leaves_the_live_slot(begin, script, changes, failing):
    script.play(failing, Failed("it is broken"))
    failed = carry_on(begin())
    assert changes()[-2:] == [("running", "aborting"), ("aborting", "failed")]
    assert steps_of(failed, "failed") == [failing] and failed.failure_reason.endswith(": it is broken")
    assert statuses(failed)[-2:] == [("restore_live", "succeeded"), ("stop_slot", "succeeded")]
    environment = fresh_environment(failed.environment)
    assert environment.live_slot == environment.writer_slot == failed.from_slot
    assert environment.desired_weights == {"blue": 100, "green": 0} and failed.promoted_at is None
    assert [record.reason for record in trail("deployment.failing")] == [failed.failure_reason]
    assert trail("deployment.finished")[0].outcome == "failed"


@pytest.mark.parametrize("failing", ["hand_over", "shift_traffic", "activate", "watch"])
def test_a_failure_after_the_hand_over_rolls_back(begin, script, changes, failing):
    script.play(failing, Failed("it is broken"), Done("ok"))
    failing_one = carry_on(begin())
    assert changes()[-1][1] == "failing" and steps_of(failing_one, "failed") == [failing]
    rollback = Deployment.objects.get(reverts=failing_one)
    assert (rollback.from_slot, rollback.to_slot) == (failing_one.to_slot, failing_one.from_slot)
    assert (rollback.to_release, rollback.requested_by_name) == (failing_one.from_release, "engine")
    assert carry_on(rollback).status == "succeeded"
    ended = fresh(failing_one)
    assert ended.status == "rolled_back" and ended.failure_reason.endswith(": it is broken")
    assert ended.finished_at == fresh(rollback).finished_at and ended.traffic_back_at is not None
    assert fresh_environment(ended.environment).live_slot == ended.from_slot


def test_a_step_that_may_fail_does_not_fail_the_deployment(begin, script):
    deployment = begin()
    assert Step.objects.filter(deployment=deployment, params__on_failure="continue").count() == 2
    script.play("wait_healthy", Done("ok"), Failed("the old slot does not come up"))
    done = carry_on(deployment)
    assert done.status == "succeeded" and statuses(done)[-1] == ("wait_healthy", "failed")
    assert trail("deployment.step_failed")[0].reason == "the old slot does not come up"


def test_a_first_deployment_that_fails_has_no_way_back_and_says_so(begin, script, changes):
    script.play("activate", Failed("it is broken"))
    failed = carry_on(begin(first=True))
    assert failed.status == "failed" and not Deployment.objects.filter(reverts=failed).exists()
    assert statuses(failed)[-1] == ("stop_slot", "succeeded")


def test_a_failed_abort_ends_as_failed(begin, script, ada):
    script.play("restore_live", Failed("the load balancer refuses"))
    ended = carry_on(actions.abort(ada, begin(), REASON))
    assert ended.status == "failed" and ended.failure_reason == "Live slot confirmed: the load balancer refuses"
    assert steps_of(ended, "pending") == []


def test_a_failed_rollback_fails_both(begin, script, changes):
    script.play("activate", Failed("first"), Failed("second"))
    reverted = carry_on(begin())
    rollback = carry_on(Deployment.objects.get(reverts=reverted))
    assert (rollback.status, fresh(reverted).status) == ("failed", "failed")
    assert rollback.failure_reason.endswith(": second") and fresh(reverted).failure_reason.endswith(": first")
    assert not Deployment.objects.filter(reverts=rollback).exists()
    assert steps_of(rollback, "pending") == []


@pytest.mark.parametrize("during", PREPARE)
def test_an_abort_during_any_step_before_the_hand_over(begin, script, ada, changes, during):
    script.play(during, lambda ctx: actions.abort(ada, ctx.deployment, REASON) and None)
    aborted = carry_on(begin())
    assert changes()[-1] == ("aborting", "aborted") and aborted.failure_reason == ""
    assert dict(statuses(aborted))[during] == "skipped" and "hand_over" not in steps_of(aborted, "succeeded")
    assert statuses(aborted)[-2:] == [("restore_live", "succeeded"), ("stop_slot", "succeeded")]
    environment = fresh_environment(aborted.environment)
    assert environment.live_slot == environment.writer_slot == aborted.from_slot
    assert trail("deployment.finished")[0].outcome == "done"


@pytest.mark.parametrize("during", ["hand_over", "shift_traffic", "activate"])
def test_from_the_hand_over_on_only_a_rollback_leads_back(begin, script, ada, during):
    refused = []

    def try_it(ctx):
        for act in (actions.abort, actions.hold):
            with pytest.raises(actions.WrongState) as caught:
                act(ada, ctx.deployment, REASON)
            refused.append(str(caught.value))
        return Failed("enough")

    script.play(during, try_it, Done("ok"))
    carry_on(begin())
    assert "The hand-over has begun: roll back instead." in refused[0] and len(refused) == 2


def test_a_rollback_takes_the_lease_from_whoever_works(begin, script, ada, changes):
    """The worker that was in the middle of a step records nothing of it."""
    script.play("watch", lambda ctx: actions.roll_back(ada, ctx.deployment, REASON) and None)
    deployment = carry_on(begin())
    assert deployment.status == "failing" and dict(statuses(deployment))["watch"] == "skipped"
    assert "watch" not in [record.after["step"] for record in trail("deployment.step_succeeded")]
    assert [record.after["to"] for record in trail("deployment.rolled_back")] == ["v1.2.4"]
    assert carry_on(Deployment.objects.get(reverts=deployment)).status == "succeeded"


def test_a_waiting_step_is_looked_at_again_when_it_is_due(begin, script):
    step = script.play("wait_healthy", Wait(30, "1 of 3", {"passes": 1}), Done("ok"))
    deployment = carry_on(begin())
    left = (deployment.due_at - db_now()).total_seconds()
    assert 25 < left <= 30 and deployment.lease_expires_at is None
    kept = deployment.steps.get(name="wait_healthy", params__slot="green")
    assert (kept.status, kept.detail, kept.data, kept.attempts) == ("running", "1 of 3", {"passes": 1}, 1)
    assert not engine.advance(deployment.pk) and len(step.seen) == 1
    set_state(deployment, due_at=db_now() - timedelta(milliseconds=1))
    assert carry_on(deployment).status == "succeeded" and len(step.seen) == 3


def test_each_holder_works_under_a_newer_epoch(begin, script):
    step = script.play("wait_healthy", *[Wait(0, "again")] * 4, Done("ok"))
    deployment = begin()
    while carry_on(deployment).status != "succeeded":
        pass
    assert len(step.seen) == 6 and sorted(set(step.seen[:5])) == step.seen[:5]


@pytest.mark.parametrize(
    "trouble",
    [
        DriverUnreachable("no supervisor"),
        RouterUnreachable("no load balancer"),
        ReadBackDiffers({"a": 1}, RouterState(1, {"a": 0})),
        TargetMalformed("nonsense"),
        TargetUnreachable("nobody listens"),
    ],
)
def test_passing_trouble_is_tried_again_until_the_deadline(begin, script, trouble):
    script.play("smoke_test", trouble)
    deployment = carry_on(begin())
    step = deployment.steps.get(name="smoke_test")
    assert step.status == "running" and step.detail == f"Trying again: {trouble}" and deployment.due_at is not None
    Step.objects.filter(pk=step.pk).update(started_at=db_now() - timedelta(seconds=31))
    set_state(deployment, due_at=db_now())
    failed = carry_on(deployment)
    assert (
        failed.status == "failed"
        and str(trouble) in failed.failure_reason
        and "tried for 31 s" in failed.failure_reason
    )


@pytest.mark.parametrize(
    "trouble", [TargetRefused("POST /v1/role", 422, "No", "never"), ZeroDivisionError(), KeyError("x")]
)
def test_other_trouble_fails_the_step_at_once_and_says_what(begin, script, trouble):
    script.play("smoke_test", trouble)
    failed = carry_on(begin())
    assert failed.status == "failed"
    assert (str(trouble) or type(trouble).__name__) in failed.failure_reason


def test_a_worker_stops_before_a_step_of_another_queue(begin):
    deployment = begin()
    assert engine.advance(deployment.pk, "default")
    assert steps_of(deployment, "succeeded") == PREPARE
    assert engine.advance(deployment.pk, "critical")
    assert steps_of(deployment, "succeeded") == [*PREPARE, "hand_over", "shift_traffic", "activate"]
    assert engine.advance(deployment.pk, "default")
    assert fresh(deployment).status == "succeeded" and not engine.advance(deployment.pk, "default")


def test_a_manual_promotion_waits_for_a_press(begin, ada, production, script):
    script.real("await_promotion")
    production.policy_data["promotion"] = "manual"
    production.save()
    waiting = carry_on(begin())
    observe(waiting.from_slot)
    assert (waiting.status, waiting.due_at, waiting.promoted_at) == ("running", None, None)
    assert statuses(waiting)[4] == ("await_promotion", "running")
    done = carry_on(actions.promote(ada, waiting, REASON))
    assert done.status == "succeeded" and done.baseline["answered"] == 3


@pytest.mark.parametrize("samples", [{"count": 0}, {"count": 1}, {"ok": False, "error": "timeout"}])
def test_nothing_is_promoted_blindly(begin, script, samples):
    """The live slot is not seen, so the new one could be compared with nothing."""
    script.real("await_promotion")
    deployment = begin()
    observe(deployment.from_slot, **samples)
    waiting = carry_on(deployment)
    assert statuses(waiting)[4] == ("await_promotion", "running") and waiting.due_at is not None
    assert "does not see blue" in waiting.steps.get(name="await_promotion").detail
