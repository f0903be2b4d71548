"""What is approved, and its hash: each member counts, and the order of members does not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.approval_subject import (
    Change,
    LiveSide,
    NewRelease,
    all_in_words,
    canonical,
    changes,
    in_words,
    subject,
    subject_hash,
)
from deployments.strategies import STRATEGIES, PlanInput
from environments.policy import ApprovalPolicy, Policy

PLAN = STRATEGIES["blue_green"].plan(PlanInput("blue", "green", "v1.2.5"))


def asked(**fields: Any) -> dict[str, Any]:
    """A subject as a request keeps it, with some facts replaced."""
    facts: dict[str, Any] = {
        "environment": "production",
        "release": NewRelease("paper-trader", "v1.2.5", "sha256:ab", "17"),
        "strategy": "blue_green",
        "slot": "green",
        "plan": PLAN,
        "live": LiveSide("v1.2.4", "sha256:cd", "blue", 2),
        "policy": Policy().model_dump(mode="json"),
    }
    return subject(**{**facts, **fields})


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every single value stands, also within lists."""
    if isinstance(value, dict) and value:
        return [found for name in value for found in places(value[name], (*place, name))]
    if isinstance(value, list) and value:
        return [found for index, one in enumerate(value) for found in places(one, (*place, index))]
    return [place]


def changed(before: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with one value replaced."""
    after = copy.deepcopy(before)
    inner = after
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return after


PLACES = places(asked())
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(st.sampled_from(PLACES), scalars)
def test_any_other_value_of_any_member_is_another_hash(place, value):
    before = asked()
    after = changed(before, place, value)
    same = canonical(before) == canonical(after)
    assert (subject_hash(before) == subject_hash(after)) is same
    assert bool(changes(before, after)) is not same


def test_every_place_was_there():
    assert {place[0] for place in PLACES} == {"environment", "release", "strategy", "slot", "plan", "live", "policy"}
    assert len(PLACES) > 100  # each step, each rule


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_no_member_is_left_out_of_the_hash(place):
    assert subject_hash(changed(asked(), place, "something else")) != subject_hash(asked())


@given(values, values)
def test_changes_are_found_exactly_when_the_hashes_differ(before, after):
    first, second = {"a": before}, {"a": after}
    assert bool(changes(first, second)) is (subject_hash(first) != subject_hash(second))


@given(st.randoms())
def test_the_order_of_members_does_not_matter(random):
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            names = list(value)
            random.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        return [shuffled(one) for one in value] if isinstance(value, list) else value

    other = shuffled(asked())
    assert subject_hash(other) == subject_hash(asked()) and changes(asked(), other) == []


@given(values)
def test_the_hash_survives_a_way_through_json(value):
    assert subject_hash(json.loads(canonical({"a": value}))) == subject_hash({"a": value})


def test_the_order_of_the_steps_matters():
    assert subject_hash(asked(plan=PLAN[::-1])) != subject_hash(asked())
    assert [change.member for change in changes(asked(), asked(plan=PLAN[:-1]))] == ["plan"]


def test_how_long_a_request_waits_is_no_part_of_it():
    policy = Policy(approval=ApprovalPolicy(second_person=True, expires_hours=1))
    assert asked(policy=policy.model_dump(mode="json")) == asked()


def test_the_same_release_live_again_is_a_change():
    (found,) = changes(asked(), asked(live=LiveSide("v1.2.4", "sha256:cd", "blue", 4)))
    assert found == Change("live.deployment", 2, 4)
    assert found.as_json() == {"member": "live.deployment", "from": 2, "to": 4}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Change("live.release", "v1.2.4", "v1.2.6"), "the live release: v1.2.4, now v1.2.6"),
        (Change("live.release", "", "v1.2.4"), "the live release: none, now v1.2.4"),
        (Change("policy.watch_seconds", 300.0, 60.0), "the policy watch seconds: 300.0, now 60.0"),
        (Change("plan", [1], [2]), "the plan is another one"),
        (Change("live.digest", "x" * 99, None), f"the digest of the live release: {'x' * 60}…, now none"),
    ],
)
def test_a_change_is_told_in_words(found, words):
    assert in_words(found) == words


def test_all_changes_are_one_sentence():
    found = [Change("slot", "green", "blue"), Change("live.slot", "blue", "green")]
    told = "the slot that gets the release: green, now blue; the live slot: blue, now green"
    assert all_in_words(found) == f"What was asked for has changed: {told}."
