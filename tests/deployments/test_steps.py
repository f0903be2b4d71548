"""The steps against real processes: a supervisord, HAProxy, the paper exchange and the paper trading system."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from demo.releases import PLANS, build_release
from deployments import actions, engine
from deployments.clock import db_now
from deployments.lease import LeaseLost, claim
from deployments.models import Deployment, Release
from deployments.steps.base import Context, Done, Failed, Wait
from deployments.steps.hand_over import Activate, HandOver
from deployments.steps.prepare import SmokeTest
from deployments.steps.shift_traffic import RestoreLive
from deployments.steps.slots import SlotIsLive, StartSlot, StopSlot, WaitHealthy
from environments import adapters
from environments.models import Environment, Instance, Slot
from environments.probe import Prober
from environments.sampling import keep_rows, plans
from environments.target import TargetError, TargetUnreachable
from tests.cast import report_all
from tests.deployments.toys import fresh, set_state
from tests.deployments.world import until

REASON = "Because"
BLUE, GREEN = "production-blue-1", "production-green-1"


@pytest.fixture
def trading(world):
    """The exchange runs; whatever instance a test starts is gone after it."""
    world.trade()
    yield world
    world.stop_instances()


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    """Releases of the paper trading system: two good ones, one that does not start, one whose orders are too small."""
    folder, small = tmp_path_factory.mktemp("releases"), {"strategies": {"kinematics": {"order_usd": 6}}}
    plans = [*PLANS[:2], next(plan for plan in PLANS if plan.version == "v1.2.9")]
    return [*(build_release(plan, folder) for plan in plans), build_release(replace(PLANS[2], config=small), folder)]


@pytest.fixture
def releases(system, artifacts) -> list[Release]:
    for built in artifacts:
        report_all(system, built.digest)
    return [
        Release.objects.create(
            service=system,
            version=built.version,
            artifact=str(built.path),
            digest=built.digest,
            rollback_plan=built.rollback_plan,
        )
        for built in artifacts
    ]


@pytest.fixture
def preview(trading, releases, serve, ada, production):
    """A deployment over a live slot that is only said to run: the real v1.2.5 is to start on green."""
    serve("v1.2.3")
    return actions.start(ada, production, releases[1], "blue_green", REASON)


def client(name: str):
    return adapters.client(Instance.objects.get(name=name), read_timeout=1.0)


def role(name: str) -> str:
    try:
        return client(name).state().role
    except TargetError:
        return "gone"


def pid(name: str) -> int | None:
    instance = Instance.objects.get(name=name)
    return adapters.driver(instance.slot.environment).status(adapters.instance_spec(instance)).pid


def context(deployment: Deployment, **params) -> Context:
    """A look at some step of a deployment by whoever takes it over now."""
    set_state(deployment, lease_expires_at=None, due_at=db_now() - timedelta(seconds=1))
    lease, step = claim(deployment.pk), deployment.steps.first()
    step.params, step.started_at = params, db_now()
    return Context(fresh(deployment), step, lease.epoch, db_now())


def sample(environment: Environment) -> None:
    """One probe of every instance that is to be sampled, kept."""

    async def probe():
        async with Prober() as prober:
            return await prober.sample_all(specs)

    specs = [plan.spec for plan in plans(lambda _: True).values() if plan.spec.key in wanted(environment)]
    keep_rows(list(asyncio.run(probe()).items()))


def wanted(environment: Environment) -> set[int]:
    return set(Instance.objects.filter(slot__environment=environment).values_list("pk", flat=True))


def drive(deployment: Deployment, *statuses: str) -> Deployment:
    """Carry on, with a probe before each look, until a status is reached."""

    def look():
        sample(deployment.environment)
        engine.advance(deployment.pk)
        return fresh(deployment).status in statuses

    until(look, f"deployment {deployment.pk} is {' or '.join(statuses)}", seconds=40)
    return fresh(deployment)


def served_version(world) -> str:
    return httpx.get(f"http://127.0.0.1:{world.ports['production']}/healthz", timeout=3).json()["version"]


class WriterWatch:
    """Looks all the time whether two slots trade at once: blue before and after green."""

    def __init__(self) -> None:
        self._clients, self._stop, self.looks, self.both = (client(BLUE), client(GREEN)), threading.Event(), 0, 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> WriterWatch:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            blue, green = self._clients
            active = [self._active(one) for one in (blue, green, blue)]
            self.looks, self.both = self.looks + 1, self.both + all(active)

    @staticmethod
    def _active(one) -> bool:
        try:
            return one.state().role == "ACTIVE"
        except TargetError:
            return False


def test_a_release_takes_over_and_a_rollback_brings_the_earlier_one_back(trading, releases, ada, production, changes):
    first = drive(actions.start(ada, production, releases[0], "blue_green", REASON), "succeeded")
    assert (first.to_slot.name, role(BLUE), served_version(trading)) == ("blue", "ACTIVE", "v1.2.4")
    with WriterWatch() as writers:
        second = drive(
            actions.start(ada, fresh(first).environment, releases[1], "blue_green", REASON), "watching", "failed"
        )
        assert second.status == "watching", second.failure_reason
        assert (role(BLUE), role(GREEN), served_version(trading)) == ("STANDBY", "ACTIVE", "v1.2.5")
        assert second.writer_gap_ms is not None and second.baseline["answered"] >= 2
        rollback = drive(actions.roll_back(ada, second, REASON), "succeeded", "failed")
        assert rollback.status == "succeeded", rollback.failure_reason
    assert (role(BLUE), pid(GREEN), served_version(trading)) == ("ACTIVE", None, "v1.2.4")
    assert fresh(second).status == "rolled_back" and rollback.steps.first().name == "shift_traffic"
    assert writers.both == 0 and writers.looks > 10


def test_a_worker_that_slept_past_its_lease_starts_and_stops_nothing(preview):
    """Nothing outside fences a process; so the lease is looked at once more right before."""
    ctx = context(preview, slot="green")
    assert isinstance(StartSlot().run(ctx), Done) and (alive := pid(GREEN))
    context(preview)  # somebody took it over
    for step in (StopSlot(), StartSlot()):
        with pytest.raises(LeaseLost):
            step.run(ctx)
    until(lambda: role(GREEN) == "STANDBY", "green answers")
    os.kill(alive, signal.SIGSTOP)
    ctx.step.params = {"from": "green", "to": "", "force": True}
    with pytest.raises(LeaseLost):
        HandOver().run(ctx)
    os.kill(alive, signal.SIGCONT)
    assert pid(GREEN) == alive


def test_a_rollback_kills_who_does_not_obey_and_nobody_trades_before(preview):
    ctx = context(preview, slot="green")
    StartSlot().run(ctx)
    until(lambda: role(GREEN) == "STANDBY", "green answers")
    client(GREEN).set_role("ACTIVE", ctx.epoch, actor="test", reason="test")
    ctx.step.params = {"slot": "blue", "fence": "green"}
    with pytest.raises(TargetUnreachable, match="green-1 is still ACTIVE"):
        Activate().run(ctx)
    os.kill(pid(GREEN), signal.SIGSTOP)
    with pytest.raises(TargetUnreachable, match="does not answer .* and its process is alive"):
        Activate().run(ctx)
    ctx.step.params = {"from": "green", "to": ""}
    with pytest.raises(TargetUnreachable):  # without force it is tried again, nothing is killed
        HandOver().run(ctx)
    assert pid(GREEN)
    ctx.step.params["force"] = True
    assert "production-green-1 did not obey and was killed" in HandOver().run(ctx).detail
    assert pid(GREEN) is None


def test_after_an_abort_nobody_trades_twice(preview):
    """A rollback that had failed may have left the other slot trading."""
    ctx = context(preview, slot="green")
    StartSlot().run(ctx)
    until(lambda: role(GREEN) == "STANDBY", "green answers")
    client(GREEN).set_role("ACTIVE", ctx.epoch, actor="test", reason="test")
    environment = ctx.environment
    environment.writer_slot = environment.slots.get(name="green")
    environment.save()
    ctx = context(preview, slot="blue")
    RestoreLive().prepare(ctx)
    with pytest.raises(TargetUnreachable, match="production-green-1 is still ACTIVE"):
        RestoreLive().run(ctx)
    assert Environment.objects.get(pk=environment.pk).writer_slot.name == "green"
    client(GREEN).set_role("STANDBY", ctx.epoch, actor="test", reason="test")
    with pytest.raises(TargetUnreachable, match="blue-1|nobody listens"):  # blue does not run in this test
        RestoreLive().run(ctx)


def test_the_slot_that_serves_or_trades_is_never_started_or_stopped(serve, begin):
    deployment = begin()
    ctx = context(deployment, slot="blue")
    with pytest.raises(SlotIsLive):
        StartSlot().prepare(ctx)
    for step in (StartSlot(), StopSlot()):
        with pytest.raises(SlotIsLive):
            step.run(ctx)
    assert Slot.objects.get(pk=deployment.from_slot_id).version == "v1.2.4"


def test_a_process_that_does_not_start_fails_the_step_with_its_last_words(preview, releases):
    ctx = context(preview, slot="green")
    ctx.deployment.to_release = releases[2]
    StartSlot().run(ctx)
    outcome = until(lambda: isinstance(found := WaitHealthy().run(ctx), Failed) and found, "the step fails")
    ended, _, said = outcome.reason.partition(": ")
    # The second is what the supervisor says of a process that takes more than a second to fail.
    assert ended.removeprefix("production-green-1 ended ") in ("right after its start", "with exit status 2")
    assert said == (
        "trading system cannot start: "
        "/strategies/kinematics/order_usd: must be a number from 0.01 to 1e+06, got '60 USD'"
    )
    ctx.deployment.started_at = ctx.now + timedelta(minutes=1)  # what is in its log is from an earlier time
    assert WaitHealthy().run(ctx).reason.endswith(" without a word")


def test_what_was_stopped_did_not_end_by_itself_whatever_it_did_before(preview):
    ctx = context(preview, slot="green")
    StartSlot().run(ctx)
    spec = adapters.instance_spec(ctx.instances()[0])
    adapters.driver(ctx.environment).stop(spec)
    with (spec.state_dir.parent / "started.jsonl").open("a") as starts:
        starts.write('{"pid": 1, "release": "one"}\n{"pid": 2, "release": "one"}\n')
    assert adapters.driver(ctx.environment).status(spec).restarts > 0
    assert isinstance(WaitHealthy().run(ctx), Wait)


def test_a_smoke_test_that_fails_says_which_and_why(preview, releases):
    ctx = context(preview, slot="green")
    ctx.deployment.to_release = releases[3]
    StartSlot().run(ctx)
    until(lambda: role(GREEN) == "STANDBY", "green answers")
    outcome = SmokeTest().run(ctx)
    assert isinstance(outcome, Failed) and outcome.reason.startswith("1 of 6 smoke tests failed: order_dry_run: ")
    assert "strategies.kinematics.order_usd = 6" in outcome.reason and "minimum of 10 USD" in outcome.reason


def test_a_slot_counts_as_healthy_after_so_many_readings_in_a_row(preview):
    ctx = context(preview, slot="green")
    outcome = WaitHealthy().run(ctx)
    assert isinstance(outcome, Wait) and outcome.data == {"passes": 0} and "nobody listens" in outcome.detail
    StartSlot().run(ctx)
    until(lambda: role(GREEN) == "STANDBY", "green answers")
    until(lambda: WaitHealthy().run(ctx).data == {"passes": 1}, "green is healthy")
    ctx.step.data = {"passes": 2}
    assert isinstance(WaitHealthy().run(ctx), Done) and client(GREEN).state().epoch == ctx.epoch
    ctx.deployment.to_release = ctx.deployment.from_release
    again = WaitHealthy().run(ctx)
    assert again.data == {"passes": 0} and "reports v1.2.5 instead of v1.2.3" in again.detail
    ctx.step.started_at = ctx.now - timedelta(seconds=31)
    assert isinstance(WaitHealthy().run(ctx), Failed)
