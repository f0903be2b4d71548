"""A measured figure, its goal, and the table of all of them. Plain numbers in, text and JSON out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("figure", "goal", "p50", "p99", "max", "n", "met?")


@dataclass(slots=True)
class Figure:
    """One figure. ``met`` is about speed only and never fails a run; ``wrong`` is about correctness and does."""

    name: str
    """The name of the measurement (``--only``) that it belongs to."""
    title: str
    goal: str
    unit: str
    n: int
    met: bool
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """What else was measured, by name."""
    wrong: list[str] = field(default_factory=list)
    """What must never happen and did."""


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least ``share`` (0 to 1) of all do not exceed.

    It is always a measured value; with fewer than 100 values the 99th percentile is the largest.

    Raises:
        ValueError: there is no value, or the share is not above 0 and at most 1.
    """
    ordered = sorted(values)
    if not ordered or not 0 < share <= 1:
        raise ValueError(f"percentile {share} of {len(ordered)} values: give at least one value and 0 < share <= 1")
    # Rounded first: 0.07 * 100 is a little more than 7, and its ceiling would be 8.
    return ordered[math.ceil(round(share * len(ordered), 9)) - 1]


def of_durations(
    name: str,
    title: str,
    milliseconds: Sequence[float],
    limit: float,
    *,
    judged: str = "p99",
    notes: dict[str, Any] | None = None,
    wrong: Iterable[str] = (),
) -> Figure:
    """A figure from measured durations; met when ``judged`` (p99 or max) is at most ``limit`` milliseconds.

    Without any value nothing is met.
    """
    figure = Figure(
        name, title, f"{judged} ≤ {limit:g}", "ms", len(milliseconds), False, notes=notes or {}, wrong=[*wrong]
    )
    if milliseconds:
        figure.p50, figure.p99 = percentile(milliseconds, 0.5), percentile(milliseconds, 0.99)
        figure.max = max(milliseconds)
        figure.met = (figure.p99 if judged == "p99" else figure.max) <= limit
    return figure


def table(figures: Sequence[Figure]) -> str:
    """The figures with aligned columns, then what else was measured, then what went wrong."""
    rows = [COLUMNS, *(_cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    for figure in figures:
        if figure.notes:
            lines += ["", f"{figure.title}:", *(f"  {key}: {_shown(value)}" for key, value in figure.notes.items())]
    lines += [f"WRONG: {figure.title}: {text}" for figure in figures for text in figure.wrong]
    return "\n".join(lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    measured = (_number(value) for value in (figure.p50, figure.p99, figure.max))
    verdict = "WRONG" if figure.wrong else "met" if figure.met else "not met"
    return (figure.title, f"{figure.goal} {figure.unit}", *measured, str(figure.n), verdict)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left = {0, 1, len(row) - 1}
    cells = (cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
    return "  ".join(cells).rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(_shown, value)) if isinstance(value, list | tuple) else str(value)
