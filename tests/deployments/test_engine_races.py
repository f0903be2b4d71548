"""What happens between the lines: somebody acts while a step runs, a worker sleeps past its lease, code is wrong."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction

from deployments import actions, engine
from deployments.clock import db_now
from deployments.lease import claim
from deployments.models import Deployment
from deployments.steps.base import Done, Wait
from environments import adapters
from environments.traffic.base import StaleEpoch
from tests.deployments.test_lease import waiting_for_a_lock
from tests.deployments.toys import carry_on, fresh, fresh_environment, set_state, statuses, trail
from tests.deployments.world import until

REASON = "Because"


def test_a_press_while_the_gate_is_being_read_is_not_lost(begin, ada, script):
    """The step read "not pressed", then somebody pressed, then the step says: wait for somebody."""

    def pressed_meanwhile(ctx):
        actions.promote(ada, ctx.deployment, REASON)
        return Wait(None, "Waiting for somebody to press Promote.")

    script.play("await_promotion", pressed_meanwhile, Done("Somebody pressed Promote."))
    deployment = carry_on(begin())
    assert deployment.due_at is not None
    assert carry_on(deployment).status == "succeeded"


def test_a_hold_and_resume_while_a_step_waits_is_not_lost(begin, ada, script):
    def held_and_resumed(ctx):
        actions.resume(ada, actions.hold(ada, ctx.deployment, REASON), REASON)
        return Wait(None, "Waiting.")

    script.play("smoke_test", held_and_resumed, Done("ok"))
    deployment = carry_on(begin())
    assert deployment.status == "running" and carry_on(deployment).status == "succeeded"


def test_a_wait_does_not_wake_what_was_held_meanwhile(begin, ada, script):
    script.play("smoke_test", lambda ctx: actions.hold(ada, ctx.deployment, REASON) and Wait(0, "soon"), Done("ok"))
    deployment = carry_on(begin())
    assert (deployment.status, deployment.due_at) == ("held", None)
    assert carry_on(actions.resume(ada, deployment, REASON)).status == "succeeded"


def test_a_worker_that_slept_past_its_lease_records_nothing(begin, script, changes):
    taken_over = []

    def sleep_past_the_lease(ctx):
        set_state(ctx.deployment, lease_expires_at=db_now() - timedelta(seconds=1))
        taken_over.append(claim(ctx.deployment.pk))

    script.play("smoke_test", sleep_past_the_lease, Done("ok"))
    deployment = carry_on(begin())
    assert statuses(deployment)[3] == ("smoke_test", "running")
    assert "smoke_test" not in [record.after["step"] for record in trail("deployment.step_succeeded")]
    assert deployment.lease_epoch == taken_over[0].epoch and deployment.lease_expires_at is not None
    taken_over[0].release()
    assert carry_on(deployment).status == "succeeded"
    assert deployment.steps.get(name="smoke_test").attempts == 2


def test_a_worker_that_slept_past_its_lease_moves_no_traffic(begin, script, ada, serve):
    """The load balancer has the newer epoch and refuses the older one."""
    from deployments.steps.shift_traffic import ShiftTraffic

    kept = {}

    def sleep_past_the_lease(ctx):
        kept["ctx"] = ctx
        set_state(ctx.deployment, lease_expires_at=db_now() - timedelta(seconds=1))
        claim(ctx.deployment.pk).release()

    script.play("shift_traffic", sleep_past_the_lease, lambda ctx: ShiftTraffic().run(ctx))
    deployment = carry_on(begin())
    assert dict(statuses(deployment))["shift_traffic"] == "running"
    assert carry_on(deployment).status == "succeeded"
    environment = fresh_environment(deployment.environment)
    before = adapters.router(environment).read()
    with pytest.raises(StaleEpoch):
        ShiftTraffic().run(kept["ctx"])
    assert adapters.router(environment).read() == before and before.epoch == environment.traffic_epoch


@pytest.mark.parametrize("method", ["prepare", "commit"])
def test_a_defect_around_a_step_fails_it_instead_of_repeating_for_ever(begin, monkeypatch, script, changes, method):
    step = script.play("smoke_test", Done("ok"))

    def broken(*_):
        raise RuntimeError("a defect of the console")

    monkeypatch.setattr(step, method, broken, raising=False)
    failed = carry_on(begin())
    assert failed.status == "failed" and "a defect of the console" in failed.failure_reason
    assert dict(statuses(failed))["smoke_test"] == "failed" and dict(statuses(failed))["stop_slot"] == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_leaves_the_step_for_the_next(begin, script):
    script.play("smoke_test", OperationalError("the server closed the connection"), Done("ok"))
    deployment = carry_on(begin())
    assert statuses(deployment)[3] == ("smoke_test", "running") and deployment.lease_expires_at is not None
    set_state(deployment, lease_expires_at=db_now() - timedelta(seconds=1))
    assert carry_on(deployment).status == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_once_do_every_step_once(begin, script):
    steps = [script.play(name, Done("ok")) for name in ("smoke_test", "hand_over", "activate")]
    deployment = begin()

    def work():
        try:
            while not fresh(deployment).is_finished:
                engine.advance(deployment.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert fresh(deployment).status == "succeeded" and [len(step.seen) for step in steps] == [1, 1, 1]
    assert set(deployment.steps.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_of_many_rollbacks_at_once_exactly_one_is_created(begin, script, ada):
    script.play("watch", Wait(None, "Watching."))
    deployment, barrier, outcomes = carry_on(begin()), threading.Barrier(6), []

    def press():
        barrier.wait()
        try:
            outcomes.append(actions.roll_back(ada, deployment, REASON))
        except actions.WrongState as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(isinstance(one, actions.WrongState) for one in outcomes) == 5 and len(outcomes) == 6
    assert Deployment.objects.filter(reverts=deployment).count() == 1 == len(trail("deployment.rolled_back"))


@pytest.mark.django_db(transaction=True)
def test_a_rollback_sees_that_the_earlier_slot_is_being_replaced(begin, script, ada):
    """It waits for the worker that just decided so, and must not plan with what it read before."""
    script.play("watch", Wait(None, "Watching."))
    deployment, made = carry_on(begin()), []

    def press():
        try:
            made.append(actions.roll_back(ada, deployment, REASON))
        finally:
            connection.close()

    with transaction.atomic():
        Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
        thread = threading.Thread(target=press)
        thread.start()
        until(lambda: waiting_for_a_lock() == 1, "the rollback waits")
        old = deployment.from_slot
        old.version, old.digest = deployment.to_release.version, deployment.to_release.digest
        old.save()
    thread.join(10)
    assert [name for name, _ in statuses(made[0])][:2] == ["start_slot", "wait_healthy"]


def test_a_new_policy_is_not_overwritten_by_a_running_deployment(begin, production, script):
    """The engine writes what it decided, not the whole row that it read."""
    from environments.models import Environment

    def apply_meanwhile(ctx):
        Environment.objects.filter(pk=production.pk).update(front_url="http://127.0.0.1:1")

    from deployments.steps import STEPS

    real = STEPS["activate"].prepare

    def prepare(ctx):
        apply_meanwhile(ctx)
        real(ctx)

    step = script.play("activate", Done("ok"))
    step.prepare = prepare
    assert carry_on(begin()).status == "succeeded"
    assert fresh_environment(production).front_url == "http://127.0.0.1:1"
