"""The live view of a deployment in a terminal, drawn by rich. Only ``watch`` on a terminal needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from opsctl import render, timeline
from opsctl.follow import Snapshot
from opsctl.timeline import Reading

STYLES = {"info": "bold cyan", "warn": "bold yellow", "crit": "bold red", "unknown": "magenta", "plain": ""}
CHROME = 9
"""Lines around steps and verdicts: heading, advice, next event, hint, blank lines."""


def draw(snapshot: Snapshot, height: int) -> RenderableType:
    """The whole view, within ``height`` lines as far as that goes: finished steps are folded first."""
    reading = snapshot.deployment
    parts: list[RenderableType] = [_heading(reading), *_advice(reading)]
    room = height - CHROME - len(parts) - len(reading["verdicts"])
    parts += ["", _steps(reading, room)]
    if snapshot.rollback:
        parts += ["", _heading(snapshot.rollback), _steps(snapshot.rollback, 12)]
    elif reading["verdicts"]:
        parts += ["", _verdicts(reading)]
    parts += ["", *_foot(snapshot)]
    return Group(*parts)


def _word(kind: str, value: object) -> Text:
    found = render.word(kind, value)
    return Text(f"{found.icon} {found.word}", STYLES.get(found.tone, ""))


def _heading(reading: Reading) -> Text:
    spent = render.seconds_between(reading["started_at"] or reading["created_at"], reading["finished_at"])
    head = Text.assemble((render.title(reading), "bold"), "  ", _word("deployment", reading["status"]))
    return head.append(f"  {render.duration(spent)}", "dim")


def _advice(reading: Reading) -> list[Text]:
    found = reading["recommendation"]
    lines = []
    if reading["failure_reason"]:
        lines.append(Text(render.one_line(reading["failure_reason"]), STYLES["crit"]))
    if found["verb"] != "none":
        style = STYLES["crit"] if found["verb"] == "roll_back" else STYLES["info"] if found["verb"] == "hold" else ""
        lines.append(Text(found["title"], style))
        lines += [Text(f"  {render.one_line(reason)}") for reason in found["reasons"][:4]]
    return lines


def _steps(reading: Reading, room: int) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in range(3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # the detail takes what is left, and is cut
    steps = list(reading["steps"])
    for status in ("succeeded", "skipped"):
        alike = [step for step in steps if step["status"] == status]
        if len(steps) > max(room, 4) and len(alike) > 1:
            spent = render.seconds_between(alike[0]["started_at"], alike[-1]["finished_at"])
            shown = render.duration(spent) if status == "succeeded" else ""
            grid.add_row(_word("step", status), f"{len(alike)} steps, the last: {alike[-1]['title']}", shown, "")
            steps = [step for step in steps if step not in alike]
    for step in steps:
        spent = render.seconds_between(step["started_at"], step["finished_at"])
        shown = "" if spent is None or step["status"] == "skipped" else render.duration(spent)
        detail = Text(render.one_line(step["detail"]), "dim" if step["status"] == "succeeded" else "")
        style = "bold" if step["status"] == "running" else "dim" if step["status"] == "pending" else ""
        grid.add_row(_word("step", step["status"]), Text(step["title"], style), shown, detail)
    return grid


def _urgency(verdict: Mapping[str, Any]) -> tuple[int, str]:
    """What is not within its limit stands first, and nothing jumps from reading to reading."""
    order = ("fail", "warn", "error", "no_data", "pass")
    return (order.index(verdict["verdict"]) if verdict["verdict"] in order else 0), str(verdict["rule"])


def _verdicts(reading: Reading) -> Table:
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("Against the baseline", "Now", "Baseline", "Limit", "Verdict"):
        found.add_column(name, no_wrap=True, overflow="ellipsis")
    for verdict in sorted(reading["verdicts"], key=_urgency):
        numbers = (render.number(verdict[name], verdict["unit"]) for name in ("value", "baseline", "limit"))
        found.add_row(verdict["rule"], *numbers, _word("verdict", verdict["verdict"]))
    return found


def _foot(snapshot: Snapshot) -> list[Text]:
    reading = snapshot.deployment
    lines = []
    if snapshot.silent_seconds:
        silent = render.duration(snapshot.silent_seconds)
        lines.append(Text(f"? The console has not answered for {silent}; this is the last known state.", "magenta"))
    if event := reading["next_event"]:
        left = -(render.seconds_between(event["at"], None) or 0.0)
        lines.append(Text(f"{event['title']} in {render.duration(left)}" if left > 0 else event["title"]))
    if hint := timeline.hint(reading):
        lines.append(Text(hint, STYLES["info"]))
    if not snapshot.is_over:
        lines.append(Text("Ctrl-C stops the watching only; the deployment goes on.", "dim"))
    return lines
