"""A deployment as a story: what is told between two readings, how it ends, and how it is drawn."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deployments.states import StepStatus
from opsconsole.vocabulary import WORDS as PAGE_WORDS
from opsctl import render, timeline
from opsctl.errors import Exit
from opsctl.follow import Snapshot
from opsctl.screen import draw
from tests.opsctl.readings import AT, reading, step, verdict


def told(before, after) -> list[str]:
    return [change.words for change in timeline.changes(before, after)]


def test_the_first_reading_tells_what_has_happened():
    now = reading("running", step(0, "succeeded", "6 checks passed."), step(1, "running"), step(2, "pending"))
    assert told(None, now) == ["● Running", "✓ Preflight: done (1.0 s): 6 checks passed.", "● Start slot: running"]


def test_nothing_new_says_nothing():
    now = reading("running", step(0, "succeeded"), verdicts=[verdict("Error rate", "pass")])
    assert told(now, reading("running", step(0, "succeeded"), verdicts=[verdict("Error rate", "pass")])) == []


def test_steps_and_verdicts_that_changed():
    before = reading("running", step(0, "running", "Begun."), verdicts=[verdict("Error rate", "pass")])
    after = reading("failing", step(0, "failed", "No answer."), verdicts=[verdict("Error rate", "fail", "2 % failed")])
    after["failure_reason"] = "Error rate"
    assert told(before, after) == [
        "✗ Failing, rolling back: Error rate",
        "✗ Preflight: failed (1.0 s): No answer.",
        "✗ Error rate: above limit. 2 % failed",
    ]
    waits = reading("running", step(0, "running", "2 of 3."), verdicts=[verdict("Error rate", "pass")])
    assert told(before, waits) == ["● Preflight: running: 2 of 3."]


def test_a_recommendation_is_told_once():
    advice = {"verb": "roll_back", "title": "Recommended: roll back", "reasons": ["Error rate: 2 %"]}
    before, after = reading("watching"), reading("watching", recommendation=advice)
    assert told(before, after) == ["Recommended: roll back (Error rate: 2 %)"]
    assert told(after, after) == []


def test_a_change_is_a_json_line_and_a_log_line():
    change = list(timeline.changes(None, reading("running", step(0, "succeeded", "Ok."))))[1]
    document = change.document()
    assert document["kind"] == "step" and document["deployment"] == 42 and document["at"] == AT.format(1)
    assert document["step"] == {"index": 0, "name": "preflight", "status": "succeeded", "detail": "Ok."}
    assert document["seconds"] == 1.0
    assert "14:02:01 UTC  ✓ Preflight" in change.line()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("succeeded", Exit.DONE),
        ("failed", Exit.FAILED),
        ("rolled_back", Exit.FAILED),
        ("aborted", Exit.FAILED),
        ("awaiting_approval", Exit.WAITING),
        *((status, None) for status in ("pending", "running", "held", "watching", "aborting", "failing")),
    ],
)
def test_how_a_deployment_ends_is_its_exit_code(status, code):
    assert timeline.exit_code(reading(status)) == code


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("succeeded", "v1.2.5 is live and marked successful."),
        ("rolled_back", "rolled back, v1.2.4 serves again. Reason: Too slow"),
        ("aborted", "aborted before promotion, v1.2.4 kept serving. Reason: Too slow"),
        ("failed", "failed. Reason: Too slow"),
    ],
)
def test_the_last_line(status, words):
    end = timeline.end(reading(status, failure_reason="" if status == "succeeded" else "Too slow"))
    assert end.words.endswith(f"Deploy 42: v1.2.4 to v1.2.5, production: {words}")
    assert end.document()["exit_code"] == (0 if status == "succeeded" else 1)


def test_what_can_be_done_now():
    gate = step(2, "running", "Waiting for somebody to press Promote.")
    assert timeline.hint(reading("running", gate)) == "opsctl promote 42, or opsctl abort 42"
    assert "opsctl resume 42" in timeline.hint(reading("held"))
    assert "opsctl approve 7" in timeline.hint(reading("awaiting_approval", approval={"id": 7}))
    advice = {"verb": "roll_back", "title": "Recommended: roll back", "reasons": []}
    assert "opsctl rollback 42" in timeline.hint(reading("watching", recommendation=advice))
    assert timeline.hint(reading("running", step(0, "running"))) == ""


def drawn(snapshot: Snapshot, width: int = 100, height: int = 40) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(draw(snapshot, height))
    return out.getvalue()


def test_the_live_view_has_words_beside_icons():
    now = reading("watching", step(0, "succeeded", "6 checks passed."), step(4, "running", "Watching."))
    now |= {"verdicts": [verdict("Latency", "pass"), verdict("Error rate", "fail")], "failure_reason": ""}
    text = drawn(Snapshot(now, silent_seconds=12))
    for words in (
        "Deploy 42: v1.2.4 to v1.2.5, production  ● Watching",
        "✓ Done",
        "6 checks passed.",
        "✗ Above limit",
        "2.00 %",
        "has not answered for 12 s",
        "Ctrl-C stops the watching only",
    ):
        assert words in text
    assert text.index("Error rate") < text.index("Latency"), "what is above its limit stands first"


def test_the_live_view_folds_when_the_terminal_is_low():
    steps = [step(index, "succeeded", f"Detail {index}.") for index in range(4)]
    now = reading("watching", *steps, step(4, "running", "Watching."))
    assert "Detail 0." in drawn(Snapshot(now), height=40)
    low = drawn(Snapshot(now), height=12)
    assert "Detail 0." not in low and "4 steps, the last: Shift traffic" in low and "Watching." in low


def test_the_live_view_shows_the_rollback():
    back = reading("running", step(3, "succeeded", "All to blue."), id=43, reverts=42)
    text = drawn(Snapshot(reading("failing", reverted_by=43), back))
    assert "Roll back 43" in text and "All to blue." in text


@pytest.mark.parametrize("kind", ["deployment", "step", "verdict", "slot", "outcome", "approval", "chain", "key"])
def test_the_words_are_those_of_the_pages(kind):
    page = {value: word.word for value, word in PAGE_WORDS[kind].items()}
    ours = {value: word.word for value, word in render.WORDS[kind].items()}
    assert ours.items() <= page.items()
    # The pages have words for the stages of their rail as well, which are no statuses of a step.
    assert set(ours) == (set(StepStatus) if kind == "step" else set(page))


def test_health_words_are_those_of_the_pages():
    shared = {value: word for value, word in render.WORDS["health"].items() if value in PAGE_WORDS["health"]}
    assert {value: word.word for value, word in shared.items()} == {
        value: PAGE_WORDS["health"][value].word for value in shared
    }
    assert set(render.WORDS["health"]) == {"pass", "warn", "fail", "no_data", "stopped"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1m 00s"), (3599.6, "1h 00m"), (90_000, "1d 01h"), (None, "–")],
)
def test_durations(seconds, text):
    assert render.duration(seconds) == text


def test_texts_of_others_cannot_drive_the_terminal():
    bad = {"reason": "fine\x1b]0;title\x07 \x9b31m\u202eevil", "list": ["a\rb\tc\nd"]}
    assert render.plain(bad) == {"reason": "fine]0;title 31mevil", "list": ["ab\tc\nd"]}


def test_a_table_keeps_its_columns():
    rows = [("a", "long\nreason with a line break"), ("bbb", None)]
    assert render.table(("ID", "WHY"), rows) == ["ID   WHY", "a    long reason with a line break", "bbb  –"]
