"""The guard: measures, judges, keeps verdicts, and rolls back once when a hard rule fails."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from django.db import connection
from django.utils import timezone

from deployments import guard as guards
from deployments.guard import Guard
from deployments.models import Deployment, Measurement, VerdictRow
from environments.models import SampleRow
from environments.sample import Component
from tests.deployments.toys import fresh, set_state, trail

HARD = {"mismatches": 1}


def current(deployment) -> dict[str, VerdictRow]:
    return {row.rule: row for row in VerdictRow.objects.filter(deployment=deployment, is_current=True)}


def rollbacks(deployment) -> list[Deployment]:
    return list(Deployment.objects.filter(reverts=deployment))


def test_every_batch_is_measured_and_every_rule_judged(watched, feed):
    guard = Guard()
    guard.keep(feed.run(15))
    guard.keep(feed.run(1))
    assert SampleRow.objects.count() == 32 and Measurement.objects.count() == 2
    measured = Measurement.objects.last()
    assert (measured.slot, measured.version, measured.values["error_rate"]) == ("green", "v1.2.5", 0)
    assert set(current(watched)) == {rule.name for rule in watched.environment.policy.rules}
    assert current(watched)["Answers"].verdict == "pass" and not rollbacks(watched)


def test_what_concerns_no_deployment_is_kept_and_not_judged(watched, feed, staging):
    other = staging.slots.first().instances.get()
    Guard().keep([(other.pk, sample) for _, sample in feed.run(5, **HARD)])
    assert SampleRow.objects.filter(instance=other).count() == 10
    assert not Measurement.objects.exists() and not VerdictRow.objects.exists() and not rollbacks(watched)


def test_a_changed_verdict_is_a_new_row_with_a_record_an_unchanged_one_is_not(watched, feed):
    guard = Guard()
    guard.keep(feed.run(15))
    first = current(watched)["Critical components"]
    audited = len(trail("deployment.verdict"))
    guard.keep(feed.run(1))
    again = current(watched)["Critical components"]
    assert again.pk == first.pk and again.at > first.at and again.since == first.since
    assert len(trail("deployment.verdict")) == audited
    warned = (Component("database:responseTime", "warn", "40 ms"),)
    guard.keep(feed.run(1, components=warned))
    changed = current(watched)["Critical components"]
    assert (changed.verdict, first.verdict) == ("warn", "pass") and changed.pk != first.pk
    assert VerdictRow.objects.get(pk=first.pk).is_current is False
    (record,) = [one for one in trail("deployment.verdict") if one.after["rule"] == "Critical components"]
    assert (record.before, record.after["verdict"]) == ({"verdict": "pass"}, "warn")
    assert record.actor_name == "guard" and "database:responseTime" in record.reason


def test_a_first_pass_is_no_news(watched, feed):
    Guard().keep(feed.run(15))
    assert {"pass"} & {row.verdict for row in current(watched).values()}
    assert "pass" not in {record.after["verdict"] for record in trail("deployment.verdict")}


def test_a_hard_failure_rolls_back_once_however_often_it_is_seen(watched, feed):
    guard = Guard()
    guard.keep(feed.run(15))
    began = time.time()
    for _ in range(3):
        guard.keep(feed.run(1, **HARD))
    (rollback,) = rollbacks(watched)
    failing = fresh(watched)
    assert (failing.status, rollback.requested_by_name, rollback.status) == ("failing", "guard", "pending")
    assert rollback.reason == failing.failure_reason and rollback.reason.startswith("Position mismatch: ")
    assert watched.promoted_at <= rollback.fault_after <= timezone.now() and rollback.fault_after.timestamp() < began
    assert len(trail("deployment.rolled_back")) == 1
    assert current(watched)["Position mismatch"].verdict == "fail"


@pytest.mark.django_db(transaction=True)
def test_many_guards_at_once_roll_back_once(watched, feed):
    batch, barrier, errors = feed.run(16, **HARD), threading.Barrier(4), []

    def judge():
        try:
            barrier.wait()
            Guard().keep(batch)
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=judge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(rollbacks(watched)) == 1 == len(trail("deployment.rolled_back"))
    assert {type(error).__name__ for error in errors} <= {"IntegrityError"}  # one current verdict a rule


@pytest.mark.parametrize("status", ["running", "held", "watching"])
def test_it_judges_in_every_status_after_the_promotion(watched, feed, status):
    set_state(watched, status=status)
    Guard().keep(feed.run(16, **HARD))
    assert len(rollbacks(watched)) == 1


def test_it_rolls_back_what_somebody_accepted_when_a_hard_rule_fails(watched, feed):
    set_state(watched, accepted_at=timezone.now())
    Guard().keep(feed.run(16, **HARD))
    assert len(rollbacks(watched)) == 1


def test_before_the_promotion_it_measures_and_does_not_judge(watched, feed):
    set_state(watched, status="running", promoted_at=None, handover_at=None)
    Guard().keep(feed.run(16, **HARD))
    assert Measurement.objects.exists() and not VerdictRow.objects.exists() and not rollbacks(watched)


def test_a_rollback_is_not_judged(watched, feed):
    guard = Guard()
    guard.keep(feed.run(16, **HARD))
    (rollback,) = rollbacks(watched)
    set_state(rollback, status="running", promoted_at=watched.promoted_at)
    guard.keep(feed.run(2, **HARD))
    assert not VerdictRow.objects.filter(deployment=rollback).exists() and not rollbacks(rollback)


def test_a_guard_that_was_restarted_knows_what_was_before(watched, feed):
    """The fault was seen by the process that died; the next one reads it from the kept samples."""
    guards.keep_rows(feed.run(15, **HARD))
    Guard().keep(feed.run(1))
    assert len(rollbacks(watched)) == 1


def test_a_rule_that_only_recommends_leaves_the_decision_to_people(watched, feed):
    policy = watched.policy_data | {
        "rules": [{"name": "Mismatch", "kind": "position_mismatch", "action": "recommend"}],
    }
    set_state(watched, policy_data=policy)
    Guard().keep(feed.run(16, **HARD))
    assert current(watched)["Mismatch"].verdict == "fail" and not rollbacks(watched)
    assert fresh(watched).status == "watching"


def test_silence_is_no_pass(watched, feed):
    guard = Guard()
    guard.keep(feed.run(15))
    feed.story.silence(3)
    batch = feed.run(0) or [
        (feed.instance.pk, replace(one, at=one.at + feed._shift)) for one in feed.story.samples[-3:]
    ]
    guard.keep(batch)
    assert current(watched)["Answers"].verdict == "fail" and len(rollbacks(watched)) == 1


def test_a_verdict_that_cannot_be_audited_is_not_kept(watched, feed, monkeypatch):
    guard = Guard()
    guard.keep(feed.run(15))
    before = list(VerdictRow.objects.order_by("pk").values())

    def unwritable(*_, **__):
        raise OSError("the trail cannot be written")

    monkeypatch.setattr(guards, "record", unwritable)
    guard.keep(feed.run(1, **HARD))
    assert list(VerdictRow.objects.order_by("pk").values()) == before and not rollbacks(watched)
    monkeypatch.undo()
    guard.keep(feed.run(1, **HARD))
    assert current(watched)["Position mismatch"].verdict == "fail" and len(rollbacks(watched)) == 1


def test_trouble_with_one_deployment_does_not_keep_the_others_from_being_judged(watched, feed, staging):
    """Staging has a policy that this version does not know; production is guarded nevertheless."""
    broken, other = fresh(watched), staging.slots.get(name="green")
    broken.pk, broken.environment, broken.to_slot = None, staging, other
    broken.save()
    set_state(broken, policy_data={"watch_seconds": "soon"})
    staging.live_slot = other
    staging.save()
    batch = feed.run(16, **HARD)
    mine = other.instances.get()
    Guard().keep([*batch, *[(mine.pk, sample) for _, sample in batch]])
    assert Measurement.objects.filter(deployment=broken).exists()
    assert len(rollbacks(watched)) == 1


def test_a_measurement_leaves_out_what_ran_in_the_slot_before(watched, feed):
    guard = Guard()
    earlier = [(key, replace(one, version="v1.2.6")) for key, one in feed.run(3, errors=0.5)]
    feed.story.restart()
    guard.keep([*earlier, *((key, replace(one, version="v1.2.5")) for key, one in feed.run(1))])
    assert Measurement.objects.get().values["error_rate"] == 0
