"""Leave to trade: asked for by one, given by another, carried out and read back, with a real trading system."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.domain import InvalidRequest, NotWaiting, RequestExpired, SubjectChanged
from accounts.errors import Forbidden, NotYours, OwnRequest
from audit.models import Record
from environments.models import Environment, SampleRow
from tests.trading import breaker_world
from trading import breakers, carrying_out, clearance_checks, clearances
from trading.carrying_out import ClearanceWatch, carry_out, carry_out_all
from trading.errors import ChecksBlock, Latched, WrongState
from trading.models import Clearance, EmergencyStop
from trading.questions import Given
from trading.stop import latch as latch_file

pytestmark = pytest.mark.django_db
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
BLUE, GREEN = breaker_world.BLUE, breaker_world.GREEN
YES = {key: Given("yes", "Looked") for key in ("fixed", "legitimate", "healthy")}
RELEASE_YES = {key: Given("yes", "Looked") for key in ("reason", "flat", "reconciled", "version")}


@pytest.fixture
def ada(scene, admin, actor_of):
    return actor_of(admin)


@pytest.fixture
def alan(scene, person, actor_of):
    return actor_of(person("alan", "Admin"))


@pytest.fixture
def reset(scene, ada):
    """Tripped by hand, answered, reset: halted, and everything is there for resuming."""
    (trip,) = breakers.trip(ada, scene.environment, "Odd fills")
    breakers.validate(ada, trip, YES)
    breakers.reset(ada, trip, "Fixed")
    scene.sample()
    return trip


@pytest.fixture
def asked(scene, reset, ada):
    return clearances.request_resume(ada, scene.environment, "Fixed the feed")


@pytest.fixture
def stopped(scene, stops, ada):
    """The kill switch is engaged: latched in the console and in the instance, flat."""
    now = timezone.now()
    stop = EmergencyStop.objects.create(
        environment=scene.environment,
        actor=ada.user,
        actor_name=ada.name,
        via="page",
        reason="Runaway",
        pressed_at=now,
        finished_at=now,
        outcome="FLAT",
    )
    held = latch_file.Latch(str(stop.pk), "production", now.timestamp(), ada.name)
    latch_file.engage(stops / "production", held)
    Environment.objects.filter(pk=scene.environment.pk).update(latched_at=now)
    scene.press()
    assert scene.client().state().latched and scene.role() == "HALTED"
    return stop


def finish(clearance: Clearance, looks: int = 400) -> Clearance:
    """What the monitor does until it is done."""
    from threading import Event

    for _ in range(looks):
        clearance = carry_out(clearance)
        if not clearance.is_under_way:
            return clearance
        Event().wait(0.05)
    raise AssertionError(clearance.detail)


def outcomes(action: str) -> list[str]:
    return list(Record.objects.filter(action=action).order_by("id").values_list("outcome", flat=True))


def test_from_the_trip_to_trading_again(scene, asked, ada, alan):
    before = Environment.objects.get(pk=scene.environment.pk).writer_epoch
    assert scene.role() == "HALTED" and list(clearances.waiting_for(alan.user)) == [asked]
    approved = clearances.approve(alan, asked, asked.subject, "Looked at it")
    assert (approved.status, approved.done_at) == ("approved", None) and scene.role() == "HALTED"
    assert carry_out_all() == 1
    done = Clearance.objects.get()
    assert done.done_at and not done.failed_at and scene.role() == "ACTIVE"
    epoch = Environment.objects.get(pk=scene.environment.pk).writer_epoch
    assert epoch > before and scene.client().state().epoch == epoch
    assert f"{BLUE} read back as ACTIVE under epoch {epoch}" in done.detail
    assert outcomes("trading.resumed") == ["intent", "done"]
    intent = Record.objects.filter(action="trading.resumed").order_by("id").first()
    assert "Ada Admin, approved by Alan Admin" in intent.reason and intent.before == {"epoch": before}
    assert carry_out_all() == 0 and not clearances.waiting_for(alan.user).exists()


def test_nobody_decides_on_an_own_request(asked, ada):
    for act in (lambda: clearances.approve(ada, asked, asked.subject), lambda: clearances.reject(ada, asked, "No")):
        with pytest.raises(OwnRequest, match="another person must approve"):
            act()
    assert Clearance.objects.get().is_waiting and outcomes("access.denied") == ["denied", "denied"]
    assert not clearances.waiting_for(ada.user).exists()


@pytest.mark.parametrize("role", ["Operator", "Developer"])
def test_only_who_may_resume_asks_or_decides(scene, asked, person, actor_of, role):
    actor = actor_of(person("olga", role))
    for act in (
        lambda: clearances.request_resume(actor, scene.environment, "Please"),
        lambda: clearances.approve(actor, asked, asked.subject),
        lambda: clearances.reject(actor, asked, "No"),
        lambda: clearances.withdraw(actor, asked),
    ):
        with pytest.raises(Forbidden, match="It takes: Admin"):
            act()
    assert Clearance.objects.get().is_waiting and not clearances.waiting_for(actor.user).exists()


def test_a_changed_state_lets_the_request_fall(scene, asked, alan):
    scene.client().trip_breaker(actor="the system", reason="Again")
    with pytest.raises(SubjectChanged, match=f"circuit breaker of {BLUE}: closed, now open"):
        clearances.approve(alan, asked, asked.subject)
    fallen = Clearance.objects.get()
    assert fallen.status == "fell" and fallen.changes == [
        {"member": f"instances.{BLUE}.breaker", "from": "closed", "to": "open"}
    ]
    assert outcomes("clearance.fell") == ["done"] and carry_out_all() == 0 and scene.role() == "HALTED"
    with pytest.raises(SubjectChanged):
        clearances.approve(alan, fallen, asked.subject)


def test_the_monitor_lets_it_fall_too(scene, asked):
    scene.client().trip_breaker(actor="the system", reason="Again")
    ClearanceWatch().look()
    assert Clearance.objects.get().status == "fell"


def test_what_does_not_answer_is_no_change_and_no_ground(scene, asked, alan):
    scene.stop()
    assert clearances.settle(clearances.REVIEW, asked).is_waiting


def test_another_hash_than_the_one_seen_does_nothing(asked, alan):
    with pytest.raises(SubjectChanged, match="not the request that you saw"):
        clearances.approve(alan, asked, "0" * 64)
    assert Clearance.objects.get().is_waiting


def test_an_expired_request_is_over(asked, alan):
    Clearance.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert not clearances.waiting_for(alan.user).exists()
    with pytest.raises(RequestExpired, match="ask again"):
        clearances.approve(alan, asked, asked.subject)
    assert Clearance.objects.get().status == "expired" and outcomes("clearance.expired") == ["done"]


def test_of_two_who_decide_one_does(asked, alan, person, actor_of):
    grace = actor_of(person("grace", "Admin"))
    clearances.reject(grace, asked, "Not yet")
    with pytest.raises(NotWaiting, match="Grace Admin has decided already: rejected"):
        clearances.approve(alan, asked, asked.subject)
    assert outcomes("clearance.rejected") == ["done"] and not outcomes("clearance.approved")


def test_the_same_approval_again_is_no_error(asked, alan):
    clearances.approve(alan, asked, asked.subject)
    assert clearances.approve(alan, asked, asked.subject).status == "approved"
    assert outcomes("clearance.approved") == ["done"]


def test_who_asked_takes_it_back(asked, ada, alan):
    with pytest.raises(NotYours):
        clearances.withdraw(alan, asked)
    assert clearances.withdraw(ada, asked, "Not yet").status == "withdrawn"
    assert outcomes("clearance.withdrawn") == ["done"]


def test_one_request_at_a_time(scene, asked, alan):
    with pytest.raises(WrongState, match="Ada Admin has asked for it already"):
        clearances.request_resume(alan, scene.environment, "Me too")
    Clearance.objects.update(expires_at=timezone.now())
    assert clearances.request_resume(alan, scene.environment, "Me too").pk != asked.pk


def test_a_reason_is_needed(scene, reset, ada):
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(InvalidRequest):
            clearances.request_resume(ada, scene.environment, reason)


def test_what_stands_against_it_blocks(scene, reset, ada, monkeypatch):
    def refused() -> str:
        with pytest.raises(ChecksBlock) as error:
            clearances.request_resume(ada, scene.environment, "Fixed")
        return " ".join(one["check"] for one in error.value.reasons)

    SampleRow.objects.all().delete()
    assert refused() == "positions", "no data is no ground"
    scene.sample(mismatches=2)
    assert refused() == "positions"
    SampleRow.objects.all().delete()
    scene.sample()
    monkeypatch.setattr(clearance_checks, "_under_way", [lambda environment: f"A deployment of {environment} runs."])
    assert refused() == "writer"
    monkeypatch.undo()
    scene.client().trip_breaker(actor="the system", reason="Again")
    assert refused() == "breaker"


def test_where_everything_trades_there_is_nothing_to_resume(scene, ada):
    with pytest.raises(ChecksBlock, match="blue trades already"):
        clearances.request_resume(ada, scene.environment, "Fixed")


def test_the_kill_switch_blocks_resuming(scene, stopped, ada):
    with pytest.raises(Latched, match="Release it on the page of the kill switch first"):
        clearances.request_resume(ada, scene.environment, "Fixed")


def test_a_press_after_the_approval_wins(scene, stops, asked, alan):
    clearances.approve(alan, asked, asked.subject)
    latch_file.engage(stops / "production", latch_file.Latch("1", "production", 1.0, "ada"))
    failed = carry_out(asked)
    assert failed.failed_at and "kill switch of production is engaged" in failed.detail and scene.role() == "HALTED"
    assert carry_out_all() == 0, "it is not tried again"


def test_another_slot_that_trades_keeps_the_role_from_being_granted(scene, asked, alan):
    from deployments.actions import next_epoch
    from environments.models import Slot

    clearances.approve(alan, asked, asked.subject)
    Slot.objects.filter(environment=scene.environment, name="green").update(role="standby")
    scene.start(GREEN)
    scene.free(GREEN)
    scene.client(GREEN).set_role("ACTIVE", next_epoch(), actor="tests", reason="Wrong", timeout=5)
    failed = carry_out(asked)
    assert failed.failed_at and "green may be trading" in failed.detail and scene.role() == "HALTED"
    scene.stop(GREEN)


def test_release_answers_four_questions_and_starts_nothing(scene, stops, stopped, ada, alan):
    with pytest.raises(InvalidRequest) as missing:
        clearances.request_release(ada, stopped, {}, "Mended")
    assert missing.value.field == "reason"
    with pytest.raises(ChecksBlock, match="Close what is left"):
        clearances.request_release(ada, stopped, RELEASE_YES | {"flat": Given("no", "BTC is left")}, "Mended")
    asked = clearances.request_release(ada, stopped, RELEASE_YES, "Mended")
    assert asked.facts["stop"] == str(stopped.pk) and asked.answers[0]["seen"][0].startswith("Pressed by Ada Admin")
    with pytest.raises(OwnRequest):
        clearances.approve(ada, asked, asked.subject)
    clearances.approve(alan, asked, asked.subject)
    done = finish(asked)
    assert done.done_at, done.detail
    stopped.refresh_from_db()
    assert latch_file.read(stops / "production") is None and stopped.released_at
    assert stopped.released_by == "Ada Admin, approved by Alan Admin"
    assert Environment.objects.get(pk=scene.environment.pk).latched_at is None
    state = scene.client().state()
    assert (state.role, state.latched, state.restart_required) == ("HALTED", False, True)
    assert outcomes("stop.released") == ["intent", "done"] and not outcomes("trading.resumed")


def test_after_a_release_resuming_restarts_and_grants_a_new_epoch(scene, stopped, ada, alan):
    release = clearances.request_release(ada, stopped, RELEASE_YES, "Mended")
    clearances.approve(alan, release, release.subject)
    assert finish(release).done_at
    before, pid = scene.client().state().epoch, scene.pid()
    asked = clearances.request_resume(alan, scene.environment, "Mended")
    clearances.approve(ada, asked, asked.subject)
    done = finish(asked)
    assert done.done_at, done.detail
    assert scene.role() == "ACTIVE" and scene.pid() != pid
    assert scene.client().state().epoch > before and not scene.client().state().restart_required


def test_a_process_that_was_killed_by_the_stop_is_started_again(scene, stopped, ada, alan):
    scene.stop()
    release = clearances.request_release(ada, stopped, RELEASE_YES, "Mended")
    clearances.approve(alan, release, release.subject)
    released = finish(release)
    assert released.done_at and f"{BLUE} is down; it is released when it starts again" in released.detail
    asked = clearances.request_resume(alan, scene.environment, "Mended")
    clearances.approve(ada, asked, asked.subject)
    done = finish(asked)
    assert done.done_at, done.detail
    assert scene.role() == "ACTIVE"


def test_the_warm_slot_comes_back_to_standby(scene, stopped, ada, alan):
    from environments.models import Slot

    Slot.objects.filter(environment=scene.environment, name="green").update(role="standby")
    scene.start(GREEN)
    scene.free(GREEN)
    scene.press(GREEN)
    for ask in (
        lambda: clearances.request_release(ada, stopped, RELEASE_YES, "Mended"),
        lambda: clearances.request_resume(ada, scene.environment, "Mended"),
    ):
        asked = ask()
        clearances.approve(alan, asked, asked.subject)
        assert finish(asked).done_at, Clearance.objects.get(pk=asked.pk).detail
    assert (scene.role(), scene.role(GREEN)) == ("ACTIVE", "STANDBY")
    assert f"{GREEN} is in STANDBY again" in Clearance.objects.get(pk=asked.pk).detail
    scene.stop(GREEN)


def test_a_stop_that_still_runs_is_not_released(scene, stopped, ada):
    EmergencyStop.objects.update(outcome="")
    with pytest.raises(ChecksBlock, match="Wait until it has ended"):
        clearances.request_release(ada, stopped, RELEASE_YES, "Mended")


def test_an_instance_that_cannot_be_released_keeps_the_switch_engaged(scene, stops, stopped, ada, alan, monkeypatch):
    from environments.target import TargetClient, TargetRefused

    asked = clearances.request_release(ada, stopped, RELEASE_YES, "Mended")
    clearances.approve(alan, asked, asked.subject)

    def refuse(self, **_):
        raise TargetRefused("POST /v1/emergency-stop/release", 500, "Latch not stored", "the disk is full")

    monkeypatch.setattr(TargetClient, "release_stop", refuse)
    failed = finish(asked)
    assert failed.failed_at and "The kill switch stays engaged" in failed.detail
    assert latch_file.read(stops / "production") is not None and outcomes("stop.released") == ["intent", "failed"]


def test_an_error_on_our_side_ends_it_with_a_word(asked, alan, monkeypatch):
    clearances.approve(alan, asked, asked.subject)
    monkeypatch.setattr(carrying_out, "_step", lambda clearance: 1 / 0)
    assert "An error on our side" in carry_out(asked).detail and carry_out_all() == 0


def test_a_quiet_look_takes_one_query(asked):
    watch = ClearanceWatch()
    watch.look()
    with CaptureQueriesContext(connection) as taken:
        watch.look()
    assert len(taken) == 1
