"""The questions that a person answers before trading may go on, and how the answers are kept. No Django here.

The three of ``VALIDATION`` are those of the runbook "Circuit Breaker Activated" (specification, part 9). "Checked" is
no answer: each takes yes or no and what it rests on, and is kept with what the console saw at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

YES, NO = "yes", "no"
NOTE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Question:
    """One question. ``todo`` is what has to be done first when the answer is no."""

    key: str
    text: str
    help: str
    todo: str


@dataclass(frozen=True, slots=True)
class Given:
    """One answer as it came in."""

    answer: str = ""
    note: str = ""


@dataclass(slots=True)
class Checked:
    """Answers that were looked through; without ``errors`` they are complete."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    """``key``, ``question``, ``answer``, ``note`` and ``seen`` of each, as they are kept."""
    errors: dict[str, str] = field(default_factory=dict)
    """What is wrong, by the key of the question."""


VALIDATION = (
    Question(
        "fixed",
        "Is the issue fixed?",
        "What opened the breaker, and what was done about it.",
        "Find the cause first: positions, orders and the log of the trading system tell what happened. When it is the "
        "version, roll back; then answer again.",
    ),
    Question(
        "legitimate",
        "Were the losses legitimate?",
        "Trades that the strategy meant to make, at prices that were real; not a fault of ours.",
        "Look for wrong prices, doubled orders and missed fills: compare the positions with the exchange, then mend "
        "the fault and answer again. Trading stays stopped meanwhile.",
    ),
    Question(
        "healthy",
        "Is the system healthy?",
        "Connections, data and database, whatever the halt itself makes fail.",
        "Mend what fails below, wait until it passes, and answer again.",
    ),
)
RELEASE = (
    Question(
        "reason",
        "What was the reason, and is it gone?",
        "Yes: it is gone, and the note says what it was.",
        "Leave the kill switch engaged until the cause is gone.",
    ),
    Question(
        "flat",
        "Is the account flat, or are the positions wanted?",
        "Yes: nothing is left at the exchange, or somebody decided to keep what is left.",
        "Close what is left on the positions page, then answer again.",
    ),
    Question(
        "reconciled",
        "Do positions reconcile?",
        "Yes: what the trading system keeps is what the exchange says.",
        "Compare them on the reconciliation page and take over the exchange's positions, then answer again.",
    ),
    Question(
        "version",
        "Is the version that runs the one we want?",
        "Yes: this version may trade again.",
        "Roll back first: a rollback is possible while the kill switch is engaged. Then answer again.",
    ),
)


def check(
    questions: Sequence[Question], given: Mapping[str, Given], seen: Mapping[str, Sequence[str]], by: str, at: str
) -> Checked:
    """Look through answers.

    Args:
        seen: what the console saw beside each question.
        by: name of who answers.
        at: when, as RFC 3339.
    """
    found = Checked()
    for question in questions:
        one = given.get(question.key, Given())
        note = one.note.strip()
        if one.answer not in (YES, NO):
            found.errors[question.key] = f"{question.text} Answer yes or no."
        elif not note:
            found.errors[question.key] = f"{question.text} Say what the answer rests on."
        elif len(note) > NOTE_LIMIT:
            found.errors[question.key] = f"{question.text} The note has {len(note)} characters; {NOTE_LIMIT} are kept."
        found.answers.append(
            {
                "key": question.key,
                "question": question.text,
                "answer": one.answer,
                "note": note,
                "seen": list(seen.get(question.key, ())),
                "by": by,
                "at": at,
            }
        )
    return found


def objections(questions: Sequence[Question], answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands against going on: each question without an answer, or answered with no, and what to do."""
    kept = {one.get("key"): one.get("answer") for one in answers}
    found = []
    for question in questions:
        answer = kept.get(question.key)
        if answer == NO:
            found.append(f"“{question.text}” was answered with no. {question.todo}")
        elif answer != YES:
            found.append(f"“{question.text}” has no answer yet.")
    return found
