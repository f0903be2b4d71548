"""The kill switch and positions that differ keep a deployment from going on, and never a rollback."""

from __future__ import annotations

import time
import uuid

import pytest
from django.utils import timezone

from alerts.models import Alert
from deployments import actions, breaches
from deployments.errors import PreflightFailed, WrongState
from deployments.guard import Guard
from deployments.models import Deployment
from deployments.steps.base import Done, Failed
from environments import adapters
from environments.models import Environment
from tests.deployments.toys import carry_on, fresh, fresh_environment, observe, set_state, statuses, trail
from trading import latch, stop_files
from trading.errors import Latched
from trading.models import Comparison
from trading.stop import latch as latch_file
from trading.stop.latch import Latch

REASON = "Because"


def engage(environment: Environment) -> None:
    """The latch file, as a press writes it before anything else."""
    folder = stop_files.folder(environment.name)
    folder.mkdir(parents=True, exist_ok=True)
    latch_file.engage(folder, Latch(uuid.uuid4().hex, environment.name, time.time(), "otto", "page"))


def differ(environment: Environment, verdict: str = "fail") -> None:
    """The last comparison of positions with the exchange."""
    found = [{"symbol": "BTC", "internal": "1", "exchange": "2", "delta": "1", "class": "size"}]
    Comparison.objects.create(
        environment=environment, at=timezone.now(), verdict=verdict, differences=found if verdict == "fail" else []
    )


def step(deployment: Deployment, name: str):
    """A step of a deployment."""
    return deployment.steps.get(name=name)


@pytest.mark.parametrize("how", ["file", "database"])
def test_nothing_starts_while_the_kill_switch_is_engaged(production, release, serve, ada, how):
    serve()
    if how == "file":
        engage(production)
    else:
        Environment.objects.filter(pk=production.pk).update(latched_at=timezone.now())
    with pytest.raises(PreflightFailed) as refused:
        actions.start(ada, production, release("v1.2.5"), "blue_green", REASON)
    (reason,) = refused.value.reasons
    assert (reason["check"], reason["reason"]) == ("kill_switch", "The kill switch of production is engaged.")
    assert "/kill-switch/" in reason["todo"] and not Deployment.objects.exists()


def test_nothing_starts_while_positions_differ(production, release, serve, ada):
    serve()
    differ(production)
    new = release("v1.2.5")
    with pytest.raises(PreflightFailed) as refused:
        actions.start(ada, production, new, "blue_green", REASON)
    assert [reason["check"] for reason in refused.value.reasons] == ["positions"]
    differ(production, "pass")
    assert actions.start(ada, production, new, "blue_green", REASON).pk


@pytest.mark.parametrize("trouble", [engage, differ])
def test_the_gate_stays_shut_and_opens_by_itself(begin, script, serve, production, trouble):
    serve()
    script.real("await_promotion")
    deployment = begin()
    observe(production.live_slot)
    trouble(production)
    script.play("preflight", Done("ok"))  # it passed before the trouble
    waiting = carry_on(deployment)
    assert (waiting.status, waiting.handover_at) == ("running", None)
    assert ("engaged" if trouble is engage else "BTC") in step(waiting, "await_promotion").detail
    latch.release(production, "ada")
    differ(production, "pass")
    observe(production.live_slot)
    assert carry_on(set_state(waiting, due_at=timezone.now())).promoted_at is not None


def test_pressing_promote_or_resume_is_refused(begin, script, ada, production):
    deployment = begin()
    engage(production)
    with pytest.raises(Latched):
        actions.promote(ada, deployment, REASON)
    held = actions.hold(ada, deployment, REASON)
    with pytest.raises(Latched):
        actions.resume(ada, held, REASON)
    latch.release(production, "ada")
    differ(production)
    actions.resume(ada, held, REASON)
    with pytest.raises(WrongState, match="BTC"):
        actions.promote(ada, held, REASON)


def test_a_press_before_the_hand_over_ends_the_deployment_where_it_was(begin, script, production):
    script.play("await_promotion", lambda ctx: engage(ctx.environment))
    failed = carry_on(begin())
    assert failed.status == "failed" and "kill switch" in failed.failure_reason
    assert (failed.handover_at, fresh_environment(production).live_slot.name) == (None, "blue")
    assert ("hand_over", "failed") in statuses(failed) and ("shift_traffic", "skipped") in statuses(failed)


@pytest.mark.parametrize("during", ["hand_over", "shift_traffic"])
def test_a_press_during_the_shift_wins_and_the_rollback_moves_the_requests(begin, script, production, during):
    """Whatever came before the press, nothing gets the trading role after it, and the requests are where they were."""
    script.real("hand_over")
    script.play("hand_over", lambda ctx: engage(ctx.environment) if during == "hand_over" else None)
    if during == "shift_traffic":
        real = script.play("shift_traffic", lambda ctx: engage(ctx.environment))
        assert real.moves
    granted = script.play("activate", Failed("the role must not be granted"))
    bad = carry_on(begin())
    assert bad.status == "failing" and "kill switch" in bad.failure_reason and not granted.seen
    script.real("activate")
    script.real("verify_live")
    back = carry_on(bad.reverted_by)
    assert back.status == "succeeded", back.failure_reason
    assert "stays stopped" in step(back, "activate").detail and "stays stopped" in step(back, "verify_live").detail
    environment = fresh_environment(production)
    assert environment.live_slot.name == "blue" and not trail("writer.role", after__role="ACTIVE")
    assert adapters.router(environment).read().weights == {"production-blue-1": 100, "production-green-1": 0}
    assert fresh(bad).status == "rolled_back"


def test_a_halt_that_was_ordered_is_no_fault_of_the_release(watched, feed):
    guard = Guard()
    guard.keep(feed.run(15))
    engage(watched.environment)
    guard.keep(feed.run(2, role="HALTED"))
    assert fresh(watched).interrupted_at is not None and not Deployment.objects.filter(reverts=watched).exists()
    latch.release(watched.environment, "ada and alan")
    guard.keep(feed.run(2, role="HALTED"))
    assert not Deployment.objects.filter(reverts=watched).exists(), "released, and not resumed yet"
    guard.keep(feed.run(1))
    again = fresh(watched)
    assert again.interrupted_at is None and again.promoted_at > watched.promoted_at
    assert len(trail("deployment.watch_restarted")) == 1


def test_an_unordered_halt_still_rolls_back(watched, feed):
    guard = Guard()
    guard.keep(feed.run(15))
    guard.keep(feed.run(2, role="HALTED"))
    assert Deployment.objects.filter(reverts=watched).count() == 1


def test_a_breach_raises_an_alert_that_ends_with_the_rollback(watched, feed, script):
    Guard().keep(feed.run(15))
    Guard().keep(feed.run(2, mismatches=1))
    alert = Alert.objects.get(kind="breach")
    assert (alert.severity, alert.environment, alert.cleared_at) == ("critical", watched.environment, None)
    assert alert.link == f"/deployments/{watched.pk}/" and "Position mismatch" in alert.detail
    carry_on(watched.reverted_by)
    alert.refresh_from_db()
    assert alert.cleared_at is not None and alert.acknowledged_at is None


def test_a_recommendation_is_a_warning_until_it_is_gone(watched):
    breaches.decision_wanted(watched, "Latency p99: 5 times the baseline")
    breaches.decision_wanted(watched, "Latency p99: 6 times the baseline")
    alert = Alert.objects.get(kind="breach")
    assert (alert.severity, alert.times, alert.cleared_at) == ("warning", 2, None)
    breaches.over(watched)
    alert.refresh_from_db()
    assert alert.cleared_at is not None
