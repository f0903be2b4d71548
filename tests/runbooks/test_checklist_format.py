"""The text of a checklist: what is refused, and in which words."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from runbooks.checklist_format import LONGEST_TEXT, FormatError, check_evidence, parse

ROOT = Path(__file__).resolve().parents[2]
ITEM = {"id": "status", "challenge": "Status", "expect": "Healthy", "responses": ["Healthy", "Down"]}
WHOLE = {"title": "Daily", "schedule": {"every": "day"}, "groups": [{"title": "All", "items": [ITEM]}]}


def problems(document: object) -> list[str]:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(FormatError) as refused:
        parse(text)
    return refused.value.problems


def changed(**more: object) -> dict:
    return {**copy.deepcopy(WHOLE), **more}


def with_item(**more: object) -> dict:
    item = {name: value for name, value in {**ITEM, **more}.items() if value is not ...}
    return changed(groups=[{"title": "All", "items": [item]}])


def test_a_small_list():
    found = parse(json.dumps(WHOLE))
    assert [item.id for item in found.items] == ["status"] and found.environments == ("production",)
    assert found.item("status").expected == "Healthy" and found.item("other") is None
    assert found.covers("production", "production") and not found.covers("staging", "staging")


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ("", "text: write title:, schedule: and groups:"),
        ("title: [", "line 1"),
        ("title: a\ntitle: b", "line 2, column 1: 'title' is given twice"),
        ("a: &a 1\nb: *a", "line 2, column 4: references (*) are not used here"),
        ("x" * (LONGEST_TEXT + 1), f"text: it has {LONGEST_TEXT + 1} characters; at most {LONGEST_TEXT} are read"),
        (changed(name="x"), "name: there is no such field"),
        (with_item(evidance="x"), "groups.0.items.0.evidance: there is no such field"),
        (with_item(challenge=...), "groups.0.items.0.challenge: is missing"),
        (with_item(expect="Fine"), "groups.0.items.0: expect: 'Fine' is none of the responses"),
        (
            with_item(responses=["Healthy"]),
            "groups.0.items.0: responses: write at least two, the expected one and another",
        ),
        (with_item(value={"min": 1}), "groups.0.items.0: give either value or responses"),
        (with_item(value={}, responses=...), "groups.0.items.0.value: write min, max, or both"),
        (with_item(value={"min": 2, "max": 1}, responses=...), "groups.0.items.0.value: min 2 is above max 1"),
        (with_item(link="//evil.example"), "groups.0.items.0.link: String should match"),
        (changed(schedule={"every": "year"}), "schedule.every: Input should be"),
        (
            changed(schedule={"every": "day", "at": "8:00"}),
            "schedule.at: write a time of day as HH:MM, for example 08:00",
        ),
        (
            changed(schedule={"every": "day", "at": "09:00", "due": "08:00"}),
            "schedule: it opens at 09:00, so it cannot be",
        ),
        (changed(schedule={"every": "day", "due": 25}), "schedule: due: write more than 0 and at most 24 hours"),
        (changed(schedule={"every": "day", "day": 1}), "schedule: a daily list has no day; write days: [mon, tue, …]"),
        (changed(schedule={"every": "week", "day": "last"}), "schedule: the day of a weekly list is one of mon"),
        (changed(schedule={"every": "month", "day": "mon"}), "schedule: the day of a monthly list is 1 to 31, or last"),
        (
            changed(schedule={"every": "deployment", "at": "08:00"}),
            "schedule: a list for deployments opens when it is begun",
        ),
        (changed(groups=[{"title": "All", "items": [ITEM, ITEM]}]), "list: items with the same id: status"),
        (
            changed(groups=[{"title": "All", "items": [{**ITEM, "id": f"i{n}"} for n in range(10)]}]),
            "groups.0.items: Tuple should have at most 9 items",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(document, wanted):
    found = problems(document)
    assert len(found) == 1 and found[0].startswith(wanted), found


def test_words_stay_words():
    """YAML takes Yes for true and 10:30 for 630; people mean what they write."""
    text = "title: T\nschedule: {every: day, at: 10:30, due: 12:00}\ngroups:\n- title: G\n  items:\n"
    found = parse(text + "  - {id: 1, challenge: Any breaks, expect: No, responses: [Yes, No, 0]}\n")
    assert found.schedule.at == "10:30" and found.item("1").responses == ("Yes", "No", "0")


def test_a_value_says_its_range():
    words = {"min": 1.5, "max": 80.0, "unit": "%"}
    for given, expected, inside, outside in (
        (words, "1.5 to 80 %", 80, 80.1),
        ({"max": 3}, "at most 3", -5, 4),
        ({"min": 3}, "at least 3", 3, 2),
    ):
        item = parse(json.dumps(with_item(value=given, responses=..., expect=...))).items[0]
        assert item.expected == expected and item.value.covers(inside) and not item.value.covers(outside)


def test_unknown_evidence_is_named_with_what_was_meant():
    found = parse(json.dumps(with_item(evidence="alerts.opne")))
    with pytest.raises(FormatError) as refused:
        check_evidence(found, ["alerts.open", "trading.orders"])
    wanted = "groups.0.items.0.evidence: there is no evidence 'alerts.opne'; did you mean alerts.open?"
    assert refused.value.problems == [wanted]
    check_evidence(found, ["alerts.opne"])


SPECIFIED = {
    "daily": ("status", "trades", "errors", "positions", "capital", "alerts"),
    "weekly": ("performance", "win-rate", "degradation", "capital", "documentation", "deployments", "next-week"),
    "monthly": ("components", "parameters", "counterfactual", "wallets", "database", "logs", "keys"),
    "deployment": ("tests", "review", "staging", "benchmarks", "rollback-plan"),
}


def test_the_lists_of_the_demo_have_what_the_specification_asks_for():
    from environments import evidence

    found = {path.stem: parse(path.read_text()) for path in (ROOT / "demo/checklists").glob("*.yaml")}
    assert set(found) == set(SPECIFIED)
    for name, wanted in SPECIFIED.items():
        assert set(wanted) <= {item.id for item in found[name].items}, name
        assert found[name].environments == ("production", "staging")
        check_evidence(found[name], evidence.providers())
