"""What may follow what, and the plans of the strategies: pure data, no database."""

from __future__ import annotations

from itertools import product

import pytest

from deployments.states import ACTIVE, TERMINAL, TRANSITIONS, UNFINISHED, Status, may_follow
from deployments.steps import STEPS
from deployments.strategies import ROLLBACK, STRATEGIES, PlanInput, by_name
from deployments.strategies.blue_green import words

GIVEN = PlanInput(live="blue", preview="green", version="v1.2.5", watch_seconds=300, stable_seconds=3600)


def names(specs) -> list[str]:
    return [spec.name for spec in specs]


def test_every_status_has_its_place():
    assert set(TRANSITIONS) == set(Status)
    assert not ACTIVE & TERMINAL and ACTIVE < UNFINISHED
    assert {Status.DRAFT, Status.AWAITING_APPROVAL} == set(Status) - UNFINISHED - TERMINAL


def test_an_end_is_an_end():
    """Only a success can still be taken back."""
    ends = {(a, b) for a, b in product(TERMINAL, Status) if may_follow(a, b)}
    assert ends == {(Status.SUCCEEDED, Status.FAILING)}


def test_every_status_can_be_reached_and_leads_to_an_end():
    assert {following for found in TRANSITIONS.values() for following in found} == set(Status) - {Status.DRAFT}
    for start in set(Status) - TERMINAL:
        seen, todo = set(), [start]
        while todo:
            status = todo.pop()
            todo += TRANSITIONS[status] - seen
            seen |= TRANSITIONS[status]
        assert seen & TERMINAL, start


def test_no_way_leads_back_from_an_abort_or_a_failure():
    for late, early in product(
        (Status.ABORTING, Status.FAILING), (Status.PENDING, Status.RUNNING, Status.HELD, Status.WATCHING)
    ):
        assert not may_follow(late, early)


@pytest.mark.parametrize("strategy", [*STRATEGIES.values(), ROLLBACK])
@pytest.mark.parametrize("warm", [True, False])
def test_every_planned_step_exists_and_has_a_title(strategy, warm):
    given = PlanInput(live="blue", preview="green", version="v1.2.5", warm=warm)
    for spec in [*strategy.plan(given), *strategy.abort_plan(given)]:
        assert spec.name in STEPS and spec.title and len(spec.title) <= 80 and spec.queue in ("default", "critical")
        assert by_name(strategy.name) is strategy


def test_the_old_slot_is_silent_before_traffic_moves_and_before_the_new_one_trades():
    plan = names(STRATEGIES["blue_green"].plan(GIVEN))
    assert plan.index("smoke_test") < plan.index("await_promotion") < plan.index("hand_over")
    assert plan.index("hand_over") < plan.index("shift_traffic") < plan.index("activate") < plan.index("watch")


def test_after_the_stable_window_the_old_slot_gets_the_new_release():
    plan = STRATEGIES["blue_green"].plan(GIVEN)
    assert [spec.title for spec in plan[-4:]] == ["Watch 5 min", "Stable 1 h", "Update blue", "Blue in standby"]
    assert all(spec.params == {"slot": "blue", "role": "standby", "on_failure": "continue"} for spec in plan[-2:])


def test_a_warm_rollback_begins_with_the_traffic():
    warm = PlanInput(live="green", preview="blue", version="v1.2.4", warm=True)
    assert names(ROLLBACK.plan(warm))[0] == "shift_traffic"
    cold = PlanInput(live="green", preview="blue", version="v1.2.4")
    assert names(ROLLBACK.plan(cold))[:3] == ["start_slot", "wait_healthy", "shift_traffic"]


def test_a_rollback_silences_the_bad_slot_by_force_before_the_good_one_trades():
    plan = ROLLBACK.plan(PlanInput(live="green", preview="blue", version="v1.2.4", warm=True))
    hand_over, activate = plan[1], plan[2]
    assert hand_over.params == {"from": "green", "to": "blue", "force": True}
    assert (activate.name, activate.params) == ("activate", {"slot": "blue", "fence": "green"})
    assert {spec.queue for spec in plan[:3]} == {"critical"} and names(plan)[-1] == "stop_slot"


def test_an_abort_confirms_the_live_slot_and_stops_the_preview():
    specs = STRATEGIES["blue_green"].abort_plan(GIVEN)
    assert [(spec.name, spec.params["slot"]) for spec in specs] == [("restore_live", "blue"), ("stop_slot", "green")]
    first = PlanInput(live="", preview="blue", version="v1.2.4")
    assert names(STRATEGIES["blue_green"].abort_plan(first)) == ["stop_slot"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(20, "20 s"), (300, "5 min"), (3600, "1 h"), (0.5, "0.5 s"), (5400, "1.5 h")]
)
def test_durations_in_titles(seconds, text):
    assert words(seconds) == text
