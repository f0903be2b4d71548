"""Deployments in every state, with what the engine, the guard and the sampler would have written."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.actions import record
from audit.actors import system
from deployments.models import Deployment, Measurement, Release, Step, Trade, VerdictRow
from deployments.states import Status, StepStatus
from deployments.strategies import ROLLBACK, STRATEGIES, PlanInput
from environments.models import Environment, SampleRow, Slot

CHECKS = {
    "exchange:connection": "14 ms",
    "node:blockLag": "0 blocks",
    "state_builder:lag": "38 ms",
    "strategies:running": "2 of 2",
    "database:responseTime": "0.4 ms",
}
BOUNDS = [0.5 * 1.2**n / 1000 for n in range(40)]


def live(environment: Environment, slot: str, version: str, other: str = "") -> Environment:
    """One slot serves and trades a version; the other one stands by with another version, or is stopped."""
    for item in environment.slots.all():
        is_live = item.name == slot
        item.version = version if is_live else other
        item.role = Slot.Role.LIVE if is_live else (Slot.Role.STANDBY if other else Slot.Role.STOPPED)
        item.save()
        if is_live:
            environment.live_slot = environment.writer_slot = item
    environment.desired_weights = {item.name: 100 if item.name == slot else 0 for item in environment.slots.all()}
    environment.traffic_epoch = environment.writer_epoch = 17
    environment.save()
    return environment


def data(
    role: str, seconds: int, *, errors: int = 0, failing: str = "", warning: str = "", **more: Any
) -> dict[str, Any]:
    """A sample of a process that has served 250 requests a second for some seconds."""
    requests = 250 * seconds
    status = {failing: "fail", warning: "warn"}
    components = [
        {"name": name, "status": status.get(name, "pass"), "detail": detail} for name, detail in CHECKS.items()
    ]
    buckets = [[bound, int(requests * (1 - math.exp(-bound / 0.0022)))] for bound in BOUNDS] + [["+Inf", requests]]
    return {
        "at": 0.0,
        "ok": True,
        "error": "",
        "version": "",
        "components": components,
        "requests_ok": requests - errors,
        "requests_error": errors,
        "latency_buckets": buckets,
        "trades_win": int(seconds * 0.57),
        "trades_loss": int(seconds * 0.43),
        "trades_failed": 0,
        "mismatches": 0,
        "breaker_open": False,
        "role": role,
        "epoch": 17,
        "started_at": 1000.0,
        "open_positions": 3,
        "open_orders": 2,
        "extra": {},
        **more,
    }


def sampled(slot: Slot, role: str, *, seconds: int = 70, age: float = 0.4, every: int = 5, **more: Any) -> None:
    """Samples of every instance of a slot, the newest ``age`` seconds old."""
    now = timezone.now() - timedelta(seconds=age)
    for instance in slot.instances.all():
        SampleRow.objects.bulk_create(
            SampleRow(instance=instance, at=now - timedelta(seconds=back), ok=True, data=data(role, 600 - back, **more))
            for back in range(seconds - seconds % every, -1, -every)
        )


def silent(slot: Slot, error: str = "timeout") -> None:
    """The newest sample of each instance says that it did not answer."""
    for instance in slot.instances.all():
        row = {**data("", 0), "ok": False, "error": error, "components": [], "latency_buckets": []}
        SampleRow.objects.create(instance=instance, at=timezone.now(), ok=False, data=row)


def deployment(
    environment: Environment, old: Release | None, new: Release, at: int, status: Status, **fields: Any
) -> Deployment:
    """A blue/green deployment whose first ``at`` steps are done; the next one runs unless it is over."""
    started = timezone.now() - timedelta(seconds=fields.pop("age", 135))
    slots = {slot.name: slot for slot in environment.slots.all()}
    created = Deployment.objects.create(
        environment=environment,
        from_release=old,
        to_release=new,
        from_slot=slots.get(fields.pop("from_slot", "blue")),
        to_slot=slots[fields.pop("to_slot", "green")],
        strategy="blue_green",
        status=status,
        reason=fields.pop("reason", "Slippage fix, tested on staging"),
        requested_by_name="Ada Admin",
        policy_data=environment.policy_data,
        created_at=started - timedelta(seconds=1),
        started_at=started,
        **fields,
    )
    policy = environment.policy
    given = PlanInput("blue", "green", new.version, False, policy.watch_seconds, policy.stable_seconds)
    planned = ROLLBACK.plan(given) if created.reverts_id else STRATEGIES["blue_green"].plan(given)
    for index, spec in enumerate(planned):
        _step(created, index, spec, at, started)
    return created


def _step(created: Deployment, index: int, spec: Any, at: int, started: Any) -> Step:
    is_over = created.status in (Status.SUCCEEDED, Status.ROLLED_BACK, Status.FAILED, Status.ABORTED, Status.FAILING)
    begun = started + timedelta(seconds=index * 4)
    state, finished = StepStatus.PENDING, None
    if index < at:
        state, finished = StepStatus.SUCCEEDED, begun + timedelta(seconds=3.2)
    elif is_over:
        state = StepStatus.SKIPPED
    elif index == at:
        state = StepStatus.RUNNING
    step = Step.objects.create(
        deployment=created,
        index=index,
        name=spec.name,
        title=spec.title,
        params=spec.params,
        status=state,
        started_at=begun if state in (StepStatus.SUCCEEDED, StepStatus.RUNNING) else None,
        finished_at=finished,
    )
    if finished:
        event(created, "deployment.step_succeeded", "It did what it should.", title=spec.title)
    return step


def event(subject: Deployment, action: str, reason: str = "", outcome: str = "done", **after: Any) -> None:
    """An audit record of a deployment."""
    with transaction.atomic():
        record(
            system("engine"),
            action,
            subject,
            environment=subject.environment.name,
            reason=reason,
            outcome=outcome,
            after=after or None,
        )


def verdict(subject: Deployment, rule: str, kind: str, found: str, reason: str, **fields: Any) -> VerdictRow:
    """The verdict of one rule, current unless said otherwise."""
    since = timezone.now() - timedelta(seconds=fields.pop("age", 20))
    if found != "pass":
        event(subject, "deployment.verdict", reason, rule=rule, verdict=found)
    return VerdictRow.objects.create(
        deployment=subject,
        rule=rule,
        kind=kind,
        verdict=found,
        action=fields.pop("action", "rollback"),
        reason=reason,
        since=since,
        at=timezone.now(),
        **fields,
    )


def all_pass(subject: Deployment) -> None:
    """Every rule of the policy passes, but the win rate has too few trades."""
    for rule in subject.environment.policy.rules:
        if rule.kind == "win_rate":
            verdict(subject, rule.name, rule.kind, "no_data", "7 of 30 trades", unit="share", action="recommend")
        else:
            verdict(subject, rule.name, rule.kind, "pass", "", supported=True)


def measured(subject: Deployment, version: str, *, seconds: int = 30, errors: float = 0.001, p99: float = 10.2) -> None:
    """Half a second apart: error rate, p99, win rate."""
    now = timezone.now()
    Measurement.objects.bulk_create(
        Measurement(
            deployment=subject,
            at=now - timedelta(seconds=back / 2),
            slot=subject.to_slot.name,
            version=version,
            values={
                "requests": 1250,
                "errors": int(1250 * errors),
                "error_rate": max(0.0, errors * (1 + 0.4 * math.sin(back / 3))),
                "latency_p99_ms": p99 * (1 + 0.08 * math.sin(back / 5)),
                "win_rate": 0.57 + 0.03 * math.sin(back / 9),
                "trades": 3,
                "mismatches": 0,
            },
        )
        for back in range(seconds * 2, -1, -1)
    )


BASELINE = {
    "requests": 15000,
    "errors": 15,
    "error_rate": 0.001,
    "latency_p99_ms": 10.0,
    "win_rate": 0.57,
    "trades": 60,
    "from_at": 1000.0,
    "to_at": 1060.0,
}


def promoted(environment: Environment, old: Release, new: Release, **fields: Any) -> Deployment:
    """Live on green since a while and being watched, all rules pass."""
    live(environment, "green", new.version, old.version)
    slots = {slot.name: slot for slot in environment.slots.all()}
    sampled(slots["green"], "ACTIVE")
    sampled(slots["blue"], "STANDBY")
    now = timezone.now()
    found = deployment(
        environment,
        old,
        new,
        fields.pop("at", 8),
        fields.pop("status", Status.WATCHING),
        handover_at=now - timedelta(seconds=13),
        promoted_at=now - timedelta(seconds=12),
        shift_ms=41.2,
        writer_gap_ms=388.0,
        baseline=BASELINE,
        **fields,
    )
    event(found, "traffic.shift", outcome="done", weights={"blue": 0, "green": 100}, epoch=17)
    event(found, "writer.role", slot="green", role="ACTIVE", epoch=17)
    trades(found)
    return found


def trades(subject: Deployment, count: int = 7) -> None:
    """Trades of the new live slot."""
    now = timezone.now()
    Trade.objects.bulk_create(
        Trade(
            deployment=subject,
            instance="production-green-1",
            trade_id=str(number),
            at=now - timedelta(seconds=number * 1.7),
            strategy=("geometry", "kinematics")[number % 2],
            symbol=("BTC", "ETH", "SOL")[number % 3],
            side=("buy", "sell")[number % 2],
            size=("0.0012", "0.031", "1.4")[number % 3],
            price=("97230.5", "3405.2", "241.37")[number % 3],
            pnl=("1.84", "-0.92", "0.31")[number % 3],
            outcome=("win", "loss", "win")[number % 3],
        )
        for number in range(count)
    )


def watching(environment: Environment, old: Release, new: Release) -> Deployment:
    """Watching, everything within its limits."""
    found = promoted(environment, old, new)
    all_pass(found)
    measured(found, new.version)
    return found


def recommended(environment: Environment, old: Release, new: Release) -> Deployment:
    """Watching, latency beyond its limit: a rollback is recommended and somebody must decide."""
    found = promoted(environment, old, new)
    all_pass(found)
    found.verdicts.filter(kind="latency").delete()
    reason = "p99 61.2 ms is 6.1 × baseline (10.0 ms), limit 5 × (50.0 ms)"
    verdict(
        found,
        "Latency p99",
        "latency",
        "fail",
        reason,
        action="recommend",
        supported=True,
        value=61.2,
        baseline=10.0,
        limit=50.0,
    )
    verdict(found, "Error rate", "error_rate", "warn", "1.2 % of 96 requests", age=40, is_current=False)
    measured(found, new.version, p99=61.2)
    return found


def running(environment: Environment, old: Release, new: Release) -> Deployment:
    """Smoke tests run; the old version serves."""
    live(environment, "blue", old.version)
    slots = {slot.name: slot for slot in environment.slots.all()}
    Slot.objects.filter(pk=slots["green"].pk).update(role=Slot.Role.PREVIEW, version=new.version)
    sampled(slots["blue"], "ACTIVE")
    sampled(slots["green"], "STANDBY", seconds=10)
    found = deployment(environment, old, new, 3, Status.RUNNING, age=9)
    measured(found, old.version, seconds=9)
    return found


def held(environment: Environment, old: Release, new: Release) -> Deployment:
    """Held before the promotion."""
    found = running(environment, old, new)
    found.status, found.held_at = Status.HELD, timezone.now() - timedelta(seconds=4)
    found.save()
    event(found, "deployment.held", "Looking closer", status="held")
    return found


def failed(environment: Environment, old: Release, new: Release) -> Deployment:
    """The smoke tests failed; it never got traffic."""
    live(environment, "blue", old.version)
    slots = {slot.name: slot for slot in environment.slots.all()}
    sampled(slots["blue"], "ACTIVE")
    found = deployment(environment, old, new, 3, Status.FAILED, finished_at=timezone.now() - timedelta(seconds=60))
    why = "1 of 6 smoke tests failed: strategy parameters: kinematics.range_threshold is −0.015, must be above 0"
    found.steps.filter(index=3).update(
        status=StepStatus.FAILED, detail=why, started_at=timezone.now(), finished_at=timezone.now()
    )
    found.failure_reason = f"Smoke tests: {why}"
    found.save()
    event(found, "deployment.step_failed", why, outcome="failed", title="Smoke tests")
    return found


def rolled_back(environment: Environment, old: Release, new: Release) -> tuple[Deployment, Deployment]:
    """Errors after the promotion: back by itself. The failed deployment and its rollback."""
    found = promoted(environment, old, new, status=Status.ROLLED_BACK)
    all_pass(found)
    found.verdicts.filter(kind="error_rate").delete()
    reason = "5.1 % of 412 requests failed, limit 1 %"
    verdict(
        found,
        "Error rate",
        "error_rate",
        "fail",
        reason,
        supported=True,
        value=0.051,
        baseline=0.001,
        limit=0.01,
        unit="share",
    )
    measured(found, new.version, errors=0.051)
    now = timezone.now()
    found.failure_reason = f"Error rate: {reason}"
    found.fault_after, found.traffic_back_at = now - timedelta(seconds=8.9), now - timedelta(seconds=8)
    found.finished_at = now - timedelta(seconds=6)
    found.save()
    back = _way_back(found)
    live(environment, "blue", old.version)
    sampled(environment.slots.get(name="blue"), "ACTIVE")
    return found, back


def _way_back(found: Deployment) -> Deployment:
    """The finished rollback of a deployment."""
    assert found.from_release is not None
    return deployment(
        found.environment,
        found.to_release,
        found.from_release,
        5,
        Status.SUCCEEDED,
        age=8,
        reverts=found,
        reason=found.failure_reason,
        from_slot="green",
        to_slot="blue",
        promoted_at=found.traffic_back_at,
        handover_at=found.traffic_back_at,
        traffic_back_at=found.traffic_back_at,
        finished_at=found.finished_at,
    )


def succeeded(environment: Environment, old: Release, new: Release) -> Deployment:
    """Marked successful."""
    found = promoted(
        environment, old, new, at=11, status=Status.SUCCEEDED, finished_at=timezone.now() - timedelta(seconds=3)
    )
    all_pass(found)
    measured(found, new.version)
    return found
