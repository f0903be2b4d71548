"""The pure parts: facts and their hash, questions and answers, the words and the bar of a breaker."""

from __future__ import annotations

from typing import Any

import pytest

from trading.breaker_words import bar, measured, title
from trading.clearance_subject import Facts, InstanceFacts, all_in_words, changes, facts, subject_hash
from trading.questions import RELEASE, VALIDATION, Given, check, objections


def state(**other: Any) -> Facts:
    role, version = other.pop("role", "HALTED"), other.pop("version", "v1.2.4")
    breaker, latched = other.pop("breaker", "closed"), other.pop("latch", False)
    instances = [InstanceFacts("production-blue-1", role, latched, breaker, version)]
    given: dict[str, Any] = {
        "kind": "resume",
        "environment": "production",
        "stop": "",
        "latched": False,
        "slot": "blue",
        "version": "v1.2.4",
        "instances": instances,
        "mismatches": (),
    }
    return facts(**(given | other))


def test_the_same_state_has_the_same_hash_in_any_order():
    assert subject_hash(state()) == subject_hash(dict(reversed(list(state().items()))))
    assert len(subject_hash(state())) == 64 and changes(state(), state()) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"role": "STANDBY"}, "the role of production-blue-1: HALTED, now STANDBY"),
        ({"breaker": "open"}, "the circuit breaker of production-blue-1: closed, now open"),
        ({"latch": True}, "the emergency latch of production-blue-1: not engaged, now engaged"),
        ({"version": "v1.2.5"}, "the version of production-blue-1: v1.2.4, now v1.2.5"),
        ({"latched": True}, "the kill switch: not engaged, now engaged"),
        ({"stop": "7"}, "the emergency stop in force: none, now 7"),
        ({"slot": "green"}, "the slot that has the trading role: blue, now green"),
        ({"mismatches": ("BTC", "ETH")}, "positions that differ from the exchange: none, now BTC, ETH"),
    ],
)
def test_each_change_is_told(other, words):
    found = changes(state(), state(**other))
    assert all_in_words(found) == f"What was asked for has changed: {words}."
    assert subject_hash(state()) != subject_hash(state(**other))


@pytest.mark.parametrize("other", [{"role": None}, {"breaker": None}, {"latch": None}, {"mismatches": None}])
def test_what_cannot_be_read_is_no_change(other):
    assert changes(state(), state(**other)) == [] and changes(state(**other), state()) == []


def test_an_instance_that_comes_or_goes_is_a_change():
    assert changes(state(), state(instances=[])) and changes(state(instances=[]), state())


def test_answers_keep_what_was_seen():
    given = {question.key: Given("yes", " Looked ") for question in VALIDATION}
    found = check(VALIDATION, given, {"fixed": ["Loss 3 %"]}, "Ada", "2026-01-21T14:02:11+00:00")
    assert found.errors == {} and objections(VALIDATION, found.answers) == []
    assert found.answers[0] == {
        "key": "fixed",
        "question": "Is the issue fixed?",
        "answer": "yes",
        "note": "Looked",
        "seen": ["Loss 3 %"],
        "by": "Ada",
        "at": "2026-01-21T14:02:11+00:00",
    }


def test_a_no_stands_against_it_with_what_to_do():
    given = {question.key: Given("no" if question.key == "flat" else "yes", "x") for question in RELEASE}
    (only,) = objections(RELEASE, check(RELEASE, given, {}, "Ada", "").answers)
    assert "wanted?” was answered with no. Close what is left" in only
    assert len(objections(RELEASE, [])) == 4


def test_reasons_and_measures_in_words():
    assert (title("daily_loss"), title("odd_code"), title("")) == (
        "Daily loss limit hit",
        "Odd code",
        "No reason given",
    )
    assert (measured("daily_loss", "0.0312"), measured("consecutive_losses", "5")) == ("3.12 %", "5")
    assert measured("daily_loss", "much") == "much"


@pytest.mark.parametrize(
    ("observed", "threshold", "expected"),
    [
        ("0.04", "0.02", (80.0, 40.0)),
        ("0.01", "0.02", (40.0, 80.0)),
        ("0", "5", (0.0, 80.0)),
        ("", "5", None),
        ("5", "", None),
        ("much", "5", None),
        ("-1", "5", None),
        ("5", "0", None),
        ("NaN", "5", None),
    ],
)
def test_the_bar_fits_and_has_its_mark(observed, threshold, expected):
    assert bar(observed, threshold) == expected
